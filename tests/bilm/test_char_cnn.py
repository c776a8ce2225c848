"""The character CNN's products in inference, against those in training; its numerics are tested against AllenNLP."""

from __future__ import annotations

import copy
from unittest.mock import patch

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from elmo_mf.bilm import Bilm
from elmo_mf.bilm._character_tables import CharacterTables
from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.characters import PADDING, batch_to_ids
from elmo_mf.bilm.runtime import PackedLinear, Precision, QuantizedLinear, supports, unquantized
from tests.conftest import random_bilm, without_onednn

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


def test_many_words_run_some_at_a_time(cnn: CharCnn) -> None:
    words = [f"{first}{second}" for first in "abcdefghij" for second in range(70)]
    ids = batch_to_ids([words])[0]
    together = cnn(ids).detach()
    with torch.inference_mode(), patch.object(CharCnn, "steps", autospec=True, side_effect=CharCnn.steps) as steps:
        torch.testing.assert_close(cnn(ids), together, atol=1e-6, rtol=1e-6)
        assert [len(call.args[1]) for call in steps.call_args_list] == [512, 188]
        assert cnn(ids[:0]).shape == (0, together.shape[1])


def test_without_onednn(cnn: CharCnn) -> None:
    expected = _inference(cnn)
    with without_onednn():
        torch.testing.assert_close(_inference(cnn), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("layer", ["convolutions.0", "convolutions.2", "highways.0", "highways.1", "projection"])
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_changed_parameters_are_noticed(layer: str, part: str, cnn: CharCnn) -> None:
    before = _inference(cnn)
    with torch.no_grad():
        getattr(cnn.get_submodule(layer), part).add_(1)
    after = _inference(cnn)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after, cnn(IDS).detach(), atol=1e-5, rtol=1e-5)


def test_a_changed_embedding_is_noticed(cnn: CharCnn) -> None:
    before = _inference(cnn)
    with torch.no_grad():
        cnn.embedding.add_(1)
    after = _inference(cnn)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after, cnn(IDS).detach(), atol=1e-5, rtol=1e-5)


def test_a_copy_has_products_of_its_own(cnn: CharCnn) -> None:
    before = _inference(cnn)
    other = copy.deepcopy(cnn)
    with torch.no_grad():
        assert other.projection is not None
        other.projection.weight.mul_(2)
    assert torch.equal(_inference(cnn), before)
    torch.testing.assert_close(_inference(other), other(IDS).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@given(n=st.integers(1, 40), words=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_less_precise_weights_are_close(precision: Precision, n: int, words: int, seed: int) -> None:
    _skip_without(precision)
    exact, close = _pair(precision, n, seed)
    ids = torch.randint(1, PADDING + 2, (words, 50), generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        expected, actual = exact(ids), close(ids)
    assume(expected.norm() > 0.1)
    assert actual.dtype == torch.float32 and not torch.equal(actual, expected)
    assert (actual - expected).norm() / expected.norm() < 0.02
    trained = close(ids)
    torch.testing.assert_close(trained.detach(), expected, atol=1e-5, rtol=1e-5)  # where there are gradients, float32


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_neighbours_change_nothing(precision: Precision) -> None:
    """int8 has a scale for each word, and does not find it among its neighbours' values."""
    _skip_without(precision)
    _, cnn = _pair(precision, 16, seed=0)
    with torch.inference_mode():
        together, alone = cnn(IDS), torch.cat([cnn(word[None]) for word in IDS])
    assert (together - alone).abs().max() < 0.01 * alone.abs().max()


@pytest.mark.parametrize(
    ("precision", "kinds"), [("bfloat16", [PackedLinear] * 3), ("int8", [QuantizedLinear] * 2 + [PackedLinear])]
)
def test_the_highways_are_less_precise_too(precision: Precision, kinds: list[type]) -> None:
    _skip_without(precision)
    with torch.no_grad():
        products = _pair(precision, 16, seed=0)[1].products_for(torch.zeros(1, 32))
    assert [type(product) for product in products] == kinds
    dtypes = [product.weight.dtype for product in products if isinstance(product, PackedLinear)]
    assert set(dtypes) == {unquantized(precision)}


def _skip_without(precision: Precision) -> None:
    if not supports(precision):
        pytest.skip(f"needs a processor with {precision} products")


def _pair(precision: Precision, n: int, seed: int) -> tuple[CharCnn, CharCnn]:
    """A character CNN of `n` filters of two widths each, in float32 and in `precision`."""
    bilm = random_bilm(seed, filters=[[1, n], [3, n]])
    return bilm.char_cnn, Bilm(bilm.options, bilm.weights(), precision=precision).char_cnn


def test_other_types_than_float32(cnn: CharCnn) -> None:
    expected = _inference(cnn)
    actual = _inference(cnn.double())
    assert actual.dtype == torch.float64
    torch.testing.assert_close(actual.float(), expected, atol=1e-5, rtol=1e-5)


CHARACTERS = 12  # in a word, at most


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(1, CHARACTERS), st.integers(1, 9)), min_size=1, max_size=4),
    st.sampled_from([0, 1, 3, 128, 129, 300]),
    st.integers(0, 2**32),
)
def test_tables_are_convolutions(filters: list[tuple[int, int]], words: int, seed: int) -> None:
    """Of any ids, padding in mid-word and words without any included."""
    torch.manual_seed(seed)
    ids = torch.randint(0, PADDING + 2, (words, CHARACTERS))
    ids[torch.rand(ids.shape) < 0.2] = PADDING + 1
    ids[torch.arange(CHARACTERS) >= torch.randint(0, CHARACTERS + 1, (words, 1))] = PADDING + 1
    embedding = torch.randn(PADDING + 2, 4)
    convolutions = [nn.Conv1d(4, number, width) for width, number in filters]
    embedded = nn.functional.embedding(ids, embedding).transpose(1, 2)
    with torch.no_grad():
        expected = torch.cat([convolution(embedded).amax(dim=2) for convolution in convolutions], dim=1)
        tables = CharacterTables(embedding, convolutions, PADDING + 1, words_at_once=2)
        maxima = tables.maxima(ids)
        torch.testing.assert_close(maxima, expected, atol=1e-5, rtol=1e-5)
        if words:
            assert torch.equal(tables.maxima(ids[:1]), maxima[:1])  # whatever stands beside it


@pytest.mark.parametrize("bad", [-1, PADDING + 2])
def test_ids_of_no_character(bad: int, cnn: CharCnn) -> None:
    ids = IDS.clone()
    ids[0, 0] = bad
    with torch.inference_mode(), pytest.raises(IndexError, match=f"found .*{bad}.*"):
        cnn(ids)
