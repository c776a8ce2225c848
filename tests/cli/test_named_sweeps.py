"""Sweeps by name, in a folder that has none of the package's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from elmo_mf.addresses import local_path
from elmo_mf.bilm.checkpoint_files import checkpoint_files
from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from elmo_mf.resources import share
from elmo_mf.tasks import SweepSpec, named_sweeps, sweep_file


def test_a_name_is_a_file_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sweep_file(Path("published/probes")) == share() / "jsonnet" / "sweeps" / "published" / "probes.jsonnet"
    assert all(sweep_file(Path(name)).is_file() for name in named_sweeps())


def test_embedded_elmos_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = SweepSpec.from_file(sweep_file(Path("published/norms")))
    assert Path(spec.options).samefile(share() / "weights/base/options.json") and Path(spec.weights).is_file()
    for name in ("demo", "base", "books", "quarter"):
        with checkpoint_files(f"weights/{name}") as files:
            assert files.weights.is_file()
    assert not Path(local_path("weights/original")).exists()
    (tmp_path / "weights/base").mkdir(parents=True)
    assert local_path("weights/base") == "weights/base"


def test_a_path_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that looks like a name, and one that does not exist, for the error of whatever reads it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper").write_text("{}")
    for path in (Path("paper"), Path("mine.jsonnet")):
        assert sweep_file(path) == path


def test_a_name_that_is_almost_right() -> None:
    with pytest.raises(InputError, match=r"found papr"):
        sweep_file(Path("papr"))


def test_the_list_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == list(named_sweeps())
    assert all(20 < len(line) < 200 for line in lines)
