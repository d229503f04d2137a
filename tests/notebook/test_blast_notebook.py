"""The BLAST notebook without a browser: what `make demo`, papermill and nbconvert users get."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from tests.images.registry import Registry

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the notebooks to work in."""
    copy = tmp_path / "notebooks"
    shutil.copytree(NOTEBOOKS, copy, ignore=shutil.ignore_patterns("results", "*.done.ipynb", ".ipynb_checkpoints"))
    return copy


def test_the_blast_notebook_runs_headless(
    folder: Path, home: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cell works from an empty home; the hits are numbers; what is shown is static and survives nbconvert."""
    monkeypatch.setenv("PYCK_BLAST_IMAGE", f"{registry.address}/ncbi/blast:2.12.0")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    notebook = nbformat.read(folder / "01-blast.ipynb", as_version=4)
    # One more cell, before the last which cleans up: what a reader cannot see but relies on.
    notebook.cells.insert(-1, nbformat.v4.new_code_cell(CHECK))
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()

    check = "".join(output.get("text", "") for output in notebook.cells[-2].outputs)
    assert check.split() == ["float64", "int64", "HBB_HUMAN", "str", str(os.getuid())]
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if "application/vnd.jupyter.widget-view+json" in output.get("data", {})]
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "bitscore" in page and "sha256:" in page


CHECK = """
import os
print(hits.pident.dtype, hits.length.dtype, hits.qseqid.iloc[0], type(report).__name__, os.stat("results/globins.phr").st_uid)
"""


def test_the_notebook_in_git_has_no_output() -> None:
    """Outputs are made by who runs it."""
    for path in NOTEBOOKS.glob("[0-9]*.ipynb"):
        if not path.name.endswith(".done.ipynb"):
            cells = nbformat.read(path, as_version=4).cells
            assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
