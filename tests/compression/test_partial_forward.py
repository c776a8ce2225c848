"""Partial forward passes against whole ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmo_mf import Bilm, Compression
from elmo_mf.bilm.lstm import ProjectedLstm
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression import activation_error, compress
from elmo_mf.compression.calibration._partial_forward import PartialForward
from tests.conftest import random_bilm

SENTENCES = [
    line.split() for line in ("one", "two more words", "the words of a longer sentence , again", "and two more")
]
DENSE = {skips: random_bilm(use_skip_connections=skips, n_layers=3) for skips in (True, False)}
READ = {skips: PartialForward(dense.weights(), dense.options, SENTENCES) for skips, dense in DENSE.items()}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.booleans(),
    st.lists(st.sampled_from(["forward", "backward"]), unique=True),
    st.sets(st.integers(0, 2)),
    st.sampled_from([None, 2]),
    st.sampled_from(["all", "biases", "char_cnn"]),
)
def test_errors_are_those_of_encoders_that_run_whole(
    skips: bool, directions: list[str], layers: set[int], highways: int | None, what: str
) -> None:
    dense, read = DENSE[skips], READ[skips]
    weights = read.weights
    if directions and layers:
        chosen: dict[str, Any] = {"directions": directions, "layers": sorted(layers), "highway_rank": highways}
        weights = compress(weights, dense.options, Compression(method="whitened_svd", rank=2, targets="all", **chosen))
    if what == "char_cnn":
        weights = BilmWeights(weights.token_layer, read.weights.lstms)
    if what == "biases":
        weights = BilmWeights(
            weights.token_layer,
            {**weights.lstms, (1, 2): replace(weights.lstms[1, 2], bias=weights.lstms[1, 2].bias + 1)},
        )
    expected = activation_error(dense, Bilm(dense.options, weights).eval(), SENTENCES).layers
    np.testing.assert_allclose(np.sqrt(read.squared_errors(weights)), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("highways", "directions", "layers", "runs"),
    [
        (None, "forward", [0], 3),
        (None, "backward", [2], 1),
        (None, "all", [1, 2], 4),
        (2, "forward", [2], 6),
    ],
)
def test_what_has_not_changed_does_not_run(highways: int | None, directions: str, layers: list[int], runs: int) -> None:
    read = READ[True]
    compression = Compression(
        method="svd", rank=2, targets="all", layers=layers, directions=directions, highway_rank=highways
    )
    compressed = compress(read.weights, read.options, compression)
    with patch.object(ProjectedLstm, "forward", autospec=True, side_effect=ProjectedLstm.forward) as forward:
        read.squared_errors(compressed)
    assert forward.call_count == runs
