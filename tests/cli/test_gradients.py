"""`elmo-mf gradients`: one process at a time, gone on from after an interruption, and nothing left of what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from elmo_mf.cli.main import main
from elmo_mf.harness import cell, gradients
from elmo_mf.io import exclusive
from tests.conftest import random_bilm, small_data


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command but for its output, on a tiny ELMo and a few sentences."""
    monkeypatch.chdir(tmp_path)
    random_bilm().save(Path("elmo"))
    small_data("sst", Path("data/sst"), 6)
    return ["gradients", "sst", "g.hdf5", "--data", "data", "--limit", "4", "--options", "elmo/options.json",
            "--weights", "elmo/weights.hdf5"]  # fmt: skip


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def content(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, one: found.update({name: one[()].tobytes()} if hasattr(one, "shape") else {}))
    return found


def test_an_interrupted_run_is_gone_on_from(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    Path("g.hdf5").rename("whole.hdf5")
    capfd.readouterr()

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gradients, "row_weights", interrupted)
        assert main(command) == 130
    told = capfd.readouterr().err.splitlines()
    assert told[-1] == "elmo-mf: interrupted; the same command goes on from what is saved"
    assert not Path("g.hdf5").exists()

    def again(*_: Any) -> None:
        raise AssertionError("activations that are there were computed again")

    monkeypatch.setattr(cell, "write_activations", again)
    assert main(command) == 0
    assert "going on with what is in g.hdf5.parts" in capfd.readouterr().out
    assert content(Path("g.hdf5")) == content(Path("whole.hdf5"))
    assert names() == ["data", "elmo", "g.hdf5", "whole.hdf5"]


def test_a_second_process_is_told_of_the_first(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with exclusive(Path("g.hdf5.parts"), "the output"):
        assert main(command) == 2
        assert "another process is writing the output g.hdf5" in capfd.readouterr().err
    assert names() == ["data", "elmo"]


def test_a_loss_that_is_no_number_leaves_nothing(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gradients, "_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    assert main(command) == 2
    assert "gradients: loss: found nan, expected a finite number" in capfd.readouterr().err
    assert names() == ["data", "elmo"]


def test_wrong_data_is_told_before_the_training(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cell, "training_loop", lambda *_: pytest.fail("it was trained"))
    (train,) = Path("data").rglob("train*")
    with train.open("a") as file:
        file.write("(3 (2 It) (9 works))\n")
    assert main(command) == 2
    assert f"{train}: line 7: " in capfd.readouterr().err
    assert names() == ["data", "elmo"]
