"""The BLAST notebook as a person meets it: JupyterLab in Chromium, an empty home, a registry on a slow line.

Set PYCK_SCREENSHOTS to a folder to keep the pictures.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.counting_proxy import CountingProxy
from tests.images.registry import Registry, free_port

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # else cells out of sight have no text
}

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="chromium is missing: apt-get install chromium")]


@dataclass
class Lab:
    """A running JupyterLab on a copy of the notebooks."""

    url: str
    folder: Path
    image: str


@pytest.fixture
def lab(tmp_path: Path, registry: Registry) -> Iterator[Lab]:
    """JupyterLab with nothing of ours: fresh settings, an empty home, a registry that gives 20 MB a second a layer."""
    folder, settings = tmp_path / "notebooks", tmp_path / "settings" / "@jupyterlab"
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns("results", "*.done.ipynb", ".ipynb_checkpoints"))
    for name, values in SETTINGS.items():
        place = settings / f"{name}.jupyterlab-settings"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(values))
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"]
    command += ["--IdentityProvider.token=secret", f"--ServerApp.root_dir={folder}", "--ServerApp.port_retries=0"]
    command += ["--LabApp.expose_app_in_browser=True", f"--LabApp.user_settings_dir={tmp_path / 'settings'}"]
    with CountingProxy("127.0.0.1", registry.port, pace=20_000_000) as proxy, (tmp_path / "lab.log").open("wb") as log:
        image = f"{proxy.address}/ncbi/blast:2.12.0"
        env = os.environ | {
            "PYCK_HOME": str(tmp_path / "home"),
            "PYCK_BLAST_IMAGE": image,
            "HOME": str(tmp_path),
            **{f"JUPYTER_{what}_DIR": str(tmp_path / what) for what in ("CONFIG", "DATA", "RUNTIME")},
            "IPYTHONDIR": str(tmp_path / "ipython"),
        }
        server = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(port, server)
            yield Lab(f"http://127.0.0.1:{port}", folder, image)
        finally:
            server.terminate()
            server.wait()


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Return when the server answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/api", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("JupyterLab does not answer")


@pytest.fixture
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    with sync_api.sync_playwright() as play:
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        running = play.chromium.launch(executable_path=CHROMIUM, args=options)
        yield running
        running.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go."""
    folder = Path(os.environ.get("PYCK_SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# What is asked of the page. Keys and clicks are lost while Lab is still connecting: its own commands are not.
READY = """() => {
    const panel = window.jupyterapp?.shell?.currentWidget, session = panel?.context?.sessionContext
    const kernel = session?.session?.kernel
    return !!panel?.content?.widgets?.length && session.isReady
        && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle'
}"""
START = """id => {
    const panel = window.jupyterapp.shell.currentWidget
    panel.content.activeCellIndex = panel.content.widgets.findIndex(cell => cell.model.id === id)
    window.finished = false
    window.jupyterapp.commands.execute('notebook:run-cell').then(() => { window.finished = true })
}"""
OUTPUTS = "id => window.jupyterapp.shell.currentWidget.content.widgets.find(c => c.model.id === id).model.outputs.toJSON()"
SHOWN = """id => window.jupyterapp.shell.currentWidget.content.widgets.find(c => c.model.id === id)
    .node.querySelector('.jp-Cell-outputArea').innerText"""
SCROLL = "id => window.jupyterapp.shell.currentWidget.content.widgets.find(c => c.model.id === id).node.scrollIntoView()"
CODE_CELLS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code').map(cell => cell.model.id)"""
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
END_KERNEL = "() => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()"
WHOLE_TEXT = "() => window.jupyterapp.shell.currentWidget.node.innerText"


def open_notebook(browser: Any, lab: Lab) -> Any:
    """A page with the notebook, its kernel idle."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{lab.url}/lab/tree/01-blast.ipynb?token=secret&reset")
    page.wait_for_function(READY, timeout=90_000)
    return page


def run_cell(page: Any, cell: str) -> list[dict[str, Any]]:
    """Run one cell to its end; its outputs."""
    page.evaluate(START, cell)
    page.wait_for_function("() => window.finished", timeout=120_000)
    outputs: list[dict[str, Any]] = page.evaluate(OUTPUTS, cell)
    return outputs


def watch_cell(page: Any, cell: str, picture: Path) -> list[str]:
    """Run one cell and look at what it shows meanwhile; a screenshot from its middle."""
    seen: list[str] = []
    page.evaluate(START, cell)
    deadline = time.monotonic() + 120
    while not page.evaluate("() => window.finished") and time.monotonic() < deadline:
        shown = page.evaluate(SHOWN, cell)
        if shown and shown not in seen[-1:]:
            seen.append(shown)
            if len(seen) == 8:
                page.screenshot(path=picture)
        page.wait_for_timeout(60)
    return seen


def test_the_blast_notebook_in_jupyterlab(lab: Lab, browser: Any, pictures: Path) -> None:
    """Bars move while the image comes, the hits are a table, and the notebook is whole when it is opened again."""
    page = open_notebook(browser, lab)
    cells = page.evaluate(CODE_CELLS)
    for cell in cells[: cells.index("pull")]:
        run_cell(page, cell)
    page.evaluate(SCROLL, "pull")
    seen = watch_cell(page, "pull", pictures / "1-pulling.png")
    assert any("downloading" in text.lower() for text in seen), seen
    assert len(set(seen)) >= 4, "the bars did not move"
    page.wait_for_timeout(300)
    page.screenshot(path=pictures / "2-pulled.png")
    summary = page.evaluate(OUTPUTS, "pull")
    assert "sha256:" in json.dumps(summary)
    assert "widget-view" not in json.dumps(summary), "a widget was left behind"

    for cell in cells[cells.index("pull") + 1 :]:
        if cell == "clean":
            break
        outputs = run_cell(page, cell)
        assert not [one for one in outputs if one["output_type"] == "error"], f"{cell}: {outputs}"
        if cell in {"hits", "error", "ps", "first"}:
            page.evaluate(SCROLL, cell)
            page.wait_for_timeout(300)
            page.screenshot(path=pictures / f"3-{cell}.png")
    table = page.evaluate(OUTPUTS, "hits")[0]["data"]
    assert "HBB_" in table["text/html"] and "bitscore" in table["text/html"]
    assert (lab.folder / "results" / "globins.phr").stat().st_uid == os.getuid()
    run_cell(page, "clean")

    page.evaluate(SAVE)
    page.evaluate(END_KERNEL)
    page.close()
    again = open_notebook(browser, lab)
    again.wait_for_timeout(500)
    text = again.evaluate(WHOLE_TEXT)
    again.evaluate(SCROLL, "pull")
    again.screenshot(path=pictures / "4-reopened.png")
    assert "model not found" not in text.lower()
    assert "sha256:" in again.evaluate(SHOWN, "pull")
    assert "bitscore" in text
