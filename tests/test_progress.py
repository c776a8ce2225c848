"""Tests of the stages of long computations."""

from __future__ import annotations

import pytest

from elmo_mf import Compression
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.cli._progress_bar import Stages, phases_shown
from elmo_mf.compression import compress
from elmo_mf.experiments import Progress as RunProgress
from elmo_mf.progress import reported_to, stage, track
from tests.conftest import random_bilm, stages_call


def test_items_are_steps() -> None:
    done: list[float] = []
    with stages_call(done.append):
        assert list(track("abc", "letters", "letters")) == ["a", "b", "c"] and done == [1, 2, 3]
    assert list(track("abc", "letters", "letters")) == ["a", "b", "c"] and done == [1, 2, 3]  # silent again


def test_without_a_terminal_stages_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with reported_to(Stages()):
        for _ in track(range(1200), "examples \x1b[31m[red]", "examples"):
            with stage("inside", 100, "%") as advance:
                advance(50, "loss 1")
            break
    assert capsys.readouterr().out == "examples \\x1b[31m[red]: 1,200 examples\ninside\n"


def test_without_a_terminal_long_stages_say_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with reported_to(Stages(line_seconds=0)):
        with stage("training", 2000, "steps") as advance:
            advance(1500, "loss 1")
        with stage("timing", 100, "%") as advance:
            advance(40)
    assert capsys.readouterr().out.splitlines() == [
        "training: 2,000 steps", "training: 1,500 of 2,000 steps, loss 1", "timing", "timing: 40 %"
    ]  # fmt: skip


def test_phases_of_a_run_are_stages() -> None:
    begun: list[str] = []
    done: list[float] = []
    with stages_call(done.append, begun.append), phases_shown() as report:
        for phase, share in (("training", 0.0), ("training", 0.25), ("training", 0.75), ("scoring", 0.5)):
            report(RunProgress(phase, share))
    assert begun == ["training", "scoring"] and done == [0, 25, 75, 50]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "stages"),
    [
        ({"rank": 2}, ["factorization"]),
        ({"rank": 2, "method": "whitened_svd"}, ["input covariances", "factorization"]),
        (
            {"budget": {"share": 0.3}, "highway_rank": "budget"},
            ["inputs of highway layers", "decomposition", "rank allocation"],
        ),
        (
            {"budget": {"share": 0.3}, "method": "whitened_svd", "inputs": "compressed"},
            ["input covariances", "decomposition", "rank allocation", "factorization in order"],
        ),
    ],
)
def test_stages_of_a_compression(settings: dict[str, object], stages: list[str]) -> None:
    begun: list[str] = []
    bilm = random_bilm()
    options: BilmOptions = bilm.options
    weights: BilmWeights = bilm.weights()
    with stages_call(begun=begun.append):
        compress(weights, options, Compression.model_validate({"method": "svd", "targets": "all"} | settings))
    assert begun == stages
