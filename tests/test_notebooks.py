"""The notebooks run, and each cell shows the kinds of output that are recorded in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def _kinds(notebook: Any) -> list[list[list[str]]]:
    """Return for each code cell the kinds of its outputs; what libraries write to stderr is left out."""
    return [
        [sorted(one.get("data", {"text": ""})) for one in cell.outputs if one.get("name") != "stderr"]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    recorded = _kinds(notebook)
    NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert _kinds(notebook) == recorded and any(recorded)


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) == 2
