"""Tests of `elmo-mf gradients`: one process at a time, resumption after interruptions, no traces of failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from allennlp.commands.train import TrainModel

from elmo_mf.cli.main import main
from elmo_mf.experiments import Workspace
from elmo_mf.experiments._cache import Cache
from elmo_mf.io import exclusive
from tests.conftest import random_bilm, small_data


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a command for a tiny ELMo and a few sentences."""
    monkeypatch.chdir(tmp_path)
    random_bilm().save(Path("elmo"))
    small_data("sst", Path("data/sst"), 6)
    return ["gradients", "sst", "g.hdf5", "--data", "data", "--limit", "4", "--options", "elmo/options.json",
            "--weights", "elmo/weights.hdf5"]  # fmt: skip


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def content(path: Path) -> dict[str, bytes]:
    datasets: dict[str, bytes] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, one: datasets.update({name: one[()].tobytes()} if hasattr(one, "shape") else {}))
    return datasets


def refused(command: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with status 2, and return its error."""
    assert main(command) == 2
    return capfd.readouterr().err


def interrupted(*_: Any) -> Iterator[Any]:
    raise KeyboardInterrupt


def unexpected(*_: Any) -> None:
    raise AssertionError("this work was done already, or must not begin")


def interrupt(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command until its model is trained and the gradients begin."""
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "steps", interrupted)
        assert main(command) == 130


@pytest.mark.slow
def test_an_interrupted_run_is_resumed(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    Path("g.hdf5").rename("whole.hdf5")
    capfd.readouterr()

    interrupt(command, monkeypatch)
    assert capfd.readouterr().err.endswith("elmo-mf: interrupted; run the same command again to resume\n")
    assert not Path("g.hdf5").exists()

    monkeypatch.setattr(Cache, "make_room", unexpected)  # which activations need
    assert main(command) == 0
    assert "resuming from g.hdf5.parts" in capfd.readouterr().out
    assert content(Path("g.hdf5")) == content(Path("whole.hdf5"))
    assert names() == ["data", "elmo", "g.hdf5", "whole.hdf5"]


@pytest.mark.slow
def test_a_result_whose_parts_are_left(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The next command uses the parts of a run that was killed at its end, and trains nothing."""
    real = Path.rename

    def killed(path: Path, target: Path) -> Path:
        if path.name == "g.hdf5.parts":
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        assert main(command) == 130
    written = content(Path("g.hdf5"))
    monkeypatch.setattr(Workspace, "phase", unexpected)
    assert main(command) == 0
    assert content(Path("g.hdf5")) == written and names() == ["data", "elmo", "g.hdf5"]


def test_a_second_process_is_refused(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with exclusive(Path("g.hdf5.parts"), "the output"):
        assert "another process is writing the output g.hdf5" in refused(command, capfd)
    assert names() == ["data", "elmo"]


@pytest.mark.parametrize("name", ["letters.txt", "run.json"])
def test_the_folder_of_something_else(name: str, command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """The folder of another command such as `elmo-mf embed`, which uses the same name, is rejected."""
    Path("g.hdf5.parts").mkdir()
    Path("g.hdf5.parts", name).write_text('{"input": "precious"}')
    assert "g.hdf5.parts: found files of another run, expected none" in refused(command, capfd)
    assert Path("g.hdf5.parts", name).read_text() == '{"input": "precious"}'


@pytest.mark.slow
def test_a_loss_that_is_not_finite_leaves_nothing(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    real = TrainModel.run

    def diverged(loop: TrainModel) -> dict[str, Any]:
        metrics: dict[str, Any] = real(loop)
        with torch.no_grad():
            for parameter in loop.model.parameters():
                parameter.fill_(float("nan"))
        return metrics

    monkeypatch.setattr(TrainModel, "run", diverged)
    assert "gradients: loss: found nan, expected a finite number" in refused(command, capfd)
    assert names() == ["data", "elmo"]


@pytest.mark.slow
@pytest.mark.parametrize("resumed", [False, True])
def test_wrong_data_is_reported_before_the_training(
    resumed: bool, command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error comes first, and the work of an earlier run is kept."""
    if resumed:
        interrupt(command, monkeypatch)
    monkeypatch.setattr(Workspace, "phase", unexpected)
    (train,) = Path("data").rglob("train*")
    with train.open("a") as file:
        file.write("(3 (2 It) (9 works))\n")
    assert f"{train}: line 7: " in refused(command, capfd)
    assert names() == ["data", "elmo", *(["g.hdf5.parts"] if resumed else [])]
    assert bool(list(Path().glob("g.hdf5.parts/cache/activations/*"))) is resumed


@pytest.mark.slow
def test_the_data_are_not_replaced(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    (train,) = Path("data").rglob("train*")
    command[2] = str(train)
    assert "which would replace the input" in refused(command, capfd)
