"""Every report on mutated records that are signed again, so that what is behind their hash is reached."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elmo_mf.analysis import cost_table, findings
from elmo_mf.analysis._explanation import norm_table
from elmo_mf.analysis.correlations import explain
from elmo_mf.errors import InputError
from elmo_mf.escape import markdown
from elmo_mf.leaderboard import Board, boards, compare, records_of, table, verdict
from elmo_mf.leaderboard._charts import figure, methods_of
from elmo_mf.leaderboard._export_kinds import KINDS
from elmo_mf.leaderboard._vega import draw
from elmo_mf.leaderboard.exports import write_exports
from elmo_mf.leaderboard.page import as_json, page_data
from elmo_mf.leaderboard.readme import header, remarks, summary
from elmo_mf.records.record import read_record
from elmo_mf.tasks import SweepSpec
from elmo_mf.tasks._status import seconds_of
from tests.leaderboard.test_hostile import full
from tests.records.samples import record, signed, write

_PLOTTED = 25  # one record of so many is drawn too
Mutation = Callable[[Any, random.Random], Any]


def signed_mutant(mutated: Mutation) -> Callable[[Path, random.Random], None]:
    """Writes a mutated record with the id that its mutated run has."""

    def make(path: Path, chance: random.Random) -> None:
        example = full()
        if part := chance.choice((None, "config", "compression", "scoring")):  # which are small beside the rest
            example["run"][part] = mutated(example["run"][part], chance)
        else:
            example = mutated(example, chance)
        if isinstance(example.get("run"), dict):
            example = signed(example)
        path.write_bytes(json.dumps(example).encode())

    return make


def read_and_report(path: Path) -> None:
    """Every report on a record beside others.

    Raises:
        InputError: it is no record.
    """
    parsed = read_record(path)
    raw = parsed.to_dict()
    dense = raw | {"matrices": [], "activation_error": None, "run": parsed.run.dense().to_dict()}
    folder = path.parent / "sweep"
    for old in (folder / "records").glob("*.json"):
        old.unlink()
    records = records_of(write(folder, [dense, raw, record(None, 0.4), record(4, 0.3, seed=2)]))
    seconds_of(SweepSpec.from_file(None, tasks=["sst"]), [], records)
    all_boards = boards(records)
    as_json(page_data(all_boards))
    assert header(all_boards) and summary(all_boards)
    write_exports(all_boards, folder, KINDS)
    for board in all_boards:
        _tables(board)
    try:
        compared = compare(folder, folder)
    except InputError:  # a task in several settings
        compared = []
    for one in compared:
        assert {verdict(row) for row in one.rows}
    if zlib.crc32(path.read_bytes()) % _PLOTTED == 0:
        assert draw([figure(board, methods_of(all_boards)) for board in all_boards])


def _tables(board: Board) -> None:
    remarks(board)
    table(board, markdown, "**{}**").to_markdown(index=False, disable_numparse=True)
    explanation = explain(board)
    if len(explanation.costs):
        for build_table in (cost_table, norm_table):
            build_table(explanation)
        assert findings([explanation]) and explanation.to_dict()
