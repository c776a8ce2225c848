"""Run the cells of a sweep that are not recorded yet."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elmo_mf.harness.grid import Cell, SweepSpec
from elmo_mf.harness.store import ResultStore


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its record, or the error of one that failed."""

    cell: Cell
    record: dict[str, Any] | None
    error: str | None = None


def run_sweep(
    spec: SweepSpec,
    cells: list[Cell],
    output: Path,
    started: Callable[[Cell], None] = lambda _: None,
    done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run `cells` one after another; a record is written as soon as its cell is done, and a failure stops nothing."""
    from elmo_mf.harness.cell import run_cell

    store = ResultStore(output)
    outcomes = []
    for cell in cells:
        started(cell)
        try:
            record = run_cell(spec, cell, output)
            store.write(cell, record)
            outcome = Outcome(cell, record)
        except Exception as error:
            logging.getLogger(__name__).debug("cell failed", exc_info=True)
            outcome = Outcome(cell, None, " ".join(f"{type(error).__name__}: {error}".split())[:300])
        outcomes.append(outcome)
        done(outcome)
    return outcomes
