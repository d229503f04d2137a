"""The demo: get the BLAST image, run 01-blast.ipynb without a browser, show the hits.   `make demo`

With `--lab` it opens the notebook in JupyterLab instead, with the image served as long as that runs.   `make lab`

Docker Hub's `ncbi/blast` is used when it answers quickly; else the image is made here from Debian's packages (as root,
once, a minute) and served by a registry on this machine.
"""

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

HUB = "https://registry-1.docker.io/v2/"


def hub_answers() -> bool:
    """Whether Docker Hub can be reached within three seconds. It asks who we are: that is an answer."""
    try:
        with urllib.request.urlopen(HUB, timeout=3):
            return True
    except urllib.error.HTTPError as answer:
        return answer.code == 401 and "Docker-Distribution-Api-Version" in answer.headers
    except OSError:
        return False


@contextlib.contextmanager
def image() -> Iterator[str]:
    """A reference to the BLAST image that can be pulled inside this block."""
    if chosen := os.environ.get("PYCK_BLAST_IMAGE"):
        yield chosen
    elif hub_answers():
        print("== the BLAST image: ncbi/blast from Docker Hub")
        yield "ncbi/blast"
    else:
        from tests.images.build import CannotBuild, ready
        from tests.images.registry import Registry

        print("== the BLAST image: Docker Hub cannot be reached, so it is made here from Debian's packages", flush=True)
        try:
            images = ready()
        except CannotBuild as missing:
            sys.exit(f"cannot make it: {missing}")
        with Registry(images.registry_root, read_only=True) as registry:
            yield f"{registry.address}/ncbi/blast:2.12.0"


def run_headless(reference: str) -> None:
    """Execute the notebook and print its table of hits."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    print(f"== running notebooks/01-blast.ipynb with {reference}", flush=True)
    os.environ["PYCK_BLAST_IMAGE"] = reference
    notebook = nbformat.read(HERE / "01-blast.ipynb", as_version=4)
    done = HERE / "01-blast.done.ipynb"
    try:
        NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    except CellExecutionError as error:
        sys.exit(f"a cell failed:\n{error}")
    finally:
        nbformat.write(notebook, done)
    cell = next(cell for cell in notebook.cells if "hits" in cell.metadata.get("tags", []))
    print(f"\nHuman beta haemoglobin among 45 globins:\n\n{cell.outputs[0]['data']['text/plain']}\n")
    print(f"The notebook with all its output: {done.relative_to(HERE.parent)}")
    print("To run it yourself: make lab")


def open_lab(reference: str) -> None:
    """JupyterLab with the notebook open, until it is closed."""
    env = os.environ | {"PYCK_BLAST_IMAGE": reference}
    root = ["--allow-root"] if os.geteuid() == 0 else []
    subprocess.run([sys.executable, "-m", "jupyterlab", *root, "01-blast.ipynb"], cwd=HERE, env=env, check=False)


if __name__ == "__main__":
    with image() as found:
        open_lab(found) if "--lab" in sys.argv else run_headless(found)
