"""A budget that chooses the number of memory cells: the least predicted loss, and the same as that number by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from allennlp.modules.elmo import _ElmoBiLm

from elmo_mf import Bilm, compress_checkpoint
from elmo_mf.acceleration import EncoderSettings
from elmo_mf.acceleration.replace_encoder import fast_encoder
from elmo_mf.bilm.weights import TARGETS, BilmWeights, Factors, to_dense
from elmo_mf.compression import (
    check_compression,
    compress_elmo,
    compression_versions,
    matrix_references,
    read_compression,
    size_report,
    with_file_hashes,
)
from elmo_mf.compression._cell_checks import cell_counts, shapes_with_cells
from elmo_mf.compression._cells_in_budget import CellStatistics, cells_in_budget, predicted_losses
from elmo_mf.compression.allocation import Candidate, ranks_within
from elmo_mf.compression.calibration import (
    InputCovariances,
    OutputCovariances,
    RowWeights,
    write_row_weights,
)
from elmo_mf.compression.cells import FewerCells, cell_removals, with_fewer_cells
from elmo_mf.compression.methods.base import CalibrationStatistics
from elmo_mf.compression.methods.kfac_svd import KfacSvd
from elmo_mf.errors import InputError
from tests.conftest import random_bilm, rejected

DENSE = random_bilm(scale=3)
OPTIONS, WEIGHTS = DENSE.options, DENSE.weights()
CELLS = OPTIONS.lstm.dim
TEXT = "one\ntwo more words\nthe words of a longer sentence , again\nand two more\n" * 3
BY_LOSS: dict[str, Any] = {
    "method": "kfac_svd", "targets": "joint+projection", "allocation": "loss", "cells": "budget"
}  # fmt: skip


def _covariance(rng: np.random.Generator, n: int, power: float) -> np.ndarray:
    """A covariance; the larger the power, the fewer directions matter."""
    samples = rng.standard_normal((3 * n, n)) * rng.exponential(size=n) ** power
    mixed = samples @ np.linalg.qr(rng.standard_normal((n, n)))[0]
    return np.asarray(mixed.T @ mixed / len(mixed))


def _statistics(seed: int) -> CellStatistics:
    rng, p = np.random.default_rng(seed), OPTIONS.lstm.projection_dim
    inputs = {key: InputCovariances(_covariance(rng, 2 * p, 2), _covariance(rng, CELLS, 1), p) for key in WEIGHTS.lstms}
    outputs = {
        (*key, name): (scale * _covariance(rng, m, 1)).astype(np.float32)
        for key in WEIGHTS.lstms
        for name, m, scale in (("gates", 4 * CELLS, 0.03), ("projection", p, 1))
    }
    covariances = OutputCovariances(outputs)
    return CellStatistics(cell_removals(WEIGHTS, inputs, covariances), inputs, covariances)


def _by_hand(keys: dict[str, Any], cells: int, known: CellStatistics) -> float:
    """The same prediction, from the matrices of the smaller ELMo."""
    parameters = int(keys["budget"]["share"] * size_report(WEIGHTS, OPTIONS).lstm_parameters)
    compression = read_compression(keys | {"cells": None, "budget": {"parameters": parameters}})
    fewer = with_fewer_cells(WEIGHTS, cells, known.removals)
    outputs, left, candidates = known.outputs.of_cells(fewer.kept), 0.0, dict[Any, Candidate]()
    for reference in matrix_references(fewer.weights, compression):
        statistics, method = known.inputs[reference.key].of(reference.target), KfacSvd()
        if reference.target == "projection":
            kept = fewer.kept[reference.key]
            statistics, method = known.removals[reference.key].covariance[np.ix_(kept, kept)], KfacSvd(ridge=0)
        both = CalibrationStatistics(statistics, output_covariance=outputs.of(reference))
        matrix = reference.matrix(fewer.weights)
        size = len(matrix) // reference.blocks
        blocks = [slice(start, start + size) for start in range(0, len(matrix), size)]
        errors = sum(method.error_reductions(matrix[rows], both.of_rows(rows)) for rows in blocks)
        left += float(np.sum(errors))
        candidates[reference] = Candidate(np.asarray(errors)[: reference.largest_useful_rank], reference.cost)
    ranks = ranks_within(fewer.weights, compression, candidates)
    left -= sum(float(one.error_reductions[: ranks[key]].sum()) for key, one in candidates.items())
    return left + sum(_removal_error(key, fewer, known) for key in WEIGHTS.lstms)


def _removal_error(key: tuple[int, int], fewer: FewerCells, known: CellStatistics) -> float:
    dense, corrected = (to_dense(one.lstms[key].matrices["projection"]) for one in (WEIGHTS, fewer.weights))
    difference, removal = dense.astype(np.float64), known.removals[key]
    difference[:, fewer.kept[key]] -= corrected
    return float(np.linalg.norm(removal.root.T @ difference @ np.linalg.cholesky(removal.covariance)) ** 2)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"targets": "all", "layers": [1]},
        {"targets": "joint+projection", "granularity": "gate"},
        {"targets": "joint", "directions": "forward"},
        {"method": "svd", "allocation": "outputs", "highway_rank": 3},
    ],
    ids=str,
)
def test_the_number_with_the_least_predicted_loss_is_chosen(keys: dict[str, Any], seed: int) -> None:
    known, places = _statistics(seed), set[int]()
    for share in (0.6, 0.45, 0.3):
        asked = BY_LOSS | keys | {"budget": {"share": share}}
        compression = read_compression(asked)
        counts = cell_counts(WEIGHTS, compression)
        expected = {cells: _by_hand(asked, cells, known) for cells in counts}
        found = predicted_losses(WEIGHTS, compression, counts, known)
        np.testing.assert_allclose([found[cells] for cells in counts], list(expected.values()), rtol=1e-4)
        chosen = cells_in_budget(WEIGHTS, compression, known)
        assert chosen == min(expected, key=expected.__getitem__)
        places.add(counts.index(chosen))
    assert len(places) > 1 or len(counts) == 1, counts


def test_an_output_covariance_of_zeros() -> None:
    """Where no output matters, as where all matter alike, every direction of the inputs counts."""
    known = _statistics(0)
    zeros = {key: 0 * one if key[2] == "gates" else one for key, one in known.outputs.covariances.items()}
    known = replace(known, outputs=OutputCovariances(zeros))
    keys = BY_LOSS | {"budget": {"share": 0.4}}
    compression = read_compression(keys)
    counts = cell_counts(WEIGHTS, compression)
    found = predicted_losses(WEIGHTS, compression, counts, known)
    np.testing.assert_allclose([found[n] for n in counts], [_by_hand(keys, n, known) for n in counts], rtol=1e-4)


@pytest.mark.parametrize(("share", "first"), [(0.5, 640), (0.25, 640), (0.06, 224)])
def test_numbers_to_choose_from(share: float, first: int) -> None:
    """Multiples of what machine code computes at once, four to each half, if factors fit and are smaller than matrices.

    With 0.06, the biases of more than 224 cells are too much.
    """
    every = [640, 544, 448, 384, 320, 272, 224, 192, 160, 128, 112, 96, 80, 64, 48, 32, 16]
    counts = cell_counts(_with_cells(640), read_compression(BY_LOSS | {"budget": {"share": share}}))
    assert counts == every[every.index(first) :][: len(counts)]
    parameters = (size_report(_with_cells(n), OPTIONS).lstm_parameters for n in (640, counts[-1], counts[-1] * 4 // 5))
    whole, dense, fewer = parameters
    assert fewer < share * whole < dense


def _with_cells(cells: int) -> BilmWeights:
    return shapes_with_cells(WEIGHTS, cells)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A calibration text, and gradients."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    known, p = _statistics(0), OPTIONS.lstm.projection_dim
    rows: dict[Any, np.ndarray] = {
        (*key, target): np.ones(p if target == "projection" else 4 * CELLS)
        for key in WEIGHTS.lstms
        for target in TARGETS
    }
    write_row_weights(tmp_path / "gradients.hdf5", RowWeights(rows), {"words": 1}, known.outputs)
    return {"calibration": str(tmp_path / "text.txt"), "gradients": str(tmp_path / "gradients.hdf5")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        {"budget": {"share": 0.3}},
        {"budget": {"share": 0.45}, "inputs": "compressed", "highway_rank": 3},
        {"budget": {"bytes": 3000}, "method": "whitened_svd", "allocation": "outputs"},
        {"budget": {"share": 0.9}},
    ],
    ids=str,
)
def test_it_is_the_compression_with_that_number(keys: dict[str, Any], files: dict[str, str], tmp_path: Path) -> None:
    """Bit for bit, in memory and on disk; a large budget keeps all cells, as without any removal."""
    asked = read_compression(BY_LOSS | keys | files)
    found = compress_elmo(WEIGHTS, OPTIONS, asked)
    chosen = found.cells
    assert chosen is None if keys["budget"] == {"share": 0.9} else chosen is not None
    by_hand = read_compression(BY_LOSS | keys | files | {"cells": chosen})
    expected = compress_elmo(WEIGHTS, OPTIONS, by_hand)
    assert found.options == expected.options and found.applied(asked) == by_hand
    for one, other in ((found.weights, expected.weights), (found.unfactored, expected.unfactored)):
        assert _numbers(one) == _numbers(other)
    DENSE.save(tmp_path / "elmo")
    paths = tmp_path / "elmo" / "options.json", tmp_path / "elmo" / "weights.hdf5"
    result = compress_checkpoint(*paths, out=tmp_path / "found", compression=asked)
    compress_checkpoint(*paths, out=tmp_path / "expected", compression=by_hand)
    for name in ("options.json", "weights.hdf5"):
        assert (tmp_path / "found" / name).read_bytes() == (tmp_path / "expected" / name).read_bytes()
    built = Bilm.from_files(*paths, asked)
    history = Bilm.from_files(result.options, result.weights).options.history.steps
    assert list(history) == list(built.options.history.steps) == [with_file_hashes(by_hand).to_dict()]
    report = json.loads((tmp_path / "found" / "report.json").read_text())
    assert report["cells"] == [CELLS, chosen or CELLS] and report["compression"]["cells"] == "budget"
    number = f"{chosen or CELLS} of {CELLS}"
    assert result.notes()[0] == f"{number} memory cells in each direction of each layer, chosen within the budget"
    card = (tmp_path / "found" / "MODEL_CARD.md").read_text()
    assert f"| memory cells | {number} in each direction of each layer, chosen within the budget |" in card


def test_in_a_model_of_allennlp(files: dict[str, str], tmp_path: Path) -> None:
    asked = read_compression(BY_LOSS | {"budget": {"share": 0.3}} | files)
    DENSE.save(tmp_path)
    stock = _ElmoBiLm(str(tmp_path / "options.json"), str(tmp_path / "weights.hdf5"))
    fast, expected = fast_encoder(stock, EncoderSettings(asked)), compress_elmo(WEIGHTS, OPTIONS, asked)
    assert _numbers(fast.weights()) == _numbers(expected.weights)
    applied = with_file_hashes(asked.model_copy(update={"cells": fast.options.lstm.dim}))
    assert list(fast.options.history.steps) == [applied.to_dict()]


def _numbers(weights: BilmWeights) -> list[bytes]:
    return [
        part.tobytes()
        for key in sorted(weights.lstms)
        for _, matrix in sorted(weights.lstms[key].matrices.items())
        for part in ((matrix.left, matrix.right) if isinstance(matrix, Factors) else (to_dense(matrix),))
    ]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"budget": None, "rank": 2, "allocation": "outputs"}, "cells: found 'budget', expected an integer"),
        ({"cells": "half"}, "cells: found 'half', expected an integer or budget"),
        ({"highway_rank": "budget", "allocation": "outputs"}, "highway_rank: found 'budget', .* is not known"),
    ],
    ids=str,
)
def test_what_is_no_compression(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"^compression\.{message}"):
        read_compression(BY_LOSS | {"budget": {"share": 0.3}} | keys)
    with rejected("compression.cells", "found 'budget', expected"):
        read_compression({"cells": "budget"})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"budget": {"share": 0.01}}, r"budget: found 27 parameters, expected at least .* at rank 1"),
        ({"layers": [2]}, r"layers: found 2, expected 0 to 1"),
        ({"highway_rank": 18}, r"highway_rank: found 18, expected at most 17"),
    ],
    ids=str,
)
def test_what_does_not_fit_the_elmo(keys: dict[str, Any], message: str) -> None:
    """Before any file is read."""
    compression = read_compression(BY_LOSS | {"budget": {"share": 0.3}} | keys)
    with pytest.raises(InputError, match=rf"^compression\.{message}"):
        check_compression(WEIGHTS, compression)


def test_without_gradients() -> None:
    compression = read_compression(BY_LOSS | {"budget": {"share": 0.3}})
    with rejected("compression.gradients", "the removal of cells requires"):
        compress_elmo(WEIGHTS, OPTIONS, compression)


def test_what_has_no_cells_to_remove(files: dict[str, str]) -> None:
    compression = read_compression(BY_LOSS | {"budget": {"share": 0.3}} | files)
    factored = compress_elmo(WEIGHTS, OPTIONS, read_compression({"method": "svd", "rank": 1, "targets": "input"}))
    with rejected("compression.cells", "found factored or pruned matrices"):
        check_compression(factored.weights, compression)
    with rejected("compression.cells", "applies to ELMos"):
        check_compression(WEIGHTS, read_compression(BY_LOSS | {"budget": {"share": 0.3}}), language_model=True)


def test_versions() -> None:
    """The first version is left out, as for parts that were there from the beginning."""
    compression = read_compression(BY_LOSS | {"budget": {"share": 0.3}})
    assert compression_versions(compression) == {"compression": 1, "kfac_svd": 1}
    with patch("elmo_mf.compression._cells_in_budget.VERSION", 2):
        assert compression_versions(compression)["memory-cells-in-budget"] == 2
        assert compression_versions(compression.model_copy(update={"cells": 8})) == {"compression": 1, "kfac_svd": 1}
