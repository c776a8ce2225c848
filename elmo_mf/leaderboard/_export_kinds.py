"""The kinds of exports, which the command line checks without loading what writes them."""

from __future__ import annotations

from collections.abc import Sequence

from elmo_mf.errors import InputError, any_of

KINDS = ("csv", "parquet", "tex", "json")


def check_kinds(kinds: Sequence[str]) -> None:
    """Check the kinds of exports before the work.

    Raises:
        InputError: A kind is unknown.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError("export", f"found {kind!r}, {any_of(kind, KINDS)}")
