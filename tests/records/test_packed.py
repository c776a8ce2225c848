"""Tests of packed records."""

from __future__ import annotations

import json
from pathlib import Path

from elmo_mf.leaderboard import boards, records_of
from elmo_mf.leaderboard.exports import export
from elmo_mf.leaderboard.page import page_data
from elmo_mf.records.packed import PackedRecord, Records, select
from tests.records.samples import parsed, record, write

_RECORDS = [parsed(record(rank, 0.4 + seed / 7, seed)) for rank in (None, 4, 8) for seed in (1, 2)]
_PACKED = Records([PackedRecord.pack(one, f"{index}.json") for index, one in enumerate(_RECORDS)])


def test_records_come_back_as_they_were() -> None:
    assert list(_PACKED) == _RECORDS and len(_PACKED) == 6 and _PACKED[-1] == _RECORDS[-1]
    assert list(_PACKED[1:3]) == _RECORDS[1:3] and _PACKED[1:3].names() == ["1.json", "2.json"]
    for records in (_PACKED, _RECORDS):
        assert list(select(records, [4, 0])) == [_RECORDS[4], _RECORDS[0]]
    assert sum(len(one.content) for one in _PACKED.packed) < len(json.dumps([one.to_dict() for one in _RECORDS])) / 2


def test_boards_are_the_same_of_both() -> None:
    (one,), (other,) = boards(_RECORDS), boards(_PACKED)
    assert one.frame.equals(other.frame) and export([one]) == export([other])
    assert page_data([one]) == page_data([other])


def test_a_page_names_the_files_as_they_are_called(tmp_path: Path) -> None:
    all_boards = boards(records_of(write(tmp_path, [one.to_dict() for one in _RECORDS])))
    files = page_data(all_boards, 0)["boards"][0]["files"]
    assert [name for _, name in files] == sorted(path.name for path in (tmp_path / "records").iterdir())
    assert [seed for seed, _ in files] == [1, 2] * 3
