"""Input covariances against the plain formula."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from elmo_mf import Bilm, Compression
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.weights import Array, BilmWeights
from elmo_mf.compression import CalibrationStatistics, compress, method_named
from elmo_mf.compression.calibration import CALIBRATION_TEXT, calibration_sentences, input_covariances
from elmo_mf.errors import InputError
from tests.compression.conftest import error_of
from tests.conftest import random_bilm

SENTENCES = [["a", "short", "one"], ["a", "longer", "sentence", "than", "that"], ["two", "words"]]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(" ".join(sentence) + "\n" for sentence in SENTENCES))
    return path


def _inputs_of_first_layer(bilm: Bilm, direction: int) -> tuple[Array, Array]:
    """[x_t; h_{t-1}] and the gated cells of all steps, one sentence and one step at a time."""
    weights = bilm.weights().lstms[direction, 0]
    w_x, w_h, w_p = (np.asarray(weights.matrices[t], np.float64) for t in ("input", "recurrent", "projection"))
    states, cells = [], []
    for sentence in SENTENCES:
        ids, _ = bilm.with_bounds(batch_to_ids([sentence], 50))
        with torch.no_grad():
            tokens = bilm.token_vectors(ids[0]).double().numpy()
        h, c = np.zeros(len(w_p)), np.zeros(w_p.shape[1])
        for x in tokens if direction == 0 else tokens[::-1]:
            states.append(np.concatenate([x, h]))
            i, g, f, o = np.split(w_x @ x + w_h @ h + weights.bias, 4)
            c = np.clip(_sigmoid(i) * np.tanh(g) + _sigmoid(f + 1) * c, -3, 3)
            cells.append(_sigmoid(o) * np.tanh(c))
            h = np.clip(w_p @ cells[-1], -3, 3)
    return np.stack(states), np.stack(cells)


def _sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values)))


def test_against_the_plain_formula(text: Path) -> None:
    bilm = random_bilm(scale=3.0)
    covariances = input_covariances(bilm.weights(), bilm.options, text)
    assert set(covariances) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for direction in (0, 1):
        states, cells = _inputs_of_first_layer(bilm, direction)
        covariance = covariances[direction, 0]
        np.testing.assert_allclose(covariance.of("joint"), states.T @ states / len(states), atol=1e-5)
        np.testing.assert_allclose(covariance.of("input"), states[:, :6].T @ states[:, :6] / len(states), atol=1e-5)
        np.testing.assert_allclose(covariance.of("recurrent"), states[:, 6:].T @ states[:, 6:] / len(states), atol=1e-5)
        np.testing.assert_allclose(covariance.of("projection"), cells.T @ cells / len(cells), atol=1e-5)


def test_directions_of_different_forms(text: Path) -> None:
    """The layer then runs in two parts."""
    bilm = random_bilm(scale=3.0)
    weights = compress(
        bilm.weights(), bilm.options, Compression(method="svd", rank=5, targets="input", directions="backward")
    )
    factored, dense = (input_covariances(w, bilm.options, text) for w in (weights, bilm.weights()))
    np.testing.assert_allclose(factored[0, 0].gates, dense[0, 0].gates, atol=1e-6)
    assert np.abs(factored[1, 0].cells - dense[1, 0].cells).max() > 1e-4


def test_a_compression_uses_them(text: Path) -> None:
    """Each matrix is factorized with its own statistics, by gate and jointly as well."""
    bilm = random_bilm(scale=3.0)
    weights = bilm.weights()
    compression = Compression(method="whitened_svd", rank=2, targets="joint", granularity="gate", calibration=str(text))
    compressed = compress(weights, bilm.options, compression)
    statistics = CalibrationStatistics(input_covariances(weights, bilm.options, text)[1, 1].of("joint"))
    dense = weights.lstms[1, 1].matrices
    both = np.concatenate([cast(Array, dense["input"]), cast(Array, dense["recurrent"])], axis=1)
    for index, rows in enumerate(np.split(both, 4)):
        from_rows = method_named("whitened_svd").factorize(rows, 2, statistics)
        factors = compressed.lstms[1, 1].matrices["joint"]
        np.testing.assert_array_equal(factors.left[12 * index : 12 * (index + 1)], from_rows.left)  # type: ignore[union-attr]


def test_it_changes_no_weight(text: Path) -> None:
    bilm = random_bilm()
    before = bilm.weights()
    input_covariances(before, bilm.options, text)
    assert all(
        np.array_equal(one, other)
        for key in before.lstms
        for one, other in zip(_arrays(before, key), _arrays(bilm.weights(), key), strict=True)
    )


def _arrays(weights: BilmWeights, key: tuple[int, int]) -> list[Array]:
    return [*(cast(Array, matrix) for matrix in weights.lstms[key].matrices.values()), weights.lstms[key].bias]


def test_the_text_that_comes_with_it() -> None:
    sentences = calibration_sentences(CALIBRATION_TEXT)
    assert len(sentences) > 200 and 2500 < sum(map(len, sentences)) < 5000
    assert len({word for sentence in sentences for word in sentence}) > 1000


def test_long_texts_are_cut(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("one two three four\n" * 20_000)
    assert sum(map(len, calibration_sentences(tmp_path / "long.txt"))) == 50_000


def test_bad_texts(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(InputError, match=r"empty.txt: "):
        input_covariances(random_bilm().weights(), random_bilm().options, tmp_path / "empty.txt")


@pytest.mark.slow
def test_half_the_parameters_do(demo: Bilm, held_out: list[list[str]]) -> None:
    """On the embedded ELMo and sentences that calibration has not seen, whitened_svd at rank 8 beats svd at rank 16."""
    errors = {
        (method, rank): error_of(demo, Compression(method=method, rank=rank, targets="all"), held_out)
        for method, rank in (("svd", 16), ("whitened_svd", 8), ("whitened_svd", 16))
    }
    assert errors["whitened_svd", 16] < errors["whitened_svd", 8] < errors["svd", 16]
