"""Model archives of strangers: nothing is written outside their folder, and no code is unpickled."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path

import pytest
import torch


def _archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/elmo-mf-evil.txt", "weights/../../../evil.txt"])
def test_nothing_is_written_outside(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from allennlp.models.archival import load_archive

    (tmp_path / "deep").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "deep"))
    path = _archive(tmp_path / "model.tar.gz", {"config.json": b"{}", name: b"x"})
    with pytest.raises((tarfile.FilterError, Exception)):
        load_archive(path)
    assert not list(tmp_path.rglob("evil.txt")) and not Path("/tmp/elmo-mf-evil.txt").exists()


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("unpickled",)


def test_weights_are_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AllenNLP's own `torch.load` of a model's weights, on the PyTorch that this project asks for."""
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": _Evil()}, tmp_path / "weights.th")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "weights.th")
    assert not (tmp_path / "unpickled").exists()
