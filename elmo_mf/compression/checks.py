"""Checks of what a `Compression` is asked for; each raises an InputError that names the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from elmo_mf.errors import InputError, any_of

HIGHWAY_METHOD = "whitened_svd"
"""Which highway layers are factorized by."""
_BUDGETS = ("share", "parameters", "bytes", "multiply_adds")


def check_above_zero(name: str, value: object) -> None:
    """A finite number above 0."""
    if not _is_number(value) or not 0 < value < float("inf"):  # type: ignore[operator]
        raise InputError(f"{name}: found {value!r}, expected a number above 0")


def check_rank(name: str, rank: object) -> None:
    """An integer from 1 on."""
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise InputError(f"{name}: found {rank!r}, expected an integer from 1 on")


def check_budget(budget: object, stays_dense: str | None) -> None:
    """One kind with its amount; `stays_dense` names a method that saves nothing but parameters."""
    if not isinstance(budget, Mapping) or len(budget) != 1 or next(iter(budget)) not in _BUDGETS:
        raise InputError(f"compression.budget: found {budget!r}, expected one of {', '.join(_BUDGETS)} with its amount")
    ((kind, amount),) = budget.items()
    number = _is_number(amount) and 0 < amount < float("inf")
    if kind == "share" and not (number and amount < 1):
        raise InputError(f"compression.budget.share: found {amount!r}, expected a number between 0 and 1")
    if kind != "share" and not (number and int(amount) == amount):
        raise InputError(f"compression.budget.{kind}: found {amount!r}, expected an integer from 1 on")
    if stays_dense and kind in ("bytes", "multiply_adds"):
        raise InputError(f"compression.budget: found {kind} with {stays_dense}, which saves none; expected parameters")


def check_names(field: str, found: list[str], known: Sequence[str]) -> None:
    """One or more of the known names."""
    if not found:
        raise InputError(f"compression.{field}: found none, expected any of {', '.join(known)}")
    for name in found:
        if name not in known:
            raise InputError(f"compression.{field}: found {name!r}, {any_of(name, known)}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
