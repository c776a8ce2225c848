"""Tests of untrusted model archives: nothing is written outside their folder, and no code is unpickled."""

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
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
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


@pytest.fixture
def before_3_11_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a Python whose `tarfile` has no extraction filters."""
    from allennlp.models import archival

    from elmo_mf.compat._patches import PATCHES

    monkeypatch.delattr(tarfile, "data_filter")
    monkeypatch.setattr(tarfile.TarFile, "extraction_filter", None)
    monkeypatch.setattr(archival, "tarfile", tarfile)
    with PATCHES["allennlp.models.archival"]():
        pass


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/elmo-mf-evil.txt", "weights/../../../evil.txt"])
def test_nothing_is_written_outside_on_an_old_python(
    name: str, before_3_11_4: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allennlp.models.archival import extracted_archive

    (tmp_path / "deep").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "deep"))
    path = _archive(tmp_path / "model.tar.gz", {"config.json": b"{}", name: b"x"})
    with pytest.raises(tarfile.ReadError, match="outside the archive"), extracted_archive(path):
        pass
    assert not list(tmp_path.rglob("evil.txt")) and not Path("/tmp/elmo-mf-evil.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_no_links_on_an_old_python(kind: bytes, before_3_11_4: None, tmp_path: Path) -> None:
    from allennlp.models.archival import extracted_archive

    member = tarfile.TarInfo("weights.th")
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.addfile(member)
    with pytest.raises(tarfile.ReadError, match="a link"), extracted_archive(archive.name):
        pass


def test_archives_on_an_old_python(before_3_11_4: None, tmp_path: Path) -> None:
    """AllenNLP reads the archives that it writes."""
    from allennlp.models.archival import archive_model, extracted_archive

    (tmp_path / "vocabulary").mkdir()
    for name in ("best.th", "config.json", "vocabulary/tokens.txt"):
        (tmp_path / name).write_text(name)
    with extracted_archive(archive_model(tmp_path)) as folder:
        assert (Path(folder) / "vocabulary" / "tokens.txt").read_text() == "vocabulary/tokens.txt"


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("unpickled",)


def test_weights_are_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.load`, as AllenNLP calls it for a model's weights, rejects code in the versions of PyTorch in use."""
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": _Evil()}, tmp_path / "weights.th")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "weights.th")
    assert not (tmp_path / "unpickled").exists()
