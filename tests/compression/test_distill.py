"""Distillation: what it improves, what it leaves unchanged, and how it resumes."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elmo_mf import Bilm, Compression
from elmo_mf.bilm.weights import BilmWeights, Pruned, to_dense
from elmo_mf.compression import compress, read_compression
from elmo_mf.compression.calibration import CALIBRATION_TEXT
from elmo_mf.compression.recovery import Distilled, distill
from elmo_mf.errors import InputError
from elmo_mf.records import Distillation
from elmo_mf.storage.resumable import save_state
from tests.compression.conftest import error_of
from tests.conftest import random_bilm, stages_call

DENSE = random_bilm(scale=3.0)
TEXT = str(CALIBRATION_TEXT)


def _distill(
    method: str,
    targets: str,
    checkpoint: Path | None = None,
    steps: int = 60,
    cut: int = 0,
    begun: Callable[[str], None] = lambda _: None,
    checkpoint_steps: int = 100,
    **settings: Any,
) -> Distilled:
    weights = DENSE.weights()
    factored = compress(weights, DENSE.options, Compression(method=method, rank=2, targets=targets))

    def interrupt(step: float) -> None:
        if 0 < step == cut:
            raise KeyboardInterrupt

    wanted = Distillation(text=TEXT, steps=steps, **settings)
    with stages_call(interrupt, begun):
        return distill(weights, factored, DENSE.options, wanted, checkpoint, checkpoint_steps)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "targets"), [("svd", "all"), ("svd", "joint+projection"), ("prune", "all")])
def test_it_comes_nearer(method: str, targets: str) -> None:
    distilled = _distill(method, targets)
    assert distilled.after < 0.9 * distilled.before


def test_what_was_pruned_stays_zero_and_the_rest_stays_factored() -> None:
    before = compress(DENSE.weights(), DENSE.options, Compression(method="prune", rank=2, targets="all"))
    after = _distill("prune", "all", steps=5).weights
    for key, lstm in after.lstms.items():
        for target, matrix in lstm.matrices.items():
            old = to_dense(before.lstms[key].matrices[target])
            assert isinstance(matrix, Pruned) and (matrix.values[old == 0] == 0).all()
            assert np.abs(matrix.values - old).max() > 1e-4
    assert all(np.array_equal(after.token_layer[name], array) for name, array in before.token_layer.items())


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = _distill("svd", "all", steps=30)
    with pytest.raises(KeyboardInterrupt):
        _distill("svd", "all", tmp_path / "d.pt", steps=30, cut=17, checkpoint_steps=10)
    begun: list[str] = []
    resumed = _distill("svd", "all", tmp_path / "d.pt", steps=30, begun=begun.append)
    assert begun == [f"distillation, resumed at step 10 from {tmp_path / 'd.pt'}"]
    assert resumed.after == pytest.approx(whole.after, rel=1e-5) and resumed.before == whole.before
    assert _all_close(whole.weights, resumed.weights)


def _all_close(one: BilmWeights, other: BilmWeights) -> bool:
    return all(
        np.allclose(to_dense(matrix), to_dense(other.lstms[key].matrices[target]), atol=1e-5)
        for key, lstm in one.lstms.items()
        for target, matrix in lstm.matrices.items()
    )


def test_another_runs_checkpoint(tmp_path: Path) -> None:
    _distill("svd", "all", tmp_path / "d.pt", steps=2)
    with pytest.raises(InputError, match=r"d.pt: .*steps 2, not 3"):
        _distill("svd", "all", tmp_path / "d.pt", steps=3)
    with pytest.raises(InputError, match=r"d.pt: .*weights"):
        _distill("svd", "joint", tmp_path / "d.pt", steps=2)
    (tmp_path / "d.pt").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"d.pt: "):
        _distill("svd", "all", tmp_path / "d.pt", steps=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", 1.5), ("step", -1), ("step", 9), ("step", "2"), ("layers", {}), ("layers", None), ("optimizer", {}),
        ("optimizer", {"state": {0: {}}, "param_groups": []}), ("scheduler", {"last_epoch": 2}), ("scheduler", 3),
    ],
)  # fmt: skip
def test_a_checkpoint_with_other_content(name: str, value: object, tmp_path: Path) -> None:
    """A checkpoint with the wrong content in the right form."""
    path = tmp_path / "d.pt"
    _distill("svd", "all", path, steps=2)
    state = torch.load(path, weights_only=True)
    identity = state.pop("identity")
    for changed in (state | {name: value}, {key: part for key, part in state.items() if key != name}):
        save_state(path, identity, changed)
        with pytest.raises(InputError, match=r"d.pt: ") as error:
            _distill("svd", "all", path, steps=2)
        assert "\n" not in str(error.value)


def test_a_hostile_pickle(tmp_path: Path) -> None:
    """It needs more memory than the file has, or holds other objects than tensors, numbers and strings."""
    path = tmp_path / "d.pt"
    torch.save({"identity": bytearray(10)}, path)
    with pytest.raises(InputError, match=r"bytearray"):
        _distill("svd", "all", path, steps=2)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d/data.pkl", bytes(10**6))
    with pytest.raises(InputError, match=r"d.pt: .*compressed entries"):
        _distill("svd", "all", path, steps=2)


def test_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    """A loss that is not finite stops the run, and the last checkpoint stays."""
    path = tmp_path / "d.pt"
    with pytest.raises(InputError, match="distillation: step 2: loss: found nan"):
        _distill("svd", "all", path, steps=8, checkpoint_steps=1, learning_rate=1e30)
    assert torch.load(path, weights_only=True)["step"] == 1


@pytest.mark.slow
def test_as_part_of_a_compression(demo: Bilm, held_out: list[list[str]]) -> None:
    """Compared on sentences that distillation does not read."""
    plain = Compression(method="svd", rank=4, targets="all")
    tuned = Compression(method="svd", rank=4, targets="all", distill=Distillation(text=TEXT, steps=40))
    assert error_of(demo, tuned, held_out) < 0.9 * error_of(demo, plain, held_out)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "distill.text: "),
        (
            {"text": "t", "step": 3},
            "the key 'step'",
        ),
        ({"text": "t", "steps": 0}, "distill.steps: found 0"),
        ({"text": "t", "learning_rate": "high"}, "distill.learning_rate: found 'high'"),
        ({"text": "t", "learning_rate": 0}, "distill.learning_rate: found 0"),
        ("text.txt", "distill: found 'text.txt'"),
    ],
)
def test_refused(raw: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_compression({"method": "svd", "rank": 2, "targets": "all", "distill": raw})
    assert message in str(caught.value)
