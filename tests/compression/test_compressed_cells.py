"""Compressions that remove memory cells before they factorize: the same as both steps by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elmo_mf import Bilm, Compression, compress_checkpoint
from elmo_mf.bilm.weights import TARGETS, BilmWeights
from elmo_mf.compression import (
    activation_error,
    check_compression,
    compress,
    compress_elmo,
    compression_report,
    compression_versions,
    read_compression,
    remove_cells,
    size_report,
    with_file_hashes,
)
from elmo_mf.compression.calibration import OutputCovariances, RowWeights, write_row_weights
from elmo_mf.errors import InputError
from elmo_mf.records import Distillation
from tests.conftest import random_bilm, rejected

DENSE = random_bilm(scale=3)
OPTIONS, WEIGHTS = DENSE.options, DENSE.weights()
CELLS, KEPT = OPTIONS.lstm.dim, 5
TEXT = "one\ntwo more words\nthe words of a longer sentence , again\nand two more\n" * 3
BY_LOSS = {"method": "kfac_svd", "targets": "joint+projection", "budget": {"share": 0.3}, "allocation": "loss"}


def _write_gradients(path: Path, rows: dict[Any, np.ndarray], covariances: dict[Any, np.ndarray]) -> Path:
    write_row_weights(path, RowWeights(rows), {"words": 1}, OutputCovariances(covariances))
    return path


def _gradients() -> tuple[dict[Any, np.ndarray], dict[Any, np.ndarray]]:
    rng, p = np.random.default_rng(0), OPTIONS.lstm.projection_dim
    rows, covariances = dict[Any, np.ndarray](), dict[Any, np.ndarray]()
    for key in WEIGHTS.lstms:
        rows |= {(*key, target): rng.exponential(size=p if target == "projection" else 4 * CELLS) for target in TARGETS}
        for name, m in (("gates", 4 * CELLS), ("projection", p)):
            samples = rng.standard_normal((3 * m, m)) * rng.exponential(size=m)
            covariances[(*key, name)] = (samples.T @ samples / len(samples)).astype(np.float32)
    return rows, covariances


def _rows_kept(smaller: BilmWeights, key: tuple[int, int]) -> list[int]:
    """The rows of the gates that were kept: `input` has them unchanged."""
    dense, kept = (np.asarray(one.lstms[key].matrices["input"]) for one in (WEIGHTS, smaller))
    return [int(np.flatnonzero((dense == row).all(axis=1))[0]) for row in kept]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A calibration text, and gradients."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    gradients = _write_gradients(tmp_path / "gradients.hdf5", *_gradients())
    return {"calibration": str(tmp_path / "text.txt"), "gradients": str(gradients)}


def _assert_same(found: BilmWeights, expected: BilmWeights) -> None:
    for key, lstm in expected.lstms.items():
        assert found.lstms[key].matrices.keys() == lstm.matrices.keys()
        np.testing.assert_array_equal(found.lstms[key].bias, lstm.bias)
        for target, matrix in lstm.matrices.items():
            other: Any = found.lstms[key].matrices[target]
            parts = ("left", "right") if hasattr(matrix, "left") else ("__array__",)
            for part in parts:
                one, two = (getattr(each, part) for each in (other, matrix))
                np.testing.assert_array_equal(*((one(), two()) if callable(one) else (one, two)))


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"highway_rank": 2},
        {"method": "svd", "rank": 2, "targets": "all"},
        {"method": "fisher_svd", "rank": 1, "targets": "all", "granularity": "gate"},
        {"method": "kfac_svd", "rank": 2, "targets": "all", "layers": [1]},
        BY_LOSS,
        BY_LOSS | {"inputs": "compressed", "highway_rank": 3},
        {"method": "whitened_svd", "targets": "all", "budget": {"share": 0.4}, "highway_rank": "budget"},
    ],
    ids=str,
)
def test_it_is_the_removal_and_then_the_factorization(
    keys: dict[str, Any], files: dict[str, str], tmp_path: Path
) -> None:
    smaller, options = remove_cells(WEIGHTS, OPTIONS, KEPT, Path(files["calibration"]), Path(files["gradients"]))
    rows, covariances = _gradients()
    for key in WEIGHTS.lstms:
        kept = _rows_kept(smaller, key)
        assert len(set(kept)) == 4 * KEPT
        rows |= {(*key, target): rows[(*key, target)][kept] for target in ("input", "recurrent")}
        covariances[(*key, "gates")] = covariances[(*key, "gates")][kept][:, kept]
    rest = dict(keys)
    if "budget" in keys:
        highways = 2 * (2 * 17 * 17 + 2 * 17) if keys.get("highway_rank") == "budget" else 0
        dense = size_report(WEIGHTS, OPTIONS).lstm_parameters + highways
        rest["budget"] = {"parameters": int(keys["budget"]["share"] * dense)}
    expected = smaller
    if rest:
        names_gradients = {} if set(rest) == {"highway_rank"} else {
            "gradients": str(_write_gradients(tmp_path / "kept.hdf5", rows, covariances))
        }  # fmt: skip
        calibration = {"calibration": files["calibration"]}
        expected = compress(smaller, options, read_compression(rest | calibration | names_gradients))
    found = compress_elmo(WEIGHTS, OPTIONS, read_compression(keys | files | {"cells": KEPT}))
    _assert_same(found.weights, expected)
    _assert_same(found.unfactored, smaller)
    assert found.options == options
    for name, array in expected.token_layer.items():
        np.testing.assert_array_equal(found.weights.token_layer[name], array)


def test_the_dense_weights_stay_unchanged(files: dict[str, str]) -> None:
    compress(WEIGHTS, OPTIONS, read_compression(BY_LOSS | files | {"cells": KEPT}))
    _assert_same(WEIGHTS, random_bilm(scale=3).weights())


@pytest.mark.parametrize("kind", ["share", "parameters", "bytes", "multiply_adds"])
def test_a_budget_holds_for_the_whole_model(kind: str, files: dict[str, str]) -> None:
    """A share is one of the parameters before cells are removed."""
    dense = size_report(WEIGHTS, OPTIONS)
    amounts = {
        "share": 0.35, "parameters": int(0.35 * dense.lstm_parameters), "bytes": int(0.35 * dense.lstm_bytes),
        "multiply_adds": int(0.35 * dense.lstm_multiply_adds),
    }  # fmt: skip
    keys = BY_LOSS | {"budget": {kind: amounts[kind]}, "cells": 8} | files
    found = compress_elmo(WEIGHTS, OPTIONS, read_compression(keys))
    size = size_report(found.weights, found.options, CELLS)
    assert size.lstm_dense_parameters == dense.lstm_parameters
    assert size.lstm_dense_multiply_adds == dense.lstm_multiply_adds
    share = size.lstm_multiply_adds / dense.lstm_multiply_adds if kind == "multiply_adds" else 1 / size.lstm_ratio
    assert 0.32 < share <= 0.35


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cells": CELLS}, rf"cells: found {CELLS}, expected 1 to {CELLS - 1}, as the ELMo has {CELLS}$"),
        ({"cells": 2}, "rank: found 4, expected less than "),
        ({"cells": 1, "rank": 7}, "rank: found 7, expected at most 4, the rank of forward layer 0 input"),
        ({"rank": None, "budget": {"share": 0.01}}, "budget: found .* expected at least"),
        (
            {"rank": None, "budget": {"share": 0.9}},
            f"budget: found .* parameters, expected fewer than .*, the size with {KEPT} cells$",
        ),
    ],
    ids=str,
)
def test_sizes_are_those_of_the_cells_that_are_kept(keys: dict[str, Any], message: str) -> None:
    """Before any file is read."""
    known = {"method": "svd", "targets": "input+recurrent", "rank": 4, "cells": KEPT, "gradients": "none.hdf5"}
    check_compression(WEIGHTS, read_compression(known | {"cells": 6}))
    with pytest.raises(InputError, match=rf"^compression\.{message}"):
        check_compression(WEIGHTS, read_compression(known | keys))


def test_what_has_no_cells_to_remove(files: dict[str, str]) -> None:
    cells = read_compression({"cells": KEPT} | files)
    factored = compress(WEIGHTS, OPTIONS, Compression(method="svd", rank=1, targets="projection"))
    with rejected("compression.cells", "found factored or pruned matrices"):
        compress(factored, OPTIONS, cells)
    with rejected("compression.cells", "applies to ELMos"):
        check_compression(WEIGHTS, Compression.model_validate({"cells": KEPT}), language_model=True)
    with rejected("compression.gradients", "which the removal of cells"):
        compress(WEIGHTS, OPTIONS, Compression.model_validate({"cells": KEPT}))


def test_gradients_without_covariances_do_not_choose_cells(files: dict[str, str], tmp_path: Path) -> None:
    rows, _ = _gradients()
    write_row_weights(tmp_path / "task.hdf5", RowWeights(rows), {"task": "none"})
    keys = {"method": "svd", "rank": 2, "targets": "all", "cells": KEPT, "gradients": str(tmp_path / "task.hdf5")}
    with pytest.raises(InputError, match="gates_covariance: missing"):
        compress(WEIGHTS, OPTIONS, read_compression(keys))


def test_versions() -> None:
    """Only compressions without cells keep the identities that they had."""
    plain = Compression(method="svd", rank=2, targets="all")
    assert compression_versions(plain) == {"compression": 1, "svd": 1}
    assert compression_versions(Compression.model_validate({"cells": 4})) == {"compression": 1, "kfac_svd": 1}


@pytest.mark.slow
def test_a_distilled_elmo_is_closer_to_the_one_with_all_cells(files: dict[str, str]) -> None:
    keys = {"cells": KEPT, "distill": Distillation(text=files["calibration"], steps=60)} | files
    sentences = [line.split() for line in TEXT.splitlines()]
    errors = []
    for one in (keys | {"distill": None}, keys):
        found = compress_elmo(WEIGHTS, OPTIONS, read_compression(one))
        errors.append(activation_error(DENSE, Bilm(found.options, found.weights).eval(), sentences).overall)
    assert errors[1] < 0.8 * errors[0]


def test_the_report_is_on_the_elmo_with_all_cells(files: dict[str, str]) -> None:
    found = compress_elmo(WEIGHTS, OPTIONS, read_compression(BY_LOSS | files | {"cells": 8}))
    report = compression_report(
        WEIGHTS, found.weights, OPTIONS, Path(files["calibration"]), unfactored=found.unfactored
    )
    assert report.cells == (CELLS, 8) and len(report.matrices) == 8
    assert {row.factorization.shape for row in report.matrices} == {(32, 12), (6, 8)}
    smaller = compression_report(found.unfactored, found.weights, found.options, Path(files["calibration"]))
    assert [row.to_dict() for row in report.matrices] == [row.to_dict() for row in smaller.matrices]
    assert report.size.lstm_dense_parameters == size_report(WEIGHTS, OPTIONS).lstm_parameters
    assert report.predicted_speed_up.lstm == report.size.lstm_dense_multiply_adds / report.size.lstm_multiply_adds
    expected = activation_error(
        DENSE, Bilm(found.options, found.weights).eval(), [line.split() for line in TEXT.splitlines()]
    )
    assert report.activation_error.overall == pytest.approx(expected.overall, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("keys", [{}, BY_LOSS], ids=["cells", "both"])
def test_checkpoints(keys: dict[str, Any], dtype: str, files: dict[str, str], tmp_path: Path) -> None:
    DENSE.save(tmp_path / "elmo")
    paths = tmp_path / "elmo" / "options.json", tmp_path / "elmo" / "weights.hdf5"
    compression = read_compression(keys | files | {"cells": 8})
    result = compress_checkpoint(*paths, out=tmp_path / "out", compression=compression, dtype=dtype)
    read, built = Bilm.from_files(result.options, result.weights), Bilm.from_files(*paths, compression)
    assert read.options.lstm.dim == built.options.lstm.dim == 8
    for found, expected in zip(read.embed([["two", "words"]]), built.embed([["two", "words"]]), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5 if dtype == "float32" else 0.1)
    history = [with_file_hashes(compression).to_dict()]
    assert list(read.options.history.steps) == list(built.options.history.steps) == history
    assert json.loads((tmp_path / "out" / "report.json").read_text())["cells"] == [CELLS, 8]
    assert f"8 of {CELLS} memory cells" in result.notes()[0]
    rounded = 12 if dtype == "int8" else 0
    assert len(result.report.rows) == (8 if keys else rounded)
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert f"| memory cells | 8 of {CELLS} in each direction of each layer |" in card
    assert f"the loss, gradients with SHA-256 {history[0]['gradients']}" in card
    assert f"parameters of the biLSTM | {result.report.size.lstm_parameters:,} of " in card and "8 cells" in card
    assert ("## Matrices" in card) == bool(result.report.rows)


def test_dense_matrices_in_the_official_layout(files: dict[str, str], tmp_path: Path) -> None:
    DENSE.save(tmp_path / "elmo")
    paths = tmp_path / "elmo" / "options.json", tmp_path / "elmo" / "weights.hdf5"
    compression = read_compression(BY_LOSS | files | {"cells": 8})
    result = compress_checkpoint(*paths, out=tmp_path / "out", compression=compression, dense=True)
    read, built = Bilm.from_files(result.options, result.weights), Bilm.from_files(*paths, compression)
    assert not any(hasattr(matrix, "rank") for matrix in read.weights().lstms[0, 0].matrices.values())
    np.testing.assert_allclose(read.embed([["two", "words"]])[0], built.embed([["two", "words"]])[0], atol=1e-5)


def test_primed_states_are_not_kept(files: dict[str, str]) -> None:
    state = np.zeros(OPTIONS.lstm.projection_dim, np.float32), np.zeros(CELLS, np.float32)
    primed = replace(WEIGHTS, lstms={key: replace(lstm, primed=state) for key, lstm in WEIGHTS.lstms.items()})
    found = compress(primed, OPTIONS, read_compression({"cells": KEPT} | files))
    assert all(lstm.primed is None for lstm in found.lstms.values())
