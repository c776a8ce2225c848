"""Word vectors made once, or kept, are those of the character CNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.word_vectors import WordVectors, distinct_rows
from tests.conftest import random_bilm

words = st.lists(st.text("abcdefgh", min_size=1, max_size=3), min_size=1, max_size=30)
ONE_WORD = 6 * 4 / 1e6  # megabytes of a vector of the tiny ELMo


def _ids(text: list[str]) -> torch.Tensor:
    return batch_to_ids([text])[0]


def _counted(cnn: CharCnn) -> list[int]:
    """How many words each call of the CNN gets, from now on."""
    ran: list[int] = []
    cnn.register_forward_pre_hook(lambda _, arguments: ran.append(len(arguments[0])))
    return ran


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.lists(words, min_size=1, max_size=5), st.sampled_from([0, ONE_WORD, 4 * ONE_WORD, 1]))
def test_the_vectors_are_the_cnns(batches: list[list[str]], cache_mb: float) -> None:
    cnn, vectors = random_bilm().char_cnn, WordVectors(cache_mb)
    with torch.no_grad():
        for batch in batches:
            torch.testing.assert_close(vectors(cnn, _ids(batch)), cnn(_ids(batch)), atol=1e-6, rtol=0)


@given(words)
def test_distinct_rows(text: list[str]) -> None:
    distinct, inverse = distinct_rows(_ids(text))
    assert len(distinct) == len(set(text))
    assert torch.equal(distinct[inverse], _ids(text))


def test_a_collision_is_noticed() -> None:
    ids = _ids(["ab", "cd", "ab"])
    distinct, inverse = distinct_rows(ids, torch.zeros(50, dtype=torch.long))
    assert torch.equal(distinct[inverse], ids)


def test_a_word_runs_once_a_batch_and_not_again_while_kept() -> None:
    cnn, vectors = random_bilm().char_cnn, WordVectors(2 * ONE_WORD)
    ran = _counted(cnn)
    with torch.no_grad():
        for text in ("a b a", "b a", "a c", "a", "b"):  # c takes the place of b, which was used longest ago
            vectors(cnn, _ids(text.split()))
    assert ran == [2, 1, 1]


@pytest.mark.parametrize("used", ["a", "b"])
def test_words_in_use_are_kept(used: str) -> None:
    cnn, vectors = random_bilm().char_cnn, WordVectors(2 * ONE_WORD)
    ran = _counted(cnn)
    with torch.no_grad():
        for text in ("a b", used, "c", used):
            vectors(cnn, _ids(text.split()))
    assert ran == [2, 1]


def _write_in_place(cnn: CharCnn) -> None:
    with torch.no_grad():
        for parameter in cnn.parameters():
            parameter.add_(0.1)


def _load(cnn: CharCnn) -> None:
    cnn.load_state_dict(random_bilm(seed=1).char_cnn.state_dict())


def _write_data_and_evaluate(cnn: CharCnn, vectors: WordVectors) -> None:
    """As AllenNLP does with moving averages: PyTorch does not count such writes."""
    for parameter in cnn.parameters():
        parameter.data.copy_(parameter.data + 0.1)
    for module in (cnn, vectors):
        module.eval()


@pytest.mark.parametrize(
    "change", [lambda cnn, _: _write_in_place(cnn), lambda cnn, _: _load(cnn), _write_data_and_evaluate]
)
def test_changed_parameters_empty_the_cache(change: Callable[[CharCnn, WordVectors], None]) -> None:
    cnn, vectors = random_bilm().char_cnn, WordVectors(1)
    with torch.no_grad():
        before = vectors(cnn, _ids(["a", "b"]))
        change(cnn, vectors)
        after = vectors(cnn, _ids(["a", "b"]))
        assert (after - before).abs().max() > 1e-3
        torch.testing.assert_close(after, cnn(_ids(["a", "b"])), atol=1e-6, rtol=0)


def test_a_frozen_cnn_keeps_words_in_training_and_in_any_mode() -> None:
    cnn, vectors = random_bilm().char_cnn, WordVectors(1)
    cnn.requires_grad_(False)
    ran = _counted(cnn)
    with torch.inference_mode():
        vectors(cnn, _ids(["a", "b"]))
    vectors(cnn, _ids(["a", "c"]))
    with torch.inference_mode():
        vectors(cnn, _ids(["b", "c"]))
    assert ran == [2, 1]


def test_gradients_reach_the_cnn_once_for_each_token() -> None:
    text = ["a", "b", "a", "a"]
    gradients = []
    for apply in cast(
        list[Callable[[CharCnn, torch.Tensor], torch.Tensor]], [WordVectors(1), lambda cnn, ids: cnn(ids)]
    ):
        cnn = random_bilm().char_cnn
        torch.autograd.backward(apply(cnn, _ids(text)).square().sum())
        gradients.append([parameter.grad for parameter in cnn.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-5)
