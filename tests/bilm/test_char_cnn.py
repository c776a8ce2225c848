"""The character CNN's products in inference, against those in training; its numerics are tested against AllenNLP."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from elmo_mf.bilm import packed_linear
from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.characters import batch_to_ids
from tests.conftest import random_bilm

IDS = batch_to_ids([["The", "cat", "sat", "on", "antidisestablishmentarianism"]])[0]


def _inference(cnn: CharCnn) -> Tensor:
    with torch.inference_mode():
        return cnn(IDS)  # type: ignore[no-any-return]


@pytest.fixture
def cnn() -> CharCnn:
    return random_bilm(scale=2.0).char_cnn


def test_equal_to_training(cnn: CharCnn) -> None:
    trained = cnn(IDS)
    assert trained.requires_grad
    torch.testing.assert_close(_inference(cnn), trained.detach(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(cnn.requires_grad_(False)(IDS), trained.detach(), atol=1e-6, rtol=1e-6)


def test_without_onednn(cnn: CharCnn, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _inference(cnn)
    monkeypatch.setattr(packed_linear, "supports", lambda _: False)
    torch.testing.assert_close(_inference(cnn), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("layer", ["highways.0", "highways.1", "projection"])
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_changed_parameters_are_noticed(layer: str, part: str, cnn: CharCnn) -> None:
    before = _inference(cnn)
    with torch.no_grad():
        getattr(cnn.get_submodule(layer), part).add_(1)
    after = _inference(cnn)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after, cnn(IDS).detach(), atol=1e-5, rtol=1e-5)


def test_a_copy_has_products_of_its_own(cnn: CharCnn) -> None:
    before = _inference(cnn)
    other = copy.deepcopy(cnn)
    with torch.no_grad():
        other.projection.weight.mul_(2)
    assert torch.equal(_inference(cnn), before)
    torch.testing.assert_close(_inference(other), other(IDS).detach(), atol=1e-5, rtol=1e-5)


def test_other_types_than_float32(cnn: CharCnn) -> None:
    expected = _inference(cnn)
    found = _inference(cnn.double())
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, atol=1e-5, rtol=1e-5)
