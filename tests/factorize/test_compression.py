"""Which matrices are factored, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf import Compression
from elmo_mf.bilm import Factors
from elmo_mf.errors import InputError
from elmo_mf.factorize import break_even_rank, method_names
from tests.conftest import random_bilm

WEIGHTS = random_bilm().weights()  # input and recurrent 48 x 6 (break-even 5.3), projection 6 x 12 (4)


def _factored(compression: Compression) -> set[tuple[int, int, str]]:
    weights = compression.apply(WEIGHTS)
    return {
        (*key, t) for key, lstm in weights.lstms.items() for t, m in lstm.matrices.items() if isinstance(m, Factors)
    }


def test_chosen_matrices() -> None:
    assert _factored(Compression("svd", 2, "input", layers=[1])) == {(0, 1, "input"), (1, 1, "input")}
    forward = Compression("svd", 2, ["projection", "recurrent"], directions=["forward"])
    assert _factored(forward) == {(0, k, t) for k in (0, 1) for t in ("recurrent", "projection")}
    assert len(_factored(Compression("svd", 2, "all"))) == 12


def test_the_given_weights_stay_dense() -> None:
    Compression("svd", 2, "all").apply(WEIGHTS)
    assert not any(isinstance(m, Factors) for lstm in WEIGHTS.lstms.values() for m in lstm.matrices.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("svd", 0, "input"), "compression.rank: found 0, expected an integer from 1 on"),
        (("svd", -3, "input"), "compression.rank: found -3"),
        (("svd", True, "input"), "compression.rank: found True"),
        (("svd", 2.0, "input"), "compression.rank: found 2.0"),
        (("qr", 2, "input"), "compression.method: found 'qr', expected one of " + ", ".join(method_names())),
        (("svd", 2, "gates"), "compression.targets: found 'gates', expected any of input, recurrent, projection"),
        (("svd", 2, "input+"), "compression.targets: found ''"),
        (("svd", 2, []), "compression.targets: found none"),
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
    ],
)
def test_refused_for_these_weights(compression: Compression, message: str) -> None:
    with pytest.raises(InputError) as caught:
        compression.apply(WEIGHTS)
    assert message in str(caught.value)


def test_no_smaller_if_asked_for() -> None:
    assert len(_factored(Compression("svd", 6, "input", allow_larger=True))) == 4


def test_twice() -> None:
    once = Compression("svd", 2, "input").apply(WEIGHTS)
    Compression("svd", 3, "recurrent").apply(once)
    with pytest.raises(InputError, match="factored at rank 2, expected a dense matrix"):
        Compression("svd", 3, "input").apply(once)


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


@pytest.mark.parametrize(
    ("compression", "name"),
    [
        (Compression("svd", 2, "all"), "svd all rank 2"),
        (Compression("svd", 2, ["recurrent", "input"]), "svd input+recurrent rank 2"),
        (Compression("svd", 2, "input", [1, 0], "forward"), "svd input layers 0+1 forward rank 2"),
    ],
)
def test_names_tell_compressions_apart(compression: Compression, name: str) -> None:
    assert str(compression) == name
