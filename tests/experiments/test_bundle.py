"""Bundles of a sweep's files: on another machine, a run is the same with other paths."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import time
from pathlib import Path

import pytest

from elmo_mf.errors import InputError
from elmo_mf.experiments import Bundle, last_names, workspace
from elmo_mf.experiments._bundle import clear_unused, is_there, private_folder, unpack
from elmo_mf.io.locks import holding
from elmo_mf.provenance import file_hash
from elmo_mf.tasks import SweepSpec, expand
from elmo_mf.tasks._measurement import execute
from elmo_mf.tasks._portable import PortableSweep
from tests.sweeps import TinySweep, records_here


def _spec(tiny_sweep: TinySweep, tmp_path: Path) -> SweepSpec:
    (tmp_path / "text.txt").write_text("some words\nand others\n" * 9)
    keys = {"method": "whitened_svd", "rank": 2, "targets": "all", "calibration": str(tmp_path / "text.txt")}
    distill = {"text": str(tmp_path / "text.txt"), "steps": 2}
    return tiny_sweep(methods=[], compressions=[keys | {"distill": distill}], limit={"train": 16})


@pytest.mark.slow
def test_a_run_runs_where_its_paths_are_gone(
    tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _spec(tiny_sweep, tmp_path)
    expected = records_here(spec, tmp_path / "here")[1]
    run = expand(spec)[1]
    sweep = PortableSweep(spec, [run], tmp_path / "scratch")
    sent = pickle.dumps((sweep.run(run), {name: p.read_bytes() for name, p in sweep.bundle.paths.items()}))
    for gone in ("data", "elmo", "text.txt", "scratch"):
        shutil.move(tmp_path / gone, tmp_path / f"gone-{gone}")

    portable, contents = pickle.loads(sent)
    parts = [portable.spec.model_dump(), portable.compression.to_dict(), portable.identity.to_dict()]
    assert str(tmp_path) not in json.dumps(parts)
    assert sum(len(content) for name, content in contents.items() if name.startswith("data/data/sst/train")) < 4_000
    for name, content in contents.items():
        unpack(tmp_path / "there", name, content)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()  # other data than what was sent
    there, again = portable.unpacked(tmp_path / "there")
    assert again.id == run.id
    with workspace(tmp_path / "there" / "work") as work:
        record = execute(there, again, work)
    assert record.scores == pytest.approx(expected["scores"], rel=1e-5)
    assert [record.elmo and record.elmo.to_dict(), record.data] == [expected["elmo"], expected["data"]]


@pytest.mark.slow
def test_names_tell_contents_apart(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = _spec(tiny_sweep, tmp_path)
    runs = expand(spec)
    before = PortableSweep(spec, runs, tmp_path / "a").bundle.id
    assert PortableSweep(spec, runs, tmp_path / "b").bundle.id == before
    with open(tmp_path / "data" / "sst" / "dev.txt", "a") as file:
        file.write("(3 fine)\n")
    assert PortableSweep(spec, runs, tmp_path / "c").bundle.id != before


@pytest.mark.slow
def test_word_vectors_travel_to_the_tasks_that_read_them(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the 1 2")
    glove = {"sst": str(tmp_path / "words.txt"), "squad": str(tmp_path / "gone.txt")}
    spec = SweepSpec.from_file(None, tasks=["snli", "sst"], methods=[], preset="paper", glove=glove)
    runs = expand(spec)
    sweep = PortableSweep(spec, runs, tmp_path / "scratch")
    assert [name for name in sweep.bundle.paths if name.endswith("words.txt")] == [sweep.spec.glove_of("sst")]
    there, _ = sweep.run(runs[1]).unpacked(tmp_path / "there")
    assert there.glove_of("sst") == str(tmp_path / "there" / str(sweep.spec.glove_of("sst")))
    assert there.glove_of("snli") is None


def test_too_large(tmp_path: Path) -> None:
    bundle = Bundle()
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(600))
        bundle.add(str(tmp_path / name))
    bundle.check_size(1200)
    with pytest.raises(InputError, match=r"^ray: found 1,200 bytes .*1,199"):
        bundle.check_size(1199)


def test_the_demo_data_is_there_already(tmp_path: Path) -> None:
    spec = SweepSpec.from_file(None, tasks=["sst"], ranks=[4])
    assert not [name for name in PortableSweep(spec, expand(spec), tmp_path).bundle.paths if name.startswith("data")]


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "own")
    assert private_folder(folder) == folder and folder.stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    names = ["link", "file", "open"]
    if os.getuid() == 0:
        names.append("stranger")
        (tmp_path / "stranger").mkdir(0o700)
        os.chown(tmp_path / "stranger", 1001, 1001)
    for name in names:
        with pytest.raises(
            InputError,
            match=f"{name}: ",
        ):
            private_folder(tmp_path / name)


@pytest.mark.parametrize("what", ["same", "other", "cut", "link", "pipe", "gone"])
def test_a_file_that_is_there_is_compared_with_its_hash(what: str, tmp_path: Path) -> None:
    unpack(tmp_path, "a/weights", b"content")
    sha256, path = file_hash(tmp_path / "a" / "weights"), tmp_path / "a" / "weights"
    if what in ("other", "cut"):
        path.write_bytes(b"contend" if what == "other" else b"conten")
    elif what != "same":
        path.unlink()
        if what == "link":
            path.symlink_to("/dev/zero")
        elif what == "pipe":
            os.mkfifo(path)
    assert is_there(tmp_path, "a/weights", sha256) is (what == "same")
    unpack(tmp_path, "a/weights", b"content")
    assert is_there(tmp_path, "a/weights", sha256) and not path.is_symlink()


def test_bundles_that_nobody_uses_go(tmp_path: Path) -> None:
    for name, days in (("old", 9), ("held", 9), ("new", 1)):
        unpack(tmp_path, f"{name}/weights", b"content")
        (tmp_path / name / ".use").touch()
        os.utime(tmp_path / name / ".use", (0, time.time() - days * 86_400))
    with holding(tmp_path / "held" / ".use", shared=True):
        clear_unused(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["held", "new"]


@pytest.mark.parametrize("data", ["corpora", ".", "../x/", "/"])
def test_names_in_a_bundle_end_as_where_it_was_made(data: str) -> None:
    """Records contain these names, which cannot lead out of a folder."""
    name = last_names(data, 1)
    assert name == Path(data).resolve().name and last_names(f"/there/data/{name}", 1) == (name or "data")
    assert last_names("weights.hdf5", 2) == f"{Path.cwd().name}/weights.hdf5"
