"""A sweep's missing files are downloaded, and existing ones are not changed."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from elmo_mf.cli.main import main
from elmo_mf.experiments.executors import LocalExecutor
from elmo_mf.fetch import CATALOGUES, Source
from elmo_mf.resources import share
from elmo_mf.tasks import SweepSpec, missing_files
from tests.conftest import small_data
from tests.fetch.server import serving

PAPER = share() / "jsonnet" / "sweeps" / "paper.jsonnet"


def test_all_that_the_paper_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entries = {(one.kind, one.name, str(one.folder)) for one in missing_files(SweepSpec.from_file(PAPER))}
    data = {("data", task, f"data/{task}") for task in ("sst", "snli", "squad")}
    words = {("words", name, "words") for name in ("glove.840B.300d", "glove.6B.100d")}
    assert entries == {("weights", "original", "weights/original"), *data, *words}
    assert not [one for one in missing_files(SweepSpec.from_file(PAPER, preset="demo")) if one.kind == "words"]


def test_what_is_not_published_is_not_wanted(tmp_path: Path, elmo_files: Callable[..., tuple[Path, Path]]) -> None:
    options, weights = elmo_files("mine")
    keys = {"data": str(tmp_path / "data"), "options": str(options), "weights": str(weights)}
    assert missing_files(SweepSpec.from_file(None, tasks=["ptb"], **keys)) == []
    assert missing_files(SweepSpec.from_file(None, tasks=["sst"], options=str(options), weights=str(weights))) == []
    elsewhere = keys | {"weights": str(tmp_path / "small" / "weights.hdf5")}
    assert [one.kind for one in missing_files(SweepSpec.from_file(None, tasks=["sst"], **elsewhere))] == ["data"]


def test_files_of_ones_own_are_left_alone(tmp_path: Path) -> None:
    spec = SweepSpec.from_file(None, tasks=["sst"], data=str(tmp_path))
    small_data("sst", tmp_path / "sst")
    assert missing_files(spec) == []
    (tmp_path / "sst" / "dev.txt").unlink()
    assert missing_files(spec) == []
    (tmp_path / "sst" / "fetch.lock").write_text("{}")  # as after an interrupted download
    assert [one.name for one in missing_files(spec)] == ["sst"]


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_runs_are_listed_before_the_data_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those of data that cannot be downloaded, as in the paper's first setting."""
    monkeypatch.chdir(tmp_path)
    command = "sweep --tasks ptb,wikitext2 --data data --targets input --ranks 2".split()
    assert main([*command, "--dry-run"]) == 0
    stage, *runs, total, ptb, wikitext2 = capsys.readouterr().out.splitlines()
    assert (
        stage == "expansion of the grid: 2 tasks"
        and len(runs) == 4
        and runs[1] == "ptb svd input rank 2 seed 13"
        and total.startswith("4 runs; ")
    )
    for line, name in ((ptb, "ptb"), (wikitext2, "wikitext2")):
        assert line.startswith(f"data/{name}: no such folder, expected train.txt, valid.txt, test.txt, ")
    assert main(command) == 2 and "data/ptb/train.txt: no such data file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_that_fetches(
    tmp_path: Path,
    elmo_files: Callable[..., tuple[Path, Path]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for path in small_data("sst", tmp_path / "made").iterdir():
            opened.write(path, f"trees/{path.name}")
    options, weights = elmo_files("made")
    files = {"sst.zip": archive.getvalue(), "options.json": options.read_bytes(), "weights.hdf5": weights.read_bytes()}
    command = ["sweep", "--tasks", "sst", "--ranks", "2", "--data", "data", "--dry-run"]
    command += ["--options", "weights/small/options.json", "--weights", "weights/small/weights.hdf5"]
    assert main([word for word in command if word != "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("elmo-mf: error: weights/small/options.json: ")
    assert error.endswith("weights small, data sst\n")
    assert main(["sweep", "--tasks", "sst", "--data", "data", "--methods", "svdd"]) == 2
    assert "--fetch" not in capsys.readouterr().err
    with serving(files) as server:
        trees = {f"trees/{split}.txt": f"{split}.txt" for split in ("train", "dev", "test")}
        sha256 = hashlib.sha256(files["sst.zip"]).hexdigest()
        monkeypatch.setitem(CATALOGUES["data"], "sst", (Source(f"{server.address}/sst.zip", trees, sha256),))
        elmo = tuple(Source(f"{server.address}/{name}", {"": name}) for name in ("options.json", "weights.hdf5"))
        monkeypatch.setitem(CATALOGUES["weights"], "small", elmo)
        capsys.readouterr()
        assert main(command) == 0 and not server.ranges
        _, *listed = capsys.readouterr().out.splitlines()
        assert listed[2].startswith("2 runs") and listed[3:] == [
            "--fetch downloads weights small into weights/small", "--fetch downloads data sst into data/sst",
        ]  # fmt: skip
        assert main([*command, "--json", "runs.json"]) == 2 and not Path("runs.json").exists()
        capsys.readouterr()
        monkeypatch.setattr(LocalExecutor, "start", _interrupted)
        for _ in range(2):  # the second time, all files exist
            assert main([*(word for word in command if word != "--dry-run"), "--fetch"]) == 130
            assert len(server.ranges) == 3
        capsys.readouterr()
        assert main([*command, "--fetch"]) == 0
        _, _, *with_files = capsys.readouterr().out.splitlines()  # after two stages
        assert with_files[:2] == listed[:2] and "2 runs: 0 recorded" in with_files[2]
    assert main(command) == 0
