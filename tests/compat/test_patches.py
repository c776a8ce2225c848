"""Tests that each patch applies where it is needed, and nowhere else."""

from __future__ import annotations

import io
import pkgutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from allennlp.common import Params
from allennlp.common.plugins import import_plugins
from allennlp.training.learning_rate_schedulers import LearningRateScheduler


def _plateau(optimizer: torch.optim.Optimizer) -> LearningRateScheduler:
    params = Params({"type": "reduce_on_plateau", "factor": 0.5, "mode": "max", "patience": 0})
    return LearningRateScheduler.from_params(params, optimizer=optimizer)


def test_reduce_on_plateau() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = _plateau(optimizer)
    for metric, rate in ((0.5, 1.0), (0.6, 1.0), (0.6, 0.5), (0.7, 0.5), (0.1, 0.25)):
        scheduler.step(metric)
        assert optimizer.param_groups[0]["lr"] == rate
    assert isinstance(scheduler.lr_scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)


def test_plain_torch_is_untouched() -> None:
    """Only AllenNLP's wrapper drops the argument."""
    _plateau(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0))
    with pytest.raises(TypeError, match="verbose"):
        torch.optim.lr_scheduler.ReduceLROnPlateau(
            torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0),
            verbose=False,  # type: ignore[call-arg]
        )


def test_packages_are_walked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later, AllenNLP imports the plugins of the current folder alone."""
    import_plugins()
    (tmp_path / ".allennlp_plugins").write_text("my_late_plugin\n")
    (tmp_path / "my_late_plugin.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(pkgutil, "walk_packages", None)
    import_plugins()
    assert sys.modules.pop("my_late_plugin").__file__ == str(tmp_path / "my_late_plugin.py")


def test_training_state_with_numpy_scalars() -> None:
    import allennlp.training.checkpointer  # noqa: F401 - applies patches

    file = io.BytesIO()
    torch.save({"best": np.float64(0.5), "epoch": np.int64(3), "rate": np.float32(0.25)}, file)
    file.seek(0)
    assert torch.load(file, weights_only=True) == {"best": 0.5, "epoch": 3, "rate": 0.25}


def test_other_pickles_stay_refused() -> None:
    import pickle

    import allennlp.training.checkpointer  # noqa: F401 - applies patches

    file = io.BytesIO()
    torch.save({"call": io.StringIO}, file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)


def test_stand_ins_are_gone_after_the_import() -> None:
    import allennlp.data.image_loader  # noqa: F401 - applies patches
    import allennlp_models.rc.tools.narrativeqa  # noqa: F401 - applies patches
    import nltk

    for name in ("torchvision", "torchvision.ops", "rouge"):
        assert name not in sys.modules or sys.modules[name].__spec__ is not None
    assert nltk.download.__name__ != "<lambda>"


def test_a_stand_in_says_what_is_missing() -> None:
    from allennlp.data import image_loader

    if getattr(image_loader.torchvision, "__version__", None):
        pytest.skip("torchvision is installed")
    with pytest.raises(ImportError, match=r"^torchvision\.io\.read_image "):
        image_loader.torchvision.io.read_image("picture.png")
