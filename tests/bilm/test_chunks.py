"""A long sentence in pieces has the vectors that it has at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmo_mf import Compression
from elmo_mf.bilm import Bilm
from elmo_mf.bilm.chunks import embed_in_chunks
from elmo_mf.compression import compress
from tests.conftest import random_bilm


def _assembled(bilm: Bilm, sentence: list[str], tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """The whole from its pieces, and how often each value was given."""
    p = bilm.options.lstm.projection_dim
    whole = np.zeros((3, len(sentence), 2 * p), np.float32)
    times = np.zeros(whole.shape, int)
    for start, direction, vectors in embed_in_chunks(bilm, sentence, tokens):
        assert vectors.shape[1] <= tokens
        where = slice(start, start + vectors.shape[1]), slice(direction * p, (direction + 1) * p)
        whole[:, *where] = vectors
        times[:, *where] += 1
    return whole, times


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("ab", min_size=1, max_size=3), max_size=12), st.integers(1, 16), st.booleans())
def test_equal_to_the_whole(sentence: list[str], tokens: int, skips: bool) -> None:
    bilm = random_bilm(scale=2.0, use_skip_connections=skips)
    whole, times = _assembled(bilm, sentence, tokens)
    assert (times == 1).all()
    np.testing.assert_allclose(whole, bilm.embed([sentence])[0], atol=1e-5)


@pytest.mark.parametrize("directions", ["all", "backward"])
def test_factored(directions: str) -> None:
    dense = random_bilm()
    weights = compress(
        dense.weights(), dense.options, Compression(method="svd", rank=2, targets="all", directions=directions)
    )
    bilm = Bilm(dense.options, weights)
    sentence = "a bb ccc dd e f gg".split()
    np.testing.assert_allclose(_assembled(bilm, sentence, 3)[0], bilm.embed([sentence])[0], atol=1e-5)
