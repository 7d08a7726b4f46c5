"""The notebooks in `examples/` run from top to bottom on the demo."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import pytest

from code_blocks import ROOT

pytestmark = [pytest.mark.docs, pytest.mark.slow]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, demo, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    shutil.copytree(demo, tmp_path / "demo")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # the kernel's own
    notebook = nbformat.read(path, as_version=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tornado and zmq warn of each other
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert all(cell.get("execution_count") for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 4
    assert os.path.commonpath(NOTEBOOKS) == str(Path(ROOT) / "examples")
