"""Properties of all factorization methods, and of each."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from elmo_mf.bilm import Factors, Pruned
from elmo_mf.bilm.weights import to_dense
from elmo_mf.compression import CalibrationStatistics, Method, method_named, method_names, register
from elmo_mf.compression._decomposition import square_root
from elmo_mf.compression.methods.base import NO_STATISTICS
from elmo_mf.compression.methods.fisher_svd import FisherSvd
from elmo_mf.compression.methods.prune import Prune
from elmo_mf.compression.methods.semi_nmf import SemiNmf
from elmo_mf.compression.methods.whitened_svd import WhitenedSvd
from elmo_mf.errors import InputError
from tests.compression.matrices import covariances, matrices

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "nmf": [{}, {"form": "shift"}],
    "semi_nmf": [{}, {"nonnegative": "left"}, {"start": "kmeans"}, {"start": "random"}],
}
VARIANTS = [(name, setting) for name in method_names() for setting in SETTINGS.get(name, [{}])]


def _error(matrix: np.ndarray, factors: Factors | Pruned) -> float:
    return float(np.linalg.norm(matrix.astype(np.float64) - to_dense(_doubled(factors))))


def _doubled(factors: Factors | Pruned) -> Factors | Pruned:
    """Factors in float64, so that their product is not rounded."""
    if isinstance(factors, Pruned):
        return factors
    return Factors(factors.left.astype(np.float64), factors.right.astype(np.float64))


def _optimum(matrix: np.ndarray, rank: int) -> float:
    """Eckart and Young."""
    return float(np.sqrt((np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[rank:] ** 2).sum()))


def _statistics(data: st.DataObject, matrix: np.ndarray) -> CalibrationStatistics:
    m, n = matrix.shape
    rows = np.asarray(np.random.default_rng(data.draw(st.integers(0, 1000))).exponential(size=m)) ** 3
    return CalibrationStatistics(data.draw(covariances(n)), rows, data.draw(covariances(m)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "setting"), VARIANTS)
@settings(max_examples=40, deadline=None)
@given(matrix=matrices(), data=st.data())
def test_every_method(name: str, setting: dict[str, Any], matrix: np.ndarray, data: st.DataObject) -> None:
    """Finite float32 factors of the rank asked for, no better than the best, and the same again; pruned as many
    weights."""
    rank = data.draw(st.integers(1, min(matrix.shape)))
    statistics = _statistics(data, matrix)
    method = method_named(name, setting)
    factors = method.factorize(matrix, rank, statistics)
    arrays = [factors.left, factors.right] if isinstance(factors, Factors) else [factors.values]
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays)
    assert factors.shape == matrix.shape
    norm = float(np.linalg.norm(matrix.astype(np.float64)))
    if isinstance(factors, Factors):
        assert factors.rank == rank and factors.blocks == 1
        assert _error(matrix, factors) >= _optimum(matrix, rank) - 1e-5 * norm
    else:
        assert factors.size <= rank * sum(matrix.shape)
    any_rank = method.prepare(matrix, statistics)
    any_rank.factors(1)
    for again in (method.factorize(matrix, rank, statistics), any_rank.factors(rank)):
        for one, other in zip(
            arrays, [again.left, again.right] if isinstance(again, Factors) else [again.values], strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["svd", "whitened_svd", "fisher_svd", "kfac_svd", "prune"])
@settings(max_examples=40, deadline=None)
@given(matrix=matrices(), data=st.data())
def test_a_higher_rank_is_no_worse(name: str, matrix: np.ndarray, data: st.DataObject) -> None:
    """In the error that the method minimises; `error_reductions` are its differences, and never rise."""
    method, statistics = method_named(name), _statistics(data, matrix)
    whole = method.weighted_matrix(matrix, statistics)
    most = min(matrix.shape)
    errors = [_weighted_error(method, matrix, rank, statistics) ** 2 for rank in range(1, most + 1)]
    error_reductions = method.error_reductions(matrix, statistics)
    total = float((whole**2).sum())
    np.testing.assert_allclose(method.prepare(matrix, statistics).error_reductions, error_reductions, atol=1e-9 * total)
    gained = np.cumsum(np.append(error_reductions, np.zeros(most)))[:most]
    left = np.maximum(total - gained, 0)
    assert (np.diff(error_reductions) <= 1e-9 * total).all()
    np.testing.assert_allclose(errors, left, atol=2e-5 * total + 1e-300)


@pytest.mark.parametrize("name", ["svd", "whitened_svd", "fisher_svd", "kfac_svd"])
def test_all_ranks_take_one_decomposition(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decompose = Mock(wraps=torch.linalg.svd)
    monkeypatch.setattr(torch.linalg, "svd", decompose)
    statistics = CalibrationStatistics(np.eye(4), np.ones(6), np.eye(6))
    any_rank = method_named(name).prepare(np.ones((6, 4), np.float32), statistics)
    assert len(any_rank.error_reductions) == 4 and any_rank.factors(1).shape == any_rank.factors(3).shape == (6, 4)
    assert decompose.call_count == 1


def _weighted_error(method: Method, matrix: np.ndarray, rank: int, statistics: CalibrationStatistics) -> float:
    product = to_dense(_doubled(method.factorize(matrix, rank, statistics)))
    return float(
        np.linalg.norm(method.weighted_matrix(matrix, statistics) - method.weighted_matrix(product, statistics))
    )


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(matrix=matrices(), data=st.data())
def test_whitened_is_no_worse_than_svd_on_its_inputs(matrix: np.ndarray, data: st.DataObject) -> None:
    """No matrix of that rank has a lower E|W x - A B x|^2, with SciPy's square root of the covariance."""
    rank = data.draw(st.integers(1, min(matrix.shape)))
    c, ridge = data.draw(covariances(matrix.shape[1])), 1e-6
    mean = np.trace(c) / len(c)
    root = np.real(sqrtm(c + ridge * mean * np.eye(len(c)))) if mean > 0 else np.eye(len(c))
    whole = matrix.astype(np.float64) @ root
    norm = float(np.linalg.norm(whole))
    weighted, plain = (
        np.linalg.norm(whole - to_dense(_doubled(method.factorize(matrix, rank, CalibrationStatistics(c)))) @ root)
        for method in (WhitenedSvd(ridge=ridge), method_named("svd"))
    )
    assert weighted <= plain + 1e-4 * norm
    assert weighted == pytest.approx(_optimum(whole, rank), abs=1e-4 * norm)


@settings(max_examples=100, deadline=None)
@given(matrix=matrices(), data=st.data())
def test_no_factors_have_a_lower_loss_than_those_of_kfac(matrix: np.ndarray, data: st.DataObject) -> None:
    """By SciPy's square roots of both covariances, and Eckart and Young."""
    rank, ridge = data.draw(st.integers(1, min(matrix.shape))), 1e-3
    statistics = _statistics(data, matrix)
    assert statistics.input_covariance is not None and statistics.output_covariance is not None
    left, right = (_root(c, ridge) for c in (statistics.output_covariance, statistics.input_covariance))
    whole = left @ matrix.astype(np.float64) @ right
    factors = method_named("kfac_svd", {"ridge": ridge, "output_ridge": ridge}).factorize(matrix, rank, statistics)
    error = np.linalg.norm(whole - left @ to_dense(_doubled(factors)) @ right)
    assert error == pytest.approx(_optimum(whole, rank), abs=1e-3 * float(np.linalg.norm(whole)))


def _root(covariance: np.ndarray, ridge: float) -> np.ndarray:
    mean = np.trace(covariance) / len(covariance)
    if mean <= 0:
        return np.eye(len(covariance))
    return np.asarray(np.real(sqrtm(covariance + ridge * mean * np.eye(len(covariance)))))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12).flatmap(lambda n: covariances(n)), st.sampled_from([0.0, 1e-6, 1e-3, 1.0]))
def test_square_root(c: np.ndarray, ridge: float) -> None:
    """Singular covariances and a ridge of zero included."""
    mean = np.trace(c) / len(c)
    root = square_root(c, ridge)
    expected = c + ridge * mean * np.eye(len(c)) if mean > 0 else np.eye(len(c))
    np.testing.assert_allclose(root @ root.T, expected, atol=1e-9 * max(mean, 1e-30) * len(c))


def test_whitened_of_white_inputs_is_svd() -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    white = WhitenedSvd().factorize(matrix, 3, CalibrationStatistics(2.5 * np.eye(8)))
    np.testing.assert_allclose(to_dense(white), to_dense(method_named("svd").factorize(matrix, 3)), atol=1e-5)


def test_whitened_spends_nothing_on_inputs_that_never_come() -> None:
    """Only two of six inputs are not zero, so that rank 2 is exact on them."""
    rng = np.random.default_rng(0)
    matrix, inputs = rng.normal(size=(10, 6)).astype(np.float32), rng.normal(size=(50, 6))
    inputs[:, 2:] = 0
    product = to_dense(WhitenedSvd(ridge=1e-9).factorize(matrix, 2, CalibrationStatistics(inputs.T @ inputs / 50)))
    np.testing.assert_allclose(inputs @ product.T, inputs @ matrix.T, atol=1e-5)
    assert np.abs(product - matrix).max() > 0.1


def test_fisher_of_equal_rows_is_svd_and_heavy_rows_are_kept() -> None:
    matrix = np.random.default_rng(0).normal(size=(12, 9)).astype(np.float32)
    equal = FisherSvd().factorize(matrix, 3, CalibrationStatistics(row_weights=np.full(12, 0.3)))
    np.testing.assert_allclose(to_dense(equal), to_dense(method_named("svd").factorize(matrix, 3)), atol=1e-5)
    heavy = np.ones(12)
    heavy[:3] = 1e6
    product = to_dense(FisherSvd().factorize(matrix, 3, CalibrationStatistics(row_weights=heavy)))
    assert np.abs(product - matrix)[:3].max() < 1e-2 < np.abs(product - matrix)[3:].max()


def test_fisher_where_no_gradient_came() -> None:
    matrix = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    factors = FisherSvd().factorize(matrix, 2, CalibrationStatistics(row_weights=np.zeros(5)))
    np.testing.assert_allclose(to_dense(factors), to_dense(method_named("svd").factorize(matrix, 2)), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(matrices(), st.data())
def test_pruning_keeps_the_largest(matrix: np.ndarray, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, min(matrix.shape)))
    pruned = Prune().factorize(matrix, rank)
    kept = pruned.values != 0
    np.testing.assert_array_equal(pruned.values[kept], matrix[kept])
    assert pruned.size == min(rank * sum(matrix.shape), np.count_nonzero(matrix))
    if kept.any() and not kept.all():
        assert np.abs(matrix[kept]).min() >= np.abs(matrix[~kept]).max()


@pytest.mark.parametrize("start", ["svd", "kmeans", "random"])
@pytest.mark.parametrize("nonnegative", ["left", "right"])
@settings(max_examples=40, deadline=None)
@given(matrix=matrices(), data=st.data())
def test_semi_nmf(nonnegative: str, start: str, matrix: np.ndarray, data: st.DataObject) -> None:
    """The error never rises, and the coefficients are non-negative, in the returned factors as well."""
    rank = data.draw(st.integers(1, min(matrix.shape)))
    method = SemiNmf(nonnegative=nonnegative, start=start, iterations=60)
    x = matrix.astype(np.float64)
    f, g, errors = method.alternate(x if nonnegative == "right" else x.T, rank)
    assert (g >= 0).all() and (np.diff(errors) <= 1e-9).all()
    factors = method.factorize(matrix, rank)
    assert ((factors.left if nonnegative == "left" else factors.right) >= 0).all()
    norm = float(np.linalg.norm(x))
    assert _error(matrix, factors) == pytest.approx(errors[-1] * norm, abs=1e-5 * norm)
    assert f.shape[1] == g.shape[1] == rank


def test_semi_nmf_stops_when_it_no_longer_gains() -> None:
    x = np.random.default_rng(0).normal(size=(30, 20))
    loose, tight = (SemiNmf(tolerance=t, iterations=500).alternate(x, 4)[2] for t in (1e-2, 1e-5))
    assert len(loose) < len(tight) and tight[-1] < loose[-1]
    assert tight[-2] - tight[-1] < 1e-5 <= tight[-3] - tight[-2]


def test_semi_nmf_finds_factors_that_exist() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(15, 2)) @ rng.exponential(size=(2, 40))
    factors = SemiNmf(nonnegative="right", iterations=3000, tolerance=1e-9).factorize(x.astype(np.float32), 2)
    assert _error(x.astype(np.float32), factors) < 0.02 * np.linalg.norm(x)


def test_random_subspaces_differ_by_seed_and_are_worse() -> None:
    matrix = np.random.default_rng(0).normal(size=(40, 20)).astype(np.float32)
    first, second = (method_named("random", {"seed": seed}).factorize(matrix, 5) for seed in (0, 1))
    assert np.abs(to_dense(first) - to_dense(second)).max() > 0.1
    assert _error(matrix, first) > 1.05 * _optimum(matrix, 5)


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("svd", {"ridge": 1}, "the key 'ridge'"),
        ("whitened_svd", {"rigde": 1}, "the key 'rigde'"),
        ("whitened_svd", {"ridge": -1}, "ridge: found -1"),
        ("whitened_svd", {"ridge": "a"}, "ridge: found 'a'"),
        ("semi_nmf", {"start": "zeros"}, "start: found 'zeros'"),
        ("semi_nmf", {"seed": -1}, "seed: found -1"),
        ("semi_nmf", {"nonnegative": "both"}, "nonnegative: found 'both'"),
        ("semi_nmf", {"iterations": 0}, "iterations: found 0"),
        ("semi_nmf", {"tolerance": float("nan")}, "tolerance: found nan"),
        ("nmf", {"form": "half"}, "form: found 'half'"),
        ("random", {"seed": 1.5}, "seed: found 1.5"),
    ],
)
def test_settings_are_checked(name: str, setting: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        method_named(name, setting)
    assert message in str(caught.value)


def test_versions() -> None:
    """Identities of runs hold the version of each method."""
    assert all(method_named(name).VERSION >= 1 for name in method_names())
    with pytest.raises(InputError, match=r"Unversioned: VERSION: missing, expected an integer"):

        @register("unversioned")
        class Unversioned(Method):
            def factorize(
                self, matrix: np.ndarray, rank: int, statistics: CalibrationStatistics = NO_STATISTICS
            ) -> Factors:
                raise NotImplementedError

    assert "unversioned" not in method_names()
