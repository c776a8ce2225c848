"""Allocations within a budget are exact, and never exceed it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmo_mf import Compression
from elmo_mf.bilm.checkpoint import stored_sizes
from elmo_mf.bilm.weights import BilmWeights, Factors, Matrix, highway_matrices
from elmo_mf.compression import (
    check_compression,
    compress,
    matrix_references,
    method_named,
    method_names,
    read_compression,
    size_report,
)
from elmo_mf.compression.allocation import BudgetRoom, Candidate, allocate_ranks
from elmo_mf.compression.matrix_reference import HighwayReference, MatrixReference, highway_references
from elmo_mf.errors import InputError
from elmo_mf.records.compression import Budget, StoredType
from tests.conftest import random_bilm

reductions = st.lists(st.floats(0, 10), min_size=1, max_size=4).map(
    lambda values: np.array(sorted(values, reverse=True))
)
candidates = st.lists(st.builds(Candidate, reductions, st.sampled_from([1, 2, 3, 5, 7])), min_size=1, max_size=4)

OPTIONS = random_bilm().options
WEIGHTS = random_bilm().weights()


@pytest.mark.slow
@settings(max_examples=300)
@given(candidates, st.integers(0, 40))
def test_no_allocation_is_better(chosen: list[Candidate], more: int) -> None:
    budget = sum(candidate.cost for candidate in chosen) + more
    ranks = allocate_ranks(dict(enumerate(chosen)), budget)

    def cost(ranks: tuple[int, ...]) -> int:
        return sum(rank * candidate.cost for rank, candidate in zip(ranks, chosen, strict=True))

    def total(ranks: tuple[int, ...]) -> float:
        return float(
            sum(candidate.error_reductions[:rank].sum() for rank, candidate in zip(ranks, chosen, strict=True))
        )

    allocated = tuple(ranks[index] for index in range(len(chosen)))
    every = itertools.product(*(range(1, len(option.error_reductions) + 1) for option in chosen))
    assert cost(allocated) <= budget and all(
        1 <= r <= len(option.error_reductions) for r, option in zip(allocated, chosen, strict=True)
    )
    assert total(allocated) == pytest.approx(max(total(ranks) for ranks in every if cost(ranks) <= budget))


def test_too_small_a_budget() -> None:
    with pytest.raises(ValueError, match=r"4 .*5"):
        allocate_ranks({"a": Candidate(np.ones(3), 2), "b": Candidate(np.ones(3), 3)}, 4)


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in method_names() if not method_named(name).takes_gradients])
@pytest.mark.parametrize(
    ("targets", "granularity"), [("all", "stacked"), ("joint+projection", "stacked"), ("all", "gate")]
)
def test_a_budget_is_kept(method: str, targets: str, granularity: str) -> None:
    for parameters, allocation in ((1500, "outputs"), (1777, "matrices")):
        budget = {"parameters": parameters}
        compression = Compression(
            method=method, targets=targets, granularity=granularity, budget=budget, allocation=allocation
        )
        size = size_report(compress(WEIGHTS, OPTIONS, compression), OPTIONS)
        assert parameters - 60 < size.lstm_parameters <= parameters or size.lstm_parameters == _most(compression)


def _most(compression: Compression) -> int:
    references = matrix_references(WEIGHTS, compression)
    return 4 * 48 + sum(reference.cost * reference.largest_useful_rank for reference in references)


@pytest.mark.slow
def test_kinds_of_budget() -> None:
    dense = size_report(WEIGHTS, OPTIONS)
    for kind, amount, quantity in (
        ("bytes", 6000, "lstm_bytes"),
        ("multiply_adds", 1400, "lstm_multiply_adds"),
        ("share", 0.6, "lstm_parameters"),
    ):
        size = size_report(
            compress(WEIGHTS, OPTIONS, Compression(method="svd", targets="all", budget={kind: amount})), OPTIONS
        )
        limit = amount * dense.lstm_dense_parameters if kind == "share" else amount
        assert 0.9 * limit < getattr(size, quantity) <= limit


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["joint+projection", "all", "input+projection"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int4"])
@pytest.mark.parametrize("how", [{}, {"highway_rank": "budget"}, {"granularity": "gate"}], ids=str)
def test_bytes_of_a_type(dtype: StoredType, targets: str, how: dict[str, Any]) -> None:
    """What is stored takes at most the budget, and at most one rank of the largest matrix less."""
    bilm, with_highways = random_bilm(dim=40, projection_dim=33), "highway_rank" in how
    weights, checked = bilm.weights(), 0
    for share in (0.35, 0.6, 0.8):
        most = int(share * _bytes_of(weights, dtype, with_highways))
        budget = Budget(bytes=most, dtype=dtype)
        compression = Compression(method="svd", targets=targets, budget=budget, allocation="matrices", **how)
        if not BudgetRoom.of(weights, compression).fits:
            with pytest.raises(InputError, match=rf"found {most:,} bytes"):
                check_compression(weights, compression)
            continue
        compressed = compress(weights, bilm.options, compression)
        reached = _bytes_of(compressed, dtype, with_highways)
        assert reached <= most
        highways = highway_references(weights) if with_highways else []
        references: list[MatrixReference | HighwayReference] = [*matrix_references(weights, compression), *highways]
        if any(_rank_in(compressed, one) < one.largest_useful_rank for one in references):
            assert reached > most - max(_bytes_of_a_rank(one, dtype) for one in references)
            checked += 1
    assert checked


def _bytes_of(weights: BilmWeights, dtype: str, with_highways: bool) -> int:
    counted = ("RNN_", "CNN_high_") if with_highways else ("RNN_",)
    return sum(size for name, size in stored_sizes(weights, dtype).items() if name.startswith(counted))


def _rank_in(weights: BilmWeights, reference: MatrixReference | HighwayReference) -> int:
    matrix: Matrix
    if isinstance(reference, HighwayReference):
        matrix = highway_matrices(weights.token_layer)[reference.layer]
    else:
        matrix = weights.lstms[reference.key].matrices[reference.target]
    assert isinstance(matrix, Factors)
    return matrix.rank


def _bytes_of_a_rank(reference: MatrixReference | HighwayReference, dtype: StoredType) -> float:
    """Bytes of one rank with its scales; in four bits a new group of inputs may begin for each output."""
    sizes: dict[str, float] = {"float32": 4, "float16": 2, "int8": 1, "int4": 0.5}
    new_groups = 2 * (reference.shape[0] + 4 * reference.blocks)
    scales = {"int8": 4 * reference.blocks, "int4": new_groups}
    return sizes[dtype] * reference.cost + scales.get(dtype, 0)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float16", 2)])
def test_bytes_of_floats_are_parameters(dtype: StoredType, size: int) -> None:
    ranks = []
    for budget in (Budget(parameters=1700), Budget(bytes=1700 * size + 1, dtype=dtype)):
        compression = Compression(method="svd", targets="all", budget=budget, allocation="matrices")
        rows = size_report(compress(WEIGHTS, OPTIONS, compression), OPTIONS).matrices
        ranks.append([row.rank for row in rows])
    assert ranks[0] == ranks[1]


def test_matrices_that_stay_count() -> None:
    """The budget includes matrices that stay dense."""
    compression = Compression(method="svd", targets="input", layers=[0], budget={"parameters": 2600})
    assert size_report(compress(WEIGHTS, OPTIONS, compression), OPTIONS).lstm_parameters <= 2600
    with pytest.raises(InputError, match=r"found 2,300 parameters"):
        check_compression(WEIGHTS, Compression(method="svd", targets="input", layers=[0], budget={"parameters": 2300}))


@pytest.mark.slow
def test_highway_layers_share_a_budget() -> None:
    dense = size_report(WEIGHTS, OPTIONS)
    highways, biases = 2 * 34 * 17, 2 * 34
    for kind, amount in (("parameters", 2500), ("bytes", 10_000), ("multiply_adds", 2100), ("share", 0.6)):
        compression = Compression(method="svd", targets="all", budget={kind: amount}, highway_rank="budget")
        size = size_report(compress(WEIGHTS, OPTIONS, compression), OPTIONS)
        highway_parameters = highways - size.around_saved
        assert 0 < highway_parameters < highways
        reached = {
            "parameters": size.lstm_parameters + highway_parameters + biases,
            "bytes": size.lstm_bytes + 4 * (highway_parameters + biases),
            "multiply_adds": size.lstm_multiply_adds + highway_parameters,
            "share": (size.lstm_parameters + highway_parameters + biases) / (dense.lstm_parameters + highways + biases),
        }[kind]
        assert 0.9 * amount < reached <= amount


@pytest.mark.slow
def test_a_rank_of_the_highway_layers_beside_a_budget() -> None:
    compression = Compression(method="svd", targets="all", budget={"parameters": 1700}, highway_rank=4)
    size = size_report(compress(WEIGHTS, OPTIONS, compression), OPTIONS)
    assert size.around_saved == 2 * (34 * 17 - 4 * (34 + 17)) and 1600 < size.lstm_parameters <= 1700


def test_scale_of_a_matrix_does_not_matter() -> None:
    """Error reductions are relative to the norm of each matrix."""
    loud = WEIGHTS.lstms[0, 0].with_matrix("input", 100 * np.asarray(WEIGHTS.lstms[0, 0].matrices["input"]))
    weights = type(WEIGHTS)(WEIGHTS.token_layer, {**WEIGHTS.lstms, (0, 0): loud})
    compression = Compression(method="svd", targets="all", budget={"parameters": 1700}, allocation="matrices")
    sizes = [size_report(compress(w, OPTIONS, compression), OPTIONS).matrices for w in (WEIGHTS, weights)]
    assert [row.rank for row in sizes[0]] == [row.rank for row in sizes[1]]


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"parameters": 10}, "budget: found 10 parameters"),
        ({"parameters": 0}, "budget.parameters: found 0"),
        ({"parameters": 10.5}, "budget.parameters: found 10.5"),
        ({"parameters": float("inf")}, "budget.parameters: found inf"),
        ({"share": 1.5}, "budget.share: found 1.5"),
        ({"share": 0.01}, "budget: found 27 parameters"),
        ({"flops": 10}, "the key 'flops'"),
        ({"parameters": 1700, "dtype": "int8"}, "budget.dtype: found int8 with a budget of parameters"),
        ({"bytes": 1700, "dtype": "int9"}, "budget.dtype: found 'int9'"),
        ({"bytes": 1000, "dtype": "int8"}, "budget: found 1,000 bytes in int8, expected at least "),
        ({"parameters": 1, "bytes": 4}, "budget: "),
        (10, "budget: found 10"),
    ],
)
def test_refused(budget: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_compression(WEIGHTS, read_compression({"method": "svd", "targets": "all", "budget": budget}))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"budget": {"share": 0.5}, "allocation": "rows"}, "allocation: found 'rows'"),
        ({"budget": {"share": 0.5}, "allocation": 5}, "allocation: found 5"),
        ({"rank": 2, "allocation": "matrices"}, "allocation: found matrices"),
    ],
)
def test_allocations_that_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_compression({"method": "svd", "targets": "all"} | keys)
    assert message in str(caught.value)


def test_pruning_saves_no_bytes() -> None:
    raw = {"method": "prune", "targets": "all", "budget": {"bytes": 9000}}
    with pytest.raises(InputError, match="budget: found bytes"):
        read_compression(raw)
    with pytest.raises(InputError, match="budget: found bytes"):
        check_compression(WEIGHTS, Compression.model_validate(raw))
