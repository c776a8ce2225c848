"""Tests of packed records, and of reports without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from elmo_mf.compression import Compression, method_names
from elmo_mf.leaderboard.aggregate import boards
from elmo_mf.leaderboard.exports import export
from elmo_mf.leaderboard.page.page_data import page_data
from elmo_mf.leaderboard.read_records import records_of
from elmo_mf.records.packed import PackedRecord, Records, select
from tests.conftest import ROOT
from tests.records.samples import parsed, record, signed, write

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


@pytest.mark.slow
def test_reports_need_no_torch(tmp_path: Path) -> None:
    """Reports of any method do not import PyTorch, which takes a second and 200 MB."""
    records = [record(None, 0.4)]
    for name in method_names():
        entry = record(4, 0.3)
        entry["run"]["compression"] = Compression(method=name, rank=4, targets="all").to_dict()
        records.append(signed(entry))
    write(tmp_path, records)
    code = "import sys; from elmo_mf.cli.main import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "leaderboard", str(tmp_path), "--export", "csv,json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "False" and (tmp_path / "index.html").is_file()
