"""Tests of the progress that a running sweep shows."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

from elmo_mf.cli._live_view import _Live, live_view
from elmo_mf.experiments import Outcome, Progress
from elmo_mf.records.run import Run
from elmo_mf.tasks import SweepSpec, expand
from tests.records.samples import parsed, record


@pytest.fixture
def runs() -> list[Run]:
    return expand(SweepSpec.from_file(None, tasks=["sst"], methods=[], seeds=[1, 2]))


def _screen(bars: Bars) -> str:
    console = Console(width=120, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(bars.get_renderable())
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_bars(runs: list[Run]) -> None:
    """The sweep and each running run have a bar, with loss and metric; finished runs are lines."""
    out = io.StringIO()
    bars = Bars(BarColumn(), TextColumn("{task.fields[text]}", markup=False), console=Console(file=out, width=120))
    view = _Live(bars, total=5, before=3)
    view.started(runs[0])
    view.started(runs[1])
    view.progress(runs[0], Progress("training", 0.5, 1.2345, 0.25))
    text = _screen(bars)
    assert "3/5 runs" in text and "sst dense seed 2: starting" in text
    assert "sst dense seed 1: training loss 1.234 accuracy 0.250" in text
    view.done(Outcome(runs[0], parsed(record(None, 0.4, seconds=61.0))))
    view.done(Outcome(runs[1], error="ValueError: no", log=Path("out.log")))
    assert "5/5 runs" in _screen(bars) and "seed 1:" not in _screen(bars)
    assert out.getvalue().splitlines() == [
        "sst dense seed 1: accuracy 0.4000, encoder 2.00x, 61 s", "sst dense seed 2: FAILED ValueError: no"
    ]  # fmt: skip


@pytest.mark.parametrize("quiet", [False, True])
def test_lines_elsewhere(quiet: bool, runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    with live_view(2, 0, quiet) as view:
        view.started(runs[0])
        view.progress(runs[0], Progress("training", 0.5, 1.0))
        view.done(Outcome(runs[0], parsed(record(None, 0.4))))
    line = "sst dense seed 1: accuracy 0.4000, encoder 2.00x, 60 s\n"
    assert capsys.readouterr().out == ("" if quiet else line)
