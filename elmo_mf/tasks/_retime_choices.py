"""Choices of recorded runs to time again, checked before anything is imported for it."""

from __future__ import annotations

from elmo_mf.errors import InputError, one_of

_CHOICES = ("stale", "all")


def check_retime(choice: str) -> None:
    """Check the choice of the recorded runs that are timed again.

    Raises:
        InputError: It is unknown.
    """
    if choice not in _CHOICES:
        raise InputError("retime", f"found {choice!r}, {one_of(choice, _CHOICES)}")
