"""The same magics wherever a cell may run: with widgets, headless, in papermill, on a terminal."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import papermill
import pytest
from nbconvert import HTMLExporter

from tests.conftest import Pulled
from tests.counting_proxy import CountingProxy
from tests.images.registry import Registry
from tests.notebook.kernels import running_kernel


@pytest.fixture
def slow_image(registry: Registry) -> Iterator[str]:
    """A name of the BLAST image at a registry that takes a second or two to send it."""
    with CountingProxy("127.0.0.1", registry.port, pace=20_000_000) as proxy:
        yield f"{proxy.address}/blast"


def test_bars_move_in_a_front_end_and_end_as_html(slow_image: str, tmp_path: Path) -> None:
    """A widget while the pull goes on, in the cell's own output; then its place holds HTML and the widget is closed."""
    with running_kernel(tmp_path, tmp_path / "home", widgets=True) as kernel:
        outputs = kernel.run(f"%container pull {slow_image}")

    kinds = [kind for _, kind, _ in outputs.messages]
    states = [content["data"].get("state", {}) for content in outputs.of("comm_msg")]
    moving = [state["value"] for state in states if "value" in state]
    place = outputs.of("display_data")[0]["transient"]["display_id"]
    final = outputs.of("update_display_data")[-1]
    assert len(set(moving)) >= 4
    assert any("downloading" in html for html in moving)
    assert outputs.seconds * 8 + 2 >= len(moving)
    assert final["transient"]["display_id"] == place
    assert set(final["data"]) == {"text/html", "text/plain"}
    assert "sha256:" in final["data"]["text/plain"]
    assert kinds.count("display_data") == 1
    assert "comm_close" in kinds[kinds.index("update_display_data") :]


def test_a_stopped_pull_says_so_and_the_next_goes_on(slow_image: str, tmp_path: Path) -> None:
    """One line for the interrupt; the next pull in a cell says what it had already."""
    with running_kernel(tmp_path, tmp_path / "home", widgets=True) as kernel:

        def press_stop(kind: str, content: dict[str, object]) -> bool:
            if kind != "comm_msg":
                return False
            time.sleep(0.5)
            kernel.interrupt()
            return True

        stopped = kernel.run(f"%container pull {slow_image}", when=press_stop)
        again = kernel.run(f"%%container {slow_image}\necho here")

    assert stopped.error == "KeyboardInterrupt: stopped"
    assert "was not pulled" in stopped.shown[-1]
    assert "from an earlier attempt" in again.shown[1]
    assert again.text() == "here\n"


def test_papermill_leaves_a_notebook_that_needs_nothing(pulled: Pulled, tmp_path: Path) -> None:
    """Executed without a front end: no widget, no script, everything in HTML and text; parameters reach the line."""
    cells = [
        nbformat.v4.new_code_cell("image = 'none'", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("%load_ext pyck_magic"),
        nbformat.v4.new_code_cell("%container pull {image}"),
        nbformat.v4.new_code_cell("%container images"),
        nbformat.v4.new_code_cell("%%container {image} --out x\necho from the container"),
        nbformat.v4.new_code_cell("x"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "in.ipynb")
    environment = {"PYCK_HOME": str(tmp_path / "home")}
    run_papermill(tmp_path / "in.ipynb", tmp_path / "out.ipynb", environment, image=pulled.tiny)

    done = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    outputs = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert "widgets" not in done.metadata
    assert not [output for output in outputs if "application/vnd.jupyter.widget-view+json" in output.get("data", {})]
    for words in ("sha256:", "1.98MB", "exit 0", "'from the container\\n'"):
        assert words in text
    page, _ = HTMLExporter().from_notebook_node(done)
    assert "1.98MB" in page and "from the container" in page


def test_papermill_stops_where_a_cell_fails(pulled: Pulled, tmp_path: Path) -> None:
    """A failed program is a failed notebook."""
    codes = ("%load_ext pyck_magic", f"%%container {pulled.tiny}\nexit 4", "later = 1")
    nbformat.write(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, codes))), tmp_path / "in.ipynb")

    with pytest.raises(papermill.PapermillExecutionError, match="exited with code 4"):
        run_papermill(tmp_path / "in.ipynb", tmp_path / "out.ipynb", {"PYCK_HOME": str(pulled.home)})


def run_papermill(source: Path, target: Path, environment: dict[str, str], **parameters: str) -> None:
    """Execute a notebook as papermill does, its kernel in `environment`."""
    before = {name: os.environ.get(name) for name in (*environment, "JPY_SESSION_NAME")}
    os.environ.update(environment)
    os.environ.pop("JPY_SESSION_NAME", None)
    try:
        papermill.execute_notebook(
            source, target, parameters, kernel_name="python3", language="python", progress_bar=False, cwd=source.parent
        )
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def test_ipython_without_a_terminal(pulled: Pulled, tmp_path: Path) -> None:
    """`ipython -c`: output, list and receipt are plain text."""
    code = "\n".join(
        [
            "%load_ext pyck_magic",
            f"get_ipython().run_cell_magic('container', '{pulled.tiny}', 'echo from the container')",
            "images = %container images",
            "print(images)",
        ]
    )
    env = os.environ | {"PYCK_HOME": str(pulled.home), "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "-c", code], capture_output=True, text=True, cwd=tmp_path, env=env, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("from the container\nexit 0 · ")
    assert "1.98MB" in done.stdout
    assert "<div" not in done.stdout


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is missing: apt-get install tmux")
def test_ipython_on_a_terminal(pulled: Pulled, tmp_path: Path) -> None:
    """In a real terminal: a cell, Ctrl-C, and a prompt again."""
    socket = str(tmp_path / "tmux")

    def tmux(*words: str) -> str:
        return subprocess.run(["tmux", "-S", socket, *words], capture_output=True, text=True, check=True).stdout

    def screen_with(words: str) -> str:
        deadline = time.monotonic() + 60
        while words not in (screen := tmux("capture-pane", "-p", "-S", "-200")):
            assert time.monotonic() < deadline, screen
            time.sleep(0.1)
        return screen

    command = f"{sys.executable} -m IPython --no-banner --no-confirm-exit --simple-prompt --colors=NoColor"
    env = {"PYCK_HOME": str(pulled.home), "IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    settings = [word for name, value in env.items() for word in ("-e", f"{name}={value}")]
    tmux("-f", "/dev/null", "new-session", "-d", "-x", "200", "-y", "50", "-c", str(tmp_path), *settings, command)
    try:
        screen_with("In [1]:")
        tmux("send-keys", "%load_ext pyck_magic", "Enter")
        screen_with("In [2]:")
        body = "echo started; sleep 1000"
        tmux("send-keys", f"get_ipython().run_cell_magic('container', '{pulled.tiny}', '{body}')", "Enter")
        screen_with("\nstarted")
        tmux("send-keys", "C-c")
        screen = screen_with("In [3]:")
        assert "KeyboardInterrupt: stopped after" in screen
        tmux("send-keys", "%container images", "Enter")
        assert "1.98MB" in screen_with("In [4]:")
        tmux("send-keys", f"%container pull {pulled.tiny}", "Enter")
        assert "Digest: sha256:" in screen_with("In [5]:")
    finally:
        tmux("kill-server")
