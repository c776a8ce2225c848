"""Records are written whole, and nothing is trusted that is no record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.errors import InputError
from elmo_mf.harness.grid import Cell, expand
from elmo_mf.harness.record import read_record
from elmo_mf.harness.spec import SweepSpec
from elmo_mf.harness.store import ResultStore
from tests.report.records import record, signed


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return expand(SweepSpec.from_file(None, tasks=["sst"], ranks=[4]))


def _result(**changes: Any) -> dict[str, Any]:
    """What `run_cell` returns."""
    made = record(None, 0.4) | changes
    return {key: value for key, value in made.items() if key not in ("format", "id", "cell")}


def test_written_and_read(cells: list[Cell], tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    assert not store.has(cells[1]) and store.records() == []
    store.write(cells[1], _result())
    expected = {"format": 2, "id": cells[1].id, "cell": cells[1].identity} | _result()
    assert store.has(cells[1]) and not store.has(cells[0]) and store.records() == [expected]
    assert [path.name for path in (tmp_path / "records").iterdir()] == [f"{cells[1].name}.json"]


@pytest.mark.parametrize("wrong", [{"scores": object()}, {"scores": {}}, {"seconds": float("nan")}, {"data": 3}])
def test_a_record_that_cannot_be_written_leaves_the_old_one(
    wrong: dict[str, Any], cells: list[Cell], tmp_path: Path
) -> None:
    store = ResultStore(tmp_path)
    store.write(cells[1], _result())
    before = store.path(cells[1]).read_bytes()
    with pytest.raises((TypeError, InputError)):
        store.write(cells[1], _result(**wrong))
    assert store.path(cells[1]).read_bytes() == before
    assert len(list((tmp_path / "records").iterdir())) == 1


def test_what_is_no_record_is_set_aside(cells: list[Cell], tmp_path: Path) -> None:
    """Truncated, another's, altered, no file: each is named and moved, and the good one stays."""
    store = ResultStore(tmp_path)
    for cell in cells:
        store.write(cell, _result())
    good, path = store.path(cells[0]), store.path(cells[1])
    text = path.read_text()
    path.write_text(text[:-300])
    (store.folder / "another-0000000000.json").write_text(good.read_text())
    altered = json.loads(good.read_text())
    altered["cell"]["seed"] = 14
    (store.folder / f"altered-{cells[0].id[:10]}.json").write_text(json.dumps(altered))
    (store.folder / "folder.json").mkdir()
    assert not store.has(cells[1]) and [one["id"] for one in store.records()] == [cells[0].id]
    assert len(store.problems) == 4 and all("\n" not in problem for problem in store.problems.values())

    lines = ResultStore(tmp_path).set_aside([*store.problems, good])
    assert len(lines) == 4 and all(line.endswith("it was moved to set-aside/") for line in lines)
    assert [one.name for one in store.folder.iterdir()] == [good.name]
    assert (tmp_path / "set-aside" / path.name).read_text() == text[:-300]
    path.write_text("{")
    ResultStore(tmp_path).set_aside([path])
    assert (tmp_path / "set-aside" / f"{path.stem}-2.json").read_text() == "{"  # nothing is overwritten


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found something that is not JSON"),
        ('{"format": 2', "found something that is not JSON"),
        ("[]", "it: found [], expected a result record"),
        (json.dumps(record(None, 0.4) | {"format": 1}), "format: found 1, expected a result record (Input should be"),
        (json.dumps({"format": 2, "id": "x"}), "cell: found nothing, expected a result record (Field required)"),
        (json.dumps(record(None, 0.4) | {"seconds": "1"}), "seconds: found '1'"),
        (json.dumps(record(None, 0.4) | {"id": "0"}), "id: found '0', expected '"),
        (json.dumps(record(None, 0.4) | {"scores": {"loss": 1.0}}), "scores.accuracy: found nothing"),
        (json.dumps(signed({**(one := record(None, 0.4)), "cell": one["cell"] | {"task": "x"}})), "cell: tasks: found"),
        (json.dumps(record(None, 0.4)).replace("0.4", "NaN"), "scores.accuracy: found nan"),
        (json.dumps(record(None, 0.4)).replace("0.4", "1" * 400), "scores.accuracy: found "),
        ("[" * 100_000, "found something that is not JSON"),
        ("\0" * 11_000_000, "found 11000000 bytes, expected a record of at most 10000000"),
    ],
)  # fmt: skip
def test_errors(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_record(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(path))
