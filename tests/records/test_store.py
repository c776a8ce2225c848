"""Tests that records are written atomically, and invalid ones rejected."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.errors import InputError
from elmo_mf.records.record import Measurements, read_record
from elmo_mf.records.run import Run
from elmo_mf.records.store import RecordStore
from elmo_mf.tasks import SweepSpec, expand
from tests.records.samples import measurements, parsed, record, signed


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return expand(SweepSpec.from_file(None, tasks=["sst"], ranks=[4]))


def _result(**changes: Any) -> Measurements:
    """Build the measurements of a run."""
    return measurements(record(None, 0.4) | changes)


def test_written_and_read(runs: list[Run], tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    assert not store.has(runs[1]) and not store.records()
    store.write(runs[1], _result())
    (stored,) = store.records()
    assert store.has(runs[1]) and not store.has(runs[0])
    assert stored == store.read(runs[1]) and (stored.id, stored.run) == (runs[1].id, runs[1].identity)
    assert all(getattr(stored, name) == value for name, value in _result())
    assert [path.name for path in (tmp_path / "records").iterdir()] == [f"{runs[1].name}.json"]


@pytest.mark.parametrize("wrong", [{"scores": object()}, {"scores": {}}, {"seconds": float("nan")}, {"data": 3}])
def test_a_record_that_cannot_be_written_leaves_the_old_one(
    wrong: dict[str, Any], runs: list[Run], tmp_path: Path
) -> None:
    store = RecordStore(tmp_path)
    store.write(runs[1], _result())
    before = store.path(runs[1]).read_bytes()
    with pytest.raises((TypeError, InputError)):
        store.write(runs[1], _result(**wrong))
    assert store.path(runs[1]).read_bytes() == before
    assert len(list((tmp_path / "records").iterdir())) == 1


def test_what_is_no_record_is_set_aside(runs: list[Run], tmp_path: Path) -> None:
    """Truncated, copied and altered records and folders are named and moved; the valid record stays."""
    store = RecordStore(tmp_path)
    for run in runs:
        store.write(run, _result())
    good, path = store.path(runs[0]), store.path(runs[1])
    text = path.read_text()
    path.write_text(text[:-300])
    (store.folder / "another-0000000000.json").write_text(good.read_text())
    altered = json.loads(good.read_text())
    altered["run"]["seed"] = 14
    (store.folder / f"altered-{runs[0].id[:10]}.json").write_text(json.dumps(altered))
    (store.folder / "folder.json").mkdir()
    assert not store.has(runs[1]) and [one.id for one in store.records()] == [runs[0].id]
    assert len(store.problems) == 4 and all("\n" not in problem for problem in store.problems.values())

    lines = RecordStore(tmp_path).set_aside([*store.problems, good])
    assert len(lines) == 4 and all(line.endswith("it was moved to set-aside/") for line in lines)
    assert [one.name for one in store.folder.iterdir()] == [good.name]
    assert (tmp_path / "set-aside" / path.name).read_text() == text[:-300]
    path.write_text("{")
    RecordStore(tmp_path).set_aside([path])
    assert (tmp_path / "set-aside" / f"{path.stem}-2.json").read_text() == "{"  # nothing is overwritten


def _of_task(name: str) -> dict[str, Any]:
    entry = record(None, 0.4)
    entry["run"]["task"] = name
    return signed(entry)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ('{"format": 3', "not JSON"),
        ("[]", "found []"),
        (json.dumps(record(None, 0.4) | {"format": 1}), "format: found 1"),
        (json.dumps({"format": 3, "id": "x"}), "run: "),
        (json.dumps(record(None, 0.4) | {"seconds": "1"}), "seconds: found '1'"),
        (json.dumps(record(None, 0.4) | {"id": "0"}), "id: found '0'"),
        (json.dumps(record(None, 0.4) | {"scores": {"loss": 1.0}}), "scores.accuracy: "),
        (json.dumps(_of_task("../x")), "run.task: found '../x'"),
        (json.dumps(record(None, 0.4)).replace("0.4", "NaN"), "scores.accuracy: found nan"),
        (json.dumps(record(None, 0.4)).replace("0.4", "1" * 400), "scores.accuracy: found "),
        ("[" * 100_000, "not JSON"),
        (" " * 1_100_000, "1,000,000 bytes"),
    ],
)  # fmt: skip
def test_errors(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_record(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(path))


def _deep(levels: int) -> Any:
    return {} if levels == 0 else {"x": _deep(levels - 1)}


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        ("size.lstm_parameters", 10**30, "size.lstm_parameters: found 1000"),
        ("size.lstm_parameters", 0, "size.lstm_parameters: found 0, "),
        ("size.encoder_bytes", 10**400, "size.encoder_bytes: found 1000"),
        ("run.seed", 2**70, "run.seed: found 1180591620717411303424, "),
        ("run.seed", -1, "run.seed: found -1, "),
        ("scores.accuracy", 1e300, "scores.accuracy: found 1e+300, "),
        ("latency.encoder.1.median_ms", 1e-300, "latency.encoder.1.median_ms: found 1e-300, "),
        ("latency", {"encoder": {}, "model": {}}, "latency.encoder: found {}, "),
        ("examples", {"train": 1, "validation": 1, "test": 0}, "examples.test: found 0"),
        ("examples", {"test": 1}, "examples.train: "),
        ("run.elmo", {}, "run.elmo.options: "),
        ("run.elmo", None, "elmo: found {'name': 'demo/weights.hdf5', "),
        ("elmo", None, "elmo: found None"),
        ("run.compression.layers", 5, "run.compression.layers: found 5"),
        ("run.compression.directions", 5, "run.compression.directions: found 5"),
        ("run.compression.directions", None, "run.compression.directions: found None"),
        ("run.compression.allow_larger", {}, "run.compression.allow_larger: found {}"),
        ("run.compression.rank", 10**300, "run.compression.rank: found 1000"),
        ("run.config.x", float("nan"), "run.config.x: found nan"),
        ("run.config.x", {"y": [1, 10**20]}, "run.config.x.y.1: found 100000000000000000000"),
        ("run.config.x", "x" * 10_001, "10000 characters"),
        ("run.config.x", {"y" * 201: 1}, "200 characters"),
        ("run.config.x", _deep(64), "64 levels"),
        ("run.config.x", "\ud800", "not JSON"),
        ("run.scoring.metrics", {"x": "lower"}, "run.scoring.primary: found 'accuracy'"),
        ("run.compression.settings", {"x": float("inf")}, "settings.x: found inf"),
        ("machine.cpu", "x" * 1001, "machine.cpu: found 'xxx"),
        ("versions.x", 1, "versions.x: found 1, "),
        ("matrices", [{}], "matrices.0.layer: "),
    ],
)  # fmt: skip
def test_what_no_report_could_show(at: str, value: Any, message: str, tmp_path: Path) -> None:
    """Numbers, texts and depths out of bounds are rejected, even with a correct id."""
    entry: Any = record(4, 0.4)
    entry["machine"] = dict(entry["machine"])
    *above, last = at.split(".")
    inner = entry
    for key in above:
        inner = inner[key]
    inner[last] = value
    path = tmp_path / "r.json"
    path.write_text(json.dumps(signed(entry)))
    with pytest.raises(InputError) as error:
        read_record(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


def test_a_byte_order_mark_is_no_part_of_a_record(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(record(4, 0.4)), encoding="utf-8-sig")
    assert read_record(path).score == 0.4


def test_devices_and_pipes_are_no_records(tmp_path: Path) -> None:
    """Devices and pipes are neither read nor waited for."""
    store = RecordStore(tmp_path)
    store.folder.mkdir()
    (store.folder / "a-0123456789.json").symlink_to("/dev/zero")
    os.mkfifo(store.folder / "b-0123456789.json")
    (store.folder / "c-0123456789.json").symlink_to(tmp_path / "gone")
    assert not store.records() and len(store.problems) == 3
    assert [problem.count("not a regular file") for problem in store.problems.values()] == [1, 1, 0]


def _named(entry: dict[str, Any]) -> str:
    return parsed(entry).file_name


def test_a_run_counts_once(tmp_path: Path) -> None:
    """Copies and repetitions of a run do not count, whatever their file names."""
    store, first, again = RecordStore(tmp_path), record(4, 0.4), record(4, 0.3)
    store.folder.mkdir()
    (store.folder / _named(first)).write_text(json.dumps(first))
    copy = store.folder / f"a-copy-{first['id'][:10]}.json"
    copy.write_text(json.dumps(first))
    assert list(store.records()) == [parsed(first)]
    assert store.problems[copy].endswith(f"found the run of {_named(first)} again, with the same scores, "
                                         "expected one record of it")  # fmt: skip
    copy.write_text(json.dumps(again))
    assert list(store.records()) == [parsed(first)] and "again, with other scores" in store.problems[copy]
    assert RecordStore(tmp_path).set_aside([copy]) == [] and copy.exists()
    (store.folder / _named(first)).unlink()
    copy.rename(store.folder / f"b-{first['id'][:10]}.json")
    (store.folder / f"c-{first['id'][:10]}.json").write_text(json.dumps(first))
    assert list(store.records()) == [parsed(again)]  # the first by name, if no file has the run's name


def test_a_run_counts_once_however_its_compression_is_written(tmp_path: Path) -> None:
    store, plain, other = RecordStore(tmp_path), record(4, 0.4), record(4, 0.4)
    other["run"]["compression"] |= {"targets": "all", "settings": {}}
    store.folder.mkdir()
    for index, entry in enumerate((plain, signed(other))):
        (store.folder / f"{index}-{entry['id'][:10]}.json").write_text(json.dumps(entry))
    assert len(store.records()) == len(store.problems) == 1
