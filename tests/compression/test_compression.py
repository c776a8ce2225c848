"""Which matrices are factored, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf import Compression
from elmo_mf.bilm import Factors, Pruned
from elmo_mf.bilm.weights import to_dense
from elmo_mf.compression import Distillation, FineTuning, break_even_rank, method_named, method_names, size_report
from elmo_mf.errors import InputError
from tests.conftest import random_bilm

OPTIONS, WEIGHTS = (
    random_bilm().options,
    random_bilm().weights(),
)  # input and recurrent 48 x 6 (break-even 5.3), projection 6 x 12 (4)


def _factored(compression: Compression) -> set[tuple[int, int, str]]:
    weights = compression.apply(WEIGHTS, OPTIONS)
    return {
        (*key, t) for key, lstm in weights.lstms.items() for t, m in lstm.matrices.items() if isinstance(m, Factors)
    }


def test_chosen_matrices() -> None:
    assert _factored(Compression("svd", 2, "input", layers=[1])) == {(0, 1, "input"), (1, 1, "input")}
    forward = Compression("svd", 2, ["projection", "recurrent"], directions=["forward"])
    assert _factored(forward) == {(0, k, t) for k in (0, 1) for t in ("recurrent", "projection")}
    assert len(_factored(Compression("svd", 2, "all"))) == 12


def test_the_given_weights_stay_dense() -> None:
    Compression("svd", 2, "all").apply(WEIGHTS, OPTIONS)
    assert not any(isinstance(m, Factors) for lstm in WEIGHTS.lstms.values() for m in lstm.matrices.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("svd", 0, "input"), "compression.rank: found 0, expected an integer from 1 on"),
        (("svd", -3, "input"), "compression.rank: found -3"),
        (("svd", True, "input"), "compression.rank: found True"),
        (("svd", 2.0, "input"), "compression.rank: found 2.0"),
        (("qr", 2, "input"), "compression.method: found 'qr', expected one of " + ", ".join(method_names())),
        (
            ("svd", 2, "gates"),
            "compression.targets: found 'gates', expected any of input, recurrent, projection, joint",
        ),
        (("svd", 2, "input+"), "compression.targets: found ''"),
        (("svd", 2, []), "compression.targets: found none"),
        (("svd", 2, "joint+input"), "targets: found joint+input, expected joint, or input and recurrent"),
        (("svd", {"input": 2}, "all"), "rank: found ranks of input, expected those of input+recurrent+projection"),
        (("svd", {"input": 0}, "input"), "compression.rank.input: found 0"),
        (("svd", None, "input"), "compression.rank: found None"),
        (("svd", 2, "all", "all", "all", False, "row"), "granularity: found 'row', expected stacked or gate"),
        (("svd", 2, "all", "all", "all", False, "gate", {"share": 0.1}), "rank: found 2 beside a budget"),
        (("svd", 2, "input", "first"), "compression.layers: found 'first'"),
        (("svd", 2, "input", [-1]), "compression.layers: found"),
        (
            ("svd", 2, "input", "all", "sideways"),
            "compression.directions: found 'sideways', expected any of forward, backward",
        ),
    ],
)
def test_refused_at_once(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Compression(*arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("compression", "message"),
    [
        (Compression("svd", 7, "input"), "found 7, expected at most 6, the rank of forward layer 0 input (48 x 6)"),
        (
            Compression("svd", 4, "all"),
            "found 4, expected less than 4.0, the break-even rank of forward layer 0 projection",
        ),
        (Compression("svd", 2, "input", layers=[2]), "compression.layers: found 2, expected 0 to 1"),
        (Compression("svd", 5, "input", granularity="gate"), "expected less than 4.0, the break-even rank of forward"),
        (Compression("svd", 13, "joint"), "found 13, expected at most 12, the rank of forward layer 0 joint (48 x 12)"),
        (Compression("fisher_svd", 2, "input"), "gradients: found nothing, expected for fisher_svd a file"),
        (Compression("fisher_svd", 2, "input", gradients="gone"), "gone: no such file of gradients"),
        (Compression("whitened_svd", 2, "input", calibration="gone"), "gone: no such text file"),
        (Compression("svd", 2, "input", distill=Distillation("gone")), "gone: no such text file"),
    ],
)
def test_refused_for_these_weights(compression: Compression, message: str) -> None:
    with pytest.raises(InputError) as caught:
        compression.apply(WEIGHTS, OPTIONS)
    assert message in str(caught.value)


def test_no_smaller_if_asked_for() -> None:
    assert len(_factored(Compression("svd", 6, "input", allow_larger=True))) == 4


def test_twice() -> None:
    once = Compression("svd", 2, "input").apply(WEIGHTS, OPTIONS)
    Compression("svd", 3, "recurrent").apply(once, OPTIONS)
    with pytest.raises(InputError, match="factored at rank 2, expected a dense matrix"):
        Compression("svd", 3, "input").apply(once, OPTIONS)


def test_a_rank_for_each_target() -> None:
    weights = Compression("svd", {"input": 2, "projection": 3}, ["projection", "input"]).apply(WEIGHTS, OPTIONS)
    ranks = {(row.target, row.rank) for row in size_report(weights, OPTIONS).matrices}
    assert ranks == {("input", 2), ("recurrent", None), ("projection", 3)}


def test_joint_factors() -> None:
    """[W_x W_h] as one matrix: the shared left factor counts once."""
    weights = Compression("svd", 3, "joint").apply(WEIGHTS, OPTIONS)
    for key, lstm in weights.lstms.items():
        dense = WEIGHTS.lstms[key].matrices
        assert set(lstm.matrices) == {"joint", "projection"} and lstm.matrices["joint"].size == 3 * (48 + 12)
        both = np.concatenate([to_dense(dense["input"]), to_dense(dense["recurrent"])], axis=1)
        u, s, vt = np.linalg.svd(both.astype(np.float64), full_matrices=False)
        np.testing.assert_allclose(to_dense(lstm.matrices["joint"]), (u[:, :3] * s[:3]) @ vt[:3], atol=1e-5)


def test_factors_of_each_gate() -> None:
    """Each gate's rows are what they would be by themselves."""
    weights = Compression("svd", 2, "input", granularity="gate").apply(WEIGHTS, OPTIONS)
    for key, lstm in weights.lstms.items():
        matrix, dense = lstm.matrices["input"], to_dense(WEIGHTS.lstms[key].matrices["input"])
        assert isinstance(matrix, Factors) and (matrix.rank, matrix.blocks, matrix.size) == (2, 4, 2 * (48 + 4 * 6))
        for own, gate in zip(np.split(to_dense(matrix), 4), np.split(dense, 4), strict=True):
            u, s, vt = np.linalg.svd(gate.astype(np.float64), full_matrices=False)
            np.testing.assert_allclose(own, (u[:, :2] * s[:2]) @ vt[:2], atol=1e-5)


def test_pruning_jointly() -> None:
    """The largest of both matrices, which have no factor to share."""
    weights = Compression("prune", 3, "joint").apply(WEIGHTS, OPTIONS)
    for key, lstm in weights.lstms.items():
        own = [lstm.matrices[target] for target in ("input", "recurrent")]
        assert all(isinstance(matrix, Pruned) for matrix in own) and sum(m.size for m in own) == 3 * (48 + 12)
        least = min(np.abs(to_dense(m)[to_dense(m) != 0]).min() for m in own)
        for target, matrix in zip(("input", "recurrent"), own, strict=True):
            gone = to_dense(WEIGHTS.lstms[key].matrices[target])[to_dense(matrix) == 0]  # type: ignore[index]
            assert np.abs(gone).max() <= least


@given(st.integers(1, 500), st.integers(1, 500))
def test_break_even(m: int, n: int) -> None:
    assert break_even_rank(m, n) * (m + n) == pytest.approx(m * n)


def test_json_form() -> None:
    compression = Compression("svd", 2, "recurrent+input", layers=[1, 0], directions="forward")
    assert Compression.from_dict(compression.to_dict()) == compression
    with pytest.raises(InputError, match=r"found the key 'ranks', expected any of .*rank"):
        Compression.from_dict({"method": "svd", "ranks": 2, "targets": "input"})
    with pytest.raises(InputError, match=r"compression.targets: found nothing"):
        Compression.from_dict({"method": "svd", "rank": 2})
    with pytest.raises(InputError, match=r"compression.rank: found nothing"):
        Compression.from_dict({"method": "svd", "targets": "all"})


def test_json_form_of_everything(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a b\n")
    text = str(tmp_path / "t.txt")
    compression = Compression(
        "whitened_svd", None, "joint+projection", granularity="gate", budget={"share": 0.3}, settings={"ridge": 0.1},
        calibration=text, distill=Distillation(text, 3), highway_rank=9,
    )  # fmt: skip
    raw = json.loads(json.dumps(compression.to_dict()))
    assert Compression.from_dict(raw) == compression
    assert text not in json.dumps(compression.identity()) and Compression.from_dict(compression.identity())
    before = compression.identity()
    (tmp_path / "t.txt").write_text("a c\n")
    assert compression.identity() != before


@pytest.mark.parametrize("keys", [{}, {"allocation": "matrices"}, {"highway_rank": "budget"}])
def test_json_form_of_a_budget(keys: dict[str, Any]) -> None:
    """It always says how it is spent."""
    raw = {"method": "svd", "targets": "all", "budget": {"share": 0.3}} | keys
    compression = Compression.from_dict(raw)
    assert Compression.from_dict(compression.to_dict()) == compression
    assert compression.to_dict()["allocation"] == keys.get("allocation", "outputs")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"settings": "ridge"}, "compression.settings: found 'ridge', expected names with their values"),
        ({"calibration": 5}, "compression.calibration: found 5, expected the path of a file"),
        ({"gradients": ["g"]}, "compression.gradients: found ['g'], expected the path of a file"),
    ],
)
def test_keys_of_the_wrong_kind(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Compression.from_dict({"method": "svd", "rank": 2, "targets": "all", **keys})
    assert message in str(caught.value)


def test_old_records_keep_their_form() -> None:
    """A cell's identity is a hash of this."""
    assert Compression("svd", 2, "all").to_dict() == {
        "method": "svd", "rank": 2, "targets": ["input", "recurrent", "projection"], "layers": "all",
        "directions": "all", "allow_larger": False,
    }  # fmt: skip


def test_of_lstms_alone() -> None:
    assert Compression("svd", 2, "all", layers=[0]).of_lstms_alone
    for more in ({"highway_rank": 2}, {"distill": Distillation("t")}, {"finetune": FineTuning(1, 0.1)}):
        assert not Compression("svd", 2, "all", **more).of_lstms_alone


@pytest.mark.parametrize(
    ("compression", "name"),
    [
        (Compression("svd", 2, "all"), "svd all rank 2"),
        (Compression("svd", 2, ["recurrent", "input"]), "svd input+recurrent rank 2"),
        (Compression("svd", 2, "input", [1, 0], "forward"), "svd input layers 0+1 forward rank 2"),
        (Compression("svd", {"input": 2, "recurrent": 3}, "input+recurrent"), "svd input+recurrent rank 2+3"),
        (Compression("svd", 2, "joint", granularity="gate"), "svd joint by gate rank 2"),
        (Compression("nmf", None, "all", budget={"share": 0.1}), "nmf all budget 10%"),
        (Compression("nmf", None, "all", budget={"bytes": 99}), "nmf all budget 99 bytes"),
        (
            Compression("nmf", None, "all", budget={"bytes": 99}, allocation="matrices"),
            "nmf all budget 99 bytes by matrices",
        ),
        (
            Compression("nmf", None, "all", budget={"bytes": 9}, highway_rank="budget"),
            "nmf all budget 9 bytes with highways",
        ),
        (Compression("nmf", 2, "all", settings={"form": "shift"}), "nmf(form=shift) all rank 2"),
        (Compression("svd", 2, "all", distill=Distillation("t.txt", 9)), "svd all rank 2 distilled 9"),
        (Compression("svd", 2, "all", highway_rank=9), "svd all rank 2 highways 9"),
    ],
)
def test_names_tell_compressions_apart(compression: Compression, name: str) -> None:
    assert str(compression) == name


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


@given(st.sampled_from([field.name for field in fields(Compression)]), json_values)
def test_anything_in_any_key(key: str, value: Any) -> None:
    """What a file says, of a sweep or of a checkpoint's history, is refused in one line, or taken and told again."""
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
        made = Compression.from_dict(raw)
    except InputError as error:
        assert "found" in str(error) and "\n" not in str(error)
    else:
        assert Compression.from_dict(json.loads(json.dumps(made.to_dict()))) == made
        assert str(made)
