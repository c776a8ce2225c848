"""Tests of exports, each of which is read back by another program."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from pydantic import BaseModel

from elmo_mf.errors import InputError
from elmo_mf.leaderboard import Board
from elmo_mf.leaderboard._export_kinds import KINDS
from elmo_mf.leaderboard.exports import Export, write_exports
from elmo_mf.records import Record
from tests.conftest import ROOT
from tests.records.samples import boards_of, record

_SCHEMAS: dict[str, type[BaseModel]] = {"board": Export, "record": Record}


def _boards() -> list[Board]:
    records = [record(None, 0.40, 1), record(None, 0.42, 2), record(4, 0.33, 1), record(4, 0.35, 2)]
    other = record(None, 0.5, 1)
    other["run"]["config"] = {}
    return boards_of([*records, other, record(None, 0.6, task="squad")])


def _file(name: str) -> Path:
    return ROOT / "docs" / f"{name}.schema.json"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables(kind: str, tmp_path: Path) -> None:
    (path,) = write_exports(_boards(), tmp_path, [kind])
    frame: Any = pd.read_csv(path) if kind == "csv" else pd.read_parquet(path)
    frame["setting"] = frame["setting"].astype(str)
    frame = frame.set_index(["task", "setting", "encoder"])
    assert sorted(frame.index) == [
        ("squad", "1", "dense"), ("sst", "1", "dense"), ("sst", "1", "svd all rank 4"), ("sst", "2", "dense"),
    ]  # fmt: skip
    row = frame.loc[("sst", "1", "svd all rank 4")]
    assert row["use"].startswith("elmo-mf compress options.json weights.hdf5 --method svd ")
    assert (row["metric"], row["seeds"], row["parameters"]) == ("accuracy", 2, 40)
    assert row["score"] == pytest.approx(0.34) and row["difference"] == pytest.approx(-0.07)
    assert row["encoder_1_speed_up"] == 2 and pd.isna(row["encoder_1_original"])
    assert (row["verdict"], row["score_low"], row["high"]) == (
        "worse",
        pytest.approx(0.2129, abs=1e-4),
        pytest.approx(-0.07),
    )


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    """Names of encoders, such as those of registered methods, are not evaluated as formulas."""
    boards = _boards()
    boards[0].frame["encoder"] = "=1+1"
    (path,) = write_exports(boards, tmp_path, ["csv"])
    assert pd.read_csv(path)["encoder"][0] == "'=1+1"


def test_json_is_as_its_schema_says(tmp_path: Path) -> None:
    (path,) = write_exports(_boards(), tmp_path, ["json"])
    value = json.loads(path.read_text())
    schema = json.loads(_file("board").read_text())
    jsonschema.validate(value, schema)
    squad, first, second = value["boards"]
    assert (squad["metric"], first["setting"], second["setting"]) == ("f1", "1", "2")
    dense, compressed = first["rows"]
    assert dense["use"] == "" and compressed["use"].endswith(" --targets all --rank 4 --out small")
    assert dense["compression"] is None and compressed["compression"]["rank"] == 4
    assert (
        compressed["verdict"] == "worse" and dense["verdict"] is None and compressed["times"]["model_32_median"] == 10
    )
    compressed["numbers"]["score"] = "0.34"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema)


def test_latex(tmp_path: Path) -> None:
    (path,) = write_exports(_boards(), tmp_path, ["tex"])
    text = path.read_text(encoding="utf-8")
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 3
    row = next(line for line in text.splitlines() if line.strip().startswith("svd all rank 4"))
    cells = [cell.strip() for cell in row.split("&")]
    assert cells[:3] == [r"svd all rank 4 $\diamond$", r"34.0 $\pm$ 12.7", "-7.0 [-7.0, -7.0]"]
    assert r"accuracy \%" in text and text.isascii()


def test_latex_shows_names_literally(tmp_path: Path) -> None:
    board = _boards()[0]
    named = replace(board, frame=board.frame.assign(encoder=r"a_1 <b> & {50 %} $|\#"))
    (path,) = write_exports([named], tmp_path, ["tex"])
    row = path.read_text(encoding="utf-8").splitlines()[5]
    assert row.startswith(r"a\_1 $<$b$>$ \& \{50 \%\} \$$|$\textbackslash \# ")


@pytest.mark.parametrize("name", _SCHEMAS)
def test_published_schemas_are_current(name: str) -> None:
    """The schemas in `docs` are current; `python -m tests.leaderboard.test_exports` writes them."""
    assert json.loads(_file(name).read_text()) == _SCHEMAS[name].model_json_schema()


def test_published_records_are_as_their_schema_says() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(_file("record").read_text()))
    for path in sorted((ROOT / "leaderboard" / "records").glob("*.json"))[::12]:
        validator.validate(json.loads(path.read_text()))


def test_unknown_kinds_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^export: found 'xls'"):
        write_exports(_boards(), tmp_path, ["csv", "xls"])
    assert not list(tmp_path.iterdir())


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boards = _boards()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"elmo-mf\[parquet\]"):
        write_exports(boards, tmp_path, ["parquet"])
    assert not list(tmp_path.iterdir())


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_exports(_boards(), tmp_path / name, list(KINDS))
    for kind in KINDS:
        assert (tmp_path / "a" / f"board.{kind}").read_bytes() == (tmp_path / "b" / f"board.{kind}").read_bytes()


if __name__ == "__main__":
    for name, model in _SCHEMAS.items():
        _file(name).write_text(json.dumps(model.model_json_schema(), indent=2) + "\n", encoding="utf-8")
