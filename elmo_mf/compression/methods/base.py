"""What a factorization method is, and the registry that finds it by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, TypeVar

import numpy as np

from elmo_mf import errors
from elmo_mf.bilm.weights import Array, Factors, Pruned
from elmo_mf.compression.decomposition import singular_values
from elmo_mf.errors import InputError
from elmo_mf.records.compression import Compression, parse_compression


@dataclass(frozen=True)
class Evidence:
    """What is known of a matrix (m, n) beside its values.

    Attributes:
        inputs: second moments E[x x^T] of what it is multiplied with, (n, n).
        row_weights: how much each of its outputs matters, (m,).
    """

    inputs: Array | None = None
    row_weights: Array | None = None


NOTHING = Evidence()


class Method(ABC):
    """Turns a matrix (m, n) into factors (m, r) and (r, n) whose product is close to it.

    A subclass in a file of this folder, decorated with `@register("name")`, is a method of that name everywhere. If it
    is a dataclass, its fields are the method's settings.
    """

    needs_inputs: ClassVar[bool] = False  # second moments of the inputs
    needs_gradients: ClassVar[bool] = False  # row weights
    stays_dense: ClassVar[bool] = False  # what it gives runs like a dense matrix

    @abstractmethod
    def factorize(self, matrix: Array, rank: int, evidence: Evidence = NOTHING) -> Factors | Pruned:
        """Factors of `rank`, which is from 1 to min(m, n), as float32."""

    def at_any_rank(self, matrix: Array, evidence: Evidence = NOTHING) -> AnyRank:
        """`energies` and `factorize` of one matrix whose rank is not known yet."""
        return AnyRank(self, matrix, evidence)

    def energies(self, matrix: Array, evidence: Evidence = NOTHING) -> Array:
        """By how much each further rank lowers the squared error, never rising; for methods without an order of
        their own, the squared singular values."""
        return singular_values(self.weighted(matrix, evidence)) ** 2

    def weighted(self, matrix: Array, evidence: Evidence = NOTHING) -> Array:
        """In float64, the matrix whose Frobenius norm is the error that the method minimises."""
        return matrix.astype(np.float64)


@dataclass(frozen=True)
class AnyRank:
    """What a method makes of a matrix, at whatever rank it is asked for."""

    method: Method
    matrix: Array
    evidence: Evidence

    @cached_property
    def energies(self) -> Array:
        """See `Method.energies`."""
        return self.method.energies(self.matrix, self.evidence)

    def factors(self, rank: int) -> Factors | Pruned:
        """See `Method.factorize`."""
        return self.method.factorize(self.matrix, rank, self.evidence)


def balanced(left: Array, right: Array) -> Factors:
    """Factors as float32, with each column of `left` as long as its row of `right`; both zero where one is."""
    long, wide = np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=1)
    some = (long > 0) & (wide > 0)
    scale = np.sqrt(np.divide(wide, long, out=np.ones_like(wide), where=some))
    return Factors((left * (some * scale)).astype(np.float32), (right * (some / scale)[:, None]).astype(np.float32))


_METHODS: dict[str, type[Method]] = {}
_FILES = {"random": "random_subspace"}
"""Files of this folder with another name than their method's; any other is looked into when no name fits."""
M = TypeVar("M", bound=type[Method])


def register(name: str) -> Callable[[M], M]:
    """Class decorator: make a method known by `name`."""

    def add(method: M) -> M:
        _METHODS[name] = method
        return method

    return add


def method_names() -> list[str]:
    """All registered methods, sorted."""
    for file in _files():
        import_module(f"elmo_mf.compression.methods.{file}")
    return sorted(_METHODS)


@cache
def _files() -> list[str]:
    return [module.name for module in iter_modules(import_module("elmo_mf.compression.methods").__path__)]


def _known(name: str) -> bool:
    """Whether there is such a method; a method is registered when its file is imported, and most need no others."""
    file = _FILES.get(name, name)
    if name not in _METHODS and file in _files():
        import_module(f"elmo_mf.compression.methods.{file}")
    return name in _METHODS or name in method_names()


def method_named(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """The method registered as `name`.

    Raises:
        InputError: there is none, or it has not these settings; lists what there is.
    """
    if not isinstance(name, str) or not _known(name):
        raise InputError(f"compression.method: found {name!r}, {errors.one_of(name, method_names())}")
    kind = _METHODS[name]
    known: list[str] = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    for key in settings or {}:
        if key not in known:
            expected = f"any of {', '.join(known)}" if known else "none"
            raise InputError(f"compression.settings: found the key {key!r} for {name}, expected {expected}")
    return kind(**(settings or {}))


def method_of(compression: Compression) -> Method:
    """The method of a compression, with its settings.

    Raises:
        InputError: The method is not registered, has not these settings, or does not save what the budget limits.
    """
    method = method_named(compression.method, compression.settings)
    budget = compression.budget
    if budget is not None and method.stays_dense and budget.kind in ("bytes", "multiply_adds"):
        raise InputError(
            f"compression.budget: found {budget.kind} with {compression.method}, which saves none; expected parameters"
        )
    return method


def read_compression(raw: object, where: str = "compression") -> Compression:
    """Validate a compression that a person wrote: the keys of a config file, and the method that they name.

    Args:
        raw: An object with the keys of `Compression`.
        where: What is read, for the error.

    Raises:
        InputError: A key is unknown or missing, a value is wrong, or the method does not exist or take these settings.
    """
    compression = parse_compression(raw, where)
    method_of(compression)
    return compression


def one_of(field: str, found: object, expected: tuple[str, ...]) -> None:
    """Check a setting.

    Raises:
        InputError: it is something else.
    """
    if found not in expected:
        raise InputError(f"compression.settings: {field}: found {found!r}, expected {' or '.join(expected)}")


def positive(field: str, found: object, least: float = 0, whole: bool = False) -> None:
    """Check a setting: a number above 0, and from `least` on.

    Raises:
        InputError: it is something else.
    """
    kinds = (int,) if whole else (int, float)
    if isinstance(found, bool) or not isinstance(found, kinds) or not max(least, 0) <= found < float("inf"):
        what = "an integer" if whole else "a number"
        raise InputError(f"compression.settings: {field}: found {found!r}, expected {what} from {least} on")
