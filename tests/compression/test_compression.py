"""Which matrices are factorized, and what is rejected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf import Compression
from elmo_mf.bilm import Factors, Pruned
from elmo_mf.bilm.weights import to_dense
from elmo_mf.compression import (
    break_even_rank,
    compress,
    method_named,
    method_names,
    read_compression,
    size_report,
    with_file_hashes,
)
from elmo_mf.errors import InputError
from elmo_mf.records import Distillation
from elmo_mf.records.labels import compression_label
from tests.conftest import random_bilm

OPTIONS, WEIGHTS = (
    random_bilm().options,
    random_bilm().weights(),
)  # input and recurrent 48 x 6 (break-even 5.3), projection 6 x 12 (4)


def _factored(compression: Compression) -> set[tuple[int, int, str]]:
    weights = compress(WEIGHTS, OPTIONS, compression)
    return {
        (*key, t) for key, lstm in weights.lstms.items() for t, m in lstm.matrices.items() if isinstance(m, Factors)
    }


def test_chosen_matrices() -> None:
    assert _factored(Compression(method="svd", rank=2, targets="input", layers=[1])) == {
        (0, 1, "input"),
        (1, 1, "input"),
    }
    forward = Compression(method="svd", rank=2, targets=["projection", "recurrent"], directions=["forward"])
    assert _factored(forward) == {(0, k, t) for k in (0, 1) for t in ("recurrent", "projection")}
    assert len(_factored(Compression(method="svd", rank=2, targets="all"))) == 12


def test_the_given_weights_stay_dense() -> None:
    compress(WEIGHTS, OPTIONS, Compression(method="svd", rank=2, targets="all"))
    assert not any(isinstance(m, Factors) for lstm in WEIGHTS.lstms.values() for m in lstm.matrices.values())


@pytest.mark.parametrize(
    ("compression", "message"),
    [
        (
            Compression(method="svd", rank=7, targets="input"),
            "compression.rank: found 7",
        ),
        (
            Compression(method="svd", rank=4, targets="all"),
            "compression.rank: found 4",
        ),
        (
            Compression(method="svd", rank=2, targets="input", layers=[2]),
            "compression.layers: found 2",
        ),
        (
            Compression(method="svd", rank=5, targets="input", granularity="gate"),
            "compression.rank: found 5",
        ),
        (
            Compression(method="svd", rank=13, targets="joint"),
            "compression.rank: found 13",
        ),
        (
            Compression(method="fisher_svd", rank=2, targets="input"),
            "gradients: ",
        ),
        (
            Compression(method="fisher_svd", rank=2, targets="input", gradients="gone"),
            "gone: ",
        ),
        (Compression(method="whitened_svd", rank=2, targets="input", calibration="gone"), "gone: "),
        (
            Compression(method="svd", rank=2, targets="input", distill=Distillation(text="gone")),
            "gone: ",
        ),
    ],
)
def test_refused_for_these_weights(compression: Compression, message: str) -> None:
    with pytest.raises(InputError) as caught:
        compress(WEIGHTS, OPTIONS, compression)
    assert message in str(caught.value)


def test_no_smaller_if_asked_for() -> None:
    assert len(_factored(Compression(method="svd", rank=6, targets="input", allow_larger=True))) == 4


def test_twice() -> None:
    once = compress(WEIGHTS, OPTIONS, Compression(method="svd", rank=2, targets="input"))
    compress(once, OPTIONS, Compression(method="svd", rank=3, targets="recurrent"))
    with pytest.raises(InputError, match=r"forward layer 0 input .*rank 2"):
        compress(once, OPTIONS, Compression(method="svd", rank=3, targets="input"))


def test_a_rank_for_each_target() -> None:
    weights = compress(
        WEIGHTS, OPTIONS, Compression(method="svd", rank={"input": 2, "projection": 3}, targets=["projection", "input"])
    )
    ranks = {(row.target, row.rank) for row in size_report(weights, OPTIONS).matrices}
    assert ranks == {("input", 2), ("recurrent", None), ("projection", 3)}


def test_joint_factors() -> None:
    """[W_x W_h] as one matrix: the shared left factor counts once."""
    weights = compress(WEIGHTS, OPTIONS, Compression(method="svd", rank=3, targets="joint"))
    for key, lstm in weights.lstms.items():
        dense = WEIGHTS.lstms[key].matrices
        assert set(lstm.matrices) == {"joint", "projection"} and lstm.matrices["joint"].size == 3 * (48 + 12)
        both = np.concatenate([to_dense(dense["input"]), to_dense(dense["recurrent"])], axis=1)
        u, s, vt = np.linalg.svd(both.astype(np.float64), full_matrices=False)
        np.testing.assert_allclose(to_dense(lstm.matrices["joint"]), (u[:, :3] * s[:3]) @ vt[:3], atol=1e-5)


def test_factors_of_each_gate() -> None:
    """Each gate's rows are factorized separately."""
    weights = compress(WEIGHTS, OPTIONS, Compression(method="svd", rank=2, targets="input", granularity="gate"))
    for key, lstm in weights.lstms.items():
        matrix, dense = lstm.matrices["input"], to_dense(WEIGHTS.lstms[key].matrices["input"])
        assert isinstance(matrix, Factors) and (matrix.rank, matrix.blocks, matrix.size) == (2, 4, 2 * (48 + 4 * 6))
        for factored, gate in zip(np.split(to_dense(matrix), 4), np.split(dense, 4), strict=True):
            u, s, vt = np.linalg.svd(gate.astype(np.float64), full_matrices=False)
            np.testing.assert_allclose(factored, (u[:, :2] * s[:2]) @ vt[:2], atol=1e-5)


def test_pruning_jointly() -> None:
    """The largest weights of both matrices together are kept."""
    weights = compress(WEIGHTS, OPTIONS, Compression(method="prune", rank=3, targets="joint"))
    for key, lstm in weights.lstms.items():
        matrices = [lstm.matrices[target] for target in ("input", "recurrent")]
        assert all(isinstance(matrix, Pruned) for matrix in matrices) and sum(m.size for m in matrices) == 3 * (48 + 12)
        least = min(np.abs(to_dense(m)[to_dense(m) != 0]).min() for m in matrices)
        for target, matrix in zip(("input", "recurrent"), matrices, strict=True):
            gone = to_dense(WEIGHTS.lstms[key].matrices[target])[to_dense(matrix) == 0]  # type: ignore[index]
            assert np.abs(gone).max() <= least


@pytest.mark.slow
@given(st.integers(1, 500), st.integers(1, 500))
def test_break_even(m: int, n: int) -> None:
    assert break_even_rank(m, n) * (m + n) == pytest.approx(m * n)


def test_identity(tmp_path: Path) -> None:
    """An identity has the hash of a file in place of its path."""
    (tmp_path / "t.txt").write_text("a b\n")
    text = str(tmp_path / "t.txt")
    compression = Compression(
        method="svd", rank=2, targets="all", calibration=text, distill=Distillation(text=text, steps=3)
    )
    before = with_file_hashes(compression)
    assert text not in before.model_dump_json() and read_compression(before.to_dict()) == before
    (tmp_path / "t.txt").write_text("a c\n")
    assert with_file_hashes(compression) != before


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"method": "qr"}, "compression.method: found 'qr'"),
        ({"settings": {"seeds": 1}}, "the key 'seeds'"),
        ({"method": "random", "settings": {"seed": -1}}, "compression.settings: seed: found -1"),
        ({"method": "prune", "rank": None, "budget": {"bytes": 9}}, "compression.budget: found bytes"),
    ],
)
def test_methods_are_checked(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_compression({"method": "svd", "rank": 2, "targets": "all"} | keys)
    assert message in str(caught.value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.floats()
    | st.sampled_from(["all", "svd", "input", "share", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["share", "bytes", "input", "text", "steps", "epochs", "x"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)
SETTINGS = [(name, key) for name in method_names() for key in getattr(method_named(name), "__dataclass_fields__", ())]


@given(st.sampled_from(sorted(Compression.model_fields)), json_values)
def test_anything_in_any_key(key: str, value: Any) -> None:
    """A value of a sweep file or a checkpoint's history is rejected in one line, or accepted and written again."""
    raw: dict[str, Any] = {"method": "svd", "rank": 2, "targets": "input", key: value}
    if key == "budget":
        del raw["rank"]
    _taken_or_refused(raw)


@given(st.sampled_from(SETTINGS), json_values)
def test_anything_in_any_setting(setting: tuple[str, str], value: Any) -> None:
    method, name = setting
    _taken_or_refused({"method": method, "rank": 2, "targets": "input", "settings": {name: value}})


@given(json_values)
def test_anything_at_all(raw: Any) -> None:
    _taken_or_refused(raw)


def _taken_or_refused(raw: Any) -> None:
    try:
        compression = read_compression(raw)
    except InputError as error:
        assert error.problem.startswith(("found ", "missing, ")) and "\n" not in str(error)
    else:
        assert read_compression(json.loads(json.dumps(compression.to_dict()))) == compression
        assert compression_label(compression)
