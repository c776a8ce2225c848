"""Trained models, each trained once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceleration.models import TAGGER, stock_config, trained
from tests.conftest import random_bilm

Archives = Callable[[str], Path]


@pytest.fixture(autouse=True)
def timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time every form in one round, where no test looks at how fast it is."""
    monkeypatch.setattr("elmo_mf.acceleration.speed._ROUNDS", 1)


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Train a model of a task, whose ELMo is fine-tuned for the tagger, and remove the ELMo's files."""
    kept: dict[str, Path] = {}

    def archive(task: str) -> Path:
        if task not in kept:
            folder = tmp_path_factory.mktemp(task)
            random_bilm(seed=len(kept)).save(folder / "elmo")
            files = folder / "elmo" / "options.json", folder / "elmo" / "weights.hdf5"
            tuned = {"requires_grad": True} if task == TAGGER else {"do_layer_norm": True}
            kept[task] = trained(stock_config(task, files, folder / "data", **tuned), folder / "out")
            shutil.rmtree(folder / "elmo")
        return kept[task]

    return archive
