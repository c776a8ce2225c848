"""Records are written whole and read with care."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.errors import InputError
from elmo_mf.harness.grid import Cell, SweepSpec, expand
from elmo_mf.harness.store import ResultStore, read_record


@pytest.fixture(scope="module")
def cell() -> Cell:
    return expand(SweepSpec.from_file(None, tasks=["sst"], ranks=[4]))[1]


def _record(**changes: Any) -> dict[str, Any]:
    return {"cell": {}, "scores": {}, "size": {}, "latency": {}, "versions": {}, "machine": {}, "seconds": 1} | changes


def test_written_and_read(cell: Cell, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    assert not store.has(cell) and store.records() == []
    store.write(cell, _record())
    assert store.has(cell) and store.records() == [_record(format=1, id=cell.id)]
    assert [path.name for path in (tmp_path / "records").iterdir()] == [f"{cell.name}.json"]


def test_a_record_that_cannot_be_written_leaves_the_old_one(cell: Cell, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.write(cell, _record())
    before = store.path(cell).read_bytes()
    with pytest.raises(TypeError):
        store.write(cell, _record(scores=object()))
    assert store.path(cell).read_bytes() == before
    assert len(list((tmp_path / "records").iterdir())) == 1


def test_another_cells_record_under_its_name_does_not_count(cell: Cell, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.write(cell, _record())
    store.path(cell).write_text(json.dumps(_record(format=1, id="0" * 64)))
    assert not store.has(cell)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found something that is not JSON"),
        ('{"format": 1', "found something that is not JSON"),
        ("[]", "format: found nothing"),
        (json.dumps({"format": 1, "id": "x"}), "cell: found nothing, expected a result record's field"),
        (json.dumps(_record(format=99, id="x")), "format: found 99, expected 1"),
    ],
)
def test_errors(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_record(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)
