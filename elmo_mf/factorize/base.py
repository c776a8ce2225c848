"""What a factorization method is, and the registry that finds it by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.errors import InputError


class Method(ABC):
    """Turns a matrix (m, n) into factors (m, r) and (r, n) whose product is close to it.

    A subclass in a file of this folder, decorated with `@register("name")`, is a method of that name everywhere.
    """

    @abstractmethod
    def factorize(self, matrix: Array, rank: int) -> Factors:
        """Factors of `rank`, which is from 1 to min(m, n), as float32."""


_METHODS: dict[str, type[Method]] = {}
M = TypeVar("M", bound=type[Method])


def register(name: str) -> Callable[[M], M]:
    """Class decorator: make a method known by `name`."""

    def add(method: M) -> M:
        _METHODS[name] = method
        return method

    return add


def method_names() -> list[str]:
    """All registered methods, sorted."""
    return sorted(_METHODS)


def method_named(name: str) -> Method:
    """The method registered as `name`.

    # Raises
    InputError: there is none; lists what there is.
    """
    if name not in _METHODS:
        raise InputError(f"compression.method: found {name!r}, expected one of {', '.join(method_names())}")
    return _METHODS[name]()
