"""The encoder against AllenNLP's `_ElmoBiLm`, value by value."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from allennlp.modules.elmo import _ElmoBiLm, batch_to_ids

from elmo_mf.bench._variants import token_layer
from elmo_mf.bilm import Bilm, StatePolicy
from tests.conftest import random_bilm, without_onednn

SHAPES: list[dict[str, Any]] = [
    {},
    {"dim": 20, "projection_dim": 8, "n_layers": 1, "activation": "tanh"},
    {"dim": 16, "projection_dim": 10, "n_layers": 3, "scale": 4.0, "cell_clip": 0.3, "proj_clip": 0.2},
    {"n_highway": 1, "filters": [[1, 3], [7, 4]], "n_characters": 261},
]
BATCHES = [
    [["The", "cat", "sat", "."], ["Yes"], ["A", "longer", "sentence", "with", "extraordinarily" * 5, "words", "é漢"]],
    [["Two"], ["sentences", "here", "now"]],
    [["One", "more", "than", "before"], ["b"], ["c", "d"], [], ["e"] * 9],
    [["The", "cat", "sat", "."]],
]
Files = Callable[..., tuple[Path, Path]]


def _both(files: tuple[Path, Path], state: StatePolicy, requires_grad: bool = False) -> tuple[Bilm, Any]:
    theirs = _ElmoBiLm(str(files[0]), str(files[1]), requires_grad=requires_grad)
    return Bilm.from_files(*files, state=state), theirs


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("state", ["zero", "carried"])
def test_activations_over_several_batches(elmo_files: Files, shape: dict[str, Any], state: StatePolicy) -> None:
    amplifies = "scale" in shape  # rounding, as the processor has it; token vectors are equal
    ours, theirs = _both(elmo_files(**shape), state)
    for sentences in BATCHES:
        ids = batch_to_ids(sentences)
        if state == "zero":
            theirs._elmo_lstm.reset_states()
        with torch.no_grad(), without_onednn() if amplifies else nullcontext():
            expected, actual = theirs(ids), ours(ids)
        assert torch.equal(actual.mask, expected["mask"])
        for layer, vectors in zip(actual.layers, expected["activations"], strict=True):
            torch.testing.assert_close(layer, vectors, atol=1e-4 if amplifies else 1e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("trained", [False, True])
def test_token_vectors(elmo_files: Files, shape: dict[str, Any], trained: bool) -> None:
    ours, theirs = _both(elmo_files(**shape), "zero", requires_grad=True)
    for sentences in BATCHES:
        with torch.set_grad_enabled(trained):
            actual = token_layer(ours, batch_to_ids(sentences))[0]
            expected = theirs._token_embedder(batch_to_ids(sentences))
        assert actual.requires_grad is trained
        vectors = expected["token_embedding"] * expected["mask"].unsqueeze(2)
        torch.testing.assert_close(actual, vectors, atol=1e-6, rtol=0)


def test_clips_are_hit() -> None:
    """So that the shapes above do test them."""
    bilm = random_bilm(**SHAPES[2])
    layers = bilm(batch_to_ids(BATCHES[0])).layers
    assert layers[1].abs().max().item() == pytest.approx(0.2)


@pytest.mark.parametrize("state", ["zero", "carried"])
def test_gradients(elmo_files: Files, state: StatePolicy) -> None:
    ours, theirs = _both(elmo_files(scale=2.0), state, requires_grad=True)
    for sentences in BATCHES[:2]:
        ids = batch_to_ids(sentences)
        if state == "zero":
            theirs._elmo_lstm.reset_states()
        expected, actual = theirs(ids)["activations"], ours(ids).layers
        weights = torch.randn(actual.shape, generator=torch.Generator().manual_seed(1))
        torch.autograd.backward((actual * weights).sum())
        torch.autograd.backward((torch.stack(expected) * weights).sum())
    lstm = theirs._elmo_lstm
    for k in range(2):
        group = ours.layers[k].groups[0]  # type: ignore[index]
        for d, cell in enumerate((getattr(lstm, f"forward_layer_{k}"), getattr(lstm, f"backward_layer_{k}"))):
            pairs = {
                "input": cell.input_linearity,
                "recurrent": cell.state_linearity,
                "projection": cell.state_projection,
            }
            for name, linear in pairs.items():
                gradient = getattr(group, name).left.grad[d].T
                expected_gradient = linear.weight.grad
                if name != "projection":  # theirs: i, f, g, o; ours: i, f, o, g
                    i, f, g, o = expected_gradient.chunk(4)
                    expected_gradient = torch.cat([i, f, o, g])
                torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-5)
    cnn = theirs._token_embedder
    assert ours.char_cnn.embedding.grad is not None
    torch.testing.assert_close(
        ours.char_cnn.embedding.grad[1:], cnn._char_embedding_weights.grad[1:], atol=1e-5, rtol=1e-5
    )
    assert ours.char_cnn.projection is not None
    torch.testing.assert_close(ours.char_cnn.projection.weight.grad, cnn._projection.weight.grad, atol=1e-5, rtol=1e-5)
