"""Tests that the cache returns the encoder's activations and runs it once per sentence."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.plugin.activation_cache import ActivationCache
from tests.conftest import random_bilm

sentences = st.lists(st.lists(st.sampled_from(["a", "bb", "ccc", "dé"]), max_size=6), min_size=1, max_size=6)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(sentences, min_size=1, max_size=4), st.sampled_from([0, 2_000, 10**9]))
def test_same_activations(batches: list[list[list[str]]], max_bytes: int) -> None:
    bilm, cache = random_bilm(), ActivationCache(max_bytes)
    for batch in batches:
        ids = batch_to_ids(batch)
        expected, cached = bilm(ids), cache(bilm, ids)
        assert torch.equal(cached.mask, expected.mask)
        torch.testing.assert_close(cached.layers, expected.layers, atol=1e-6, rtol=0)
    assert cache.bytes <= max_bytes


def test_a_sentence_runs_once() -> None:
    bilm, cache = random_bilm(), ActivationCache(10**9)
    ran: list[int] = []
    bilm.register_forward_pre_hook(lambda _, arguments: ran.append(len(arguments[0])))
    cache(bilm, batch_to_ids([["a"], ["b", "c"], ["a"]]))
    cache(bilm, batch_to_ids([["b", "c"], ["a"]]))
    cache(bilm, batch_to_ids([["a"], ["d"]]))
    assert ran == [2, 1]
