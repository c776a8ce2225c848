"""The base class of factorization methods, and the registry that finds a method by its name."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar, TypeVar

import numpy as np

from elmo_mf import errors
from elmo_mf.bilm.weights import Array, Factors, Pruned
from elmo_mf.compression._decomposition import singular_values
from elmo_mf.errors import InputError
from elmo_mf.extensions import installed, load
from elmo_mf.provenance import file_hash
from elmo_mf.records.compression import Compression, parse_compression
from elmo_mf.records.identity import SHARED_VERSIONS


@dataclass(frozen=True)
class CalibrationStatistics:
    """Statistics of a matrix (m, n) that data-aware methods use.

    Attributes:
        input_covariance: Second moments E[x x^T] of the matrix's inputs x, (n, n); for methods with `needs_inputs`.
        row_weights: Weight of each of its outputs in the task's loss, (m,); for methods with `needs_gradients`.
        output_covariance: Second moments E[g g^T] of the gradients g of a loss with respect to its outputs, (m, m); for
            methods with `needs_output_covariance`.
    """

    input_covariance: Array | None = None
    row_weights: Array | None = None
    output_covariance: Array | None = None

    def of_rows(self, rows: slice) -> CalibrationStatistics:
        """Return the statistics of some of the matrix's rows."""
        weights, covariance = self.row_weights, self.output_covariance
        return CalibrationStatistics(
            self.input_covariance,
            None if weights is None else weights[rows],
            None if covariance is None else covariance[rows, rows],
        )


NO_STATISTICS = CalibrationStatistics()


class Method(ABC):
    """A factorization method: it turns a matrix (m, n) into factors (m, r) and (r, n) whose product is close to it.

    A subclass in a file of this folder, decorated with `@register("name")`, is a method of that name everywhere, and so
    is one in another file that `elmo_mf.extensions.include` has imported. If it is a dataclass, its fields are the
    method's settings.

    Attributes:
        VERSION: Version of what the method computes; raise it when results change, so that recorded runs with this
            method run again.
        needs_inputs: Whether it needs the input covariance.
        needs_gradients: Whether it needs row weights.
        needs_output_covariance: Whether it needs the output covariance.
        stays_dense: Whether its result runs like a dense matrix, so that it saves parameters only.

    Examples:
        >>> class FirstColumns(Method):
        ...     VERSION = 1
        ...
        ...     def factorize(self, matrix, rank, statistics=NO_STATISTICS):
        ...         return balanced(matrix[:, :rank], np.eye(rank, matrix.shape[1]))
        >>> FirstColumns().factorize(np.ones((4, 3)), rank=2).shape
        (4, 3)
    """

    VERSION: ClassVar[int]
    needs_inputs: ClassVar[bool] = False
    needs_gradients: ClassVar[bool] = False
    needs_output_covariance: ClassVar[bool] = False
    stays_dense: ClassVar[bool] = False

    @property
    def takes_gradients(self) -> bool:
        """Whether it needs a file of gradients, for row weights or the output covariance."""
        return self.needs_gradients or self.needs_output_covariance

    @abstractmethod
    def factorize(
        self, matrix: Array, rank: int, statistics: CalibrationStatistics = NO_STATISTICS
    ) -> Factors | Pruned:
        """Factorize a matrix.

        Args:
            matrix: The dense matrix, (m, n), in float32.
            rank: Rank r of the factors, from 1 to min(m, n).
            statistics: What the method asks for by its attributes `needs_*`.

        Returns:
            Factors (m, r) and (r, n), or a pruned matrix with as many parameters, in float32.
        """

    def prepare(self, matrix: Array, statistics: CalibrationStatistics = NO_STATISTICS) -> Factorizer:
        """Prepare the factorization of one matrix at several ranks.

        Args:
            matrix: The dense matrix, (m, n), in float32.
            statistics: What the method asks for by its attributes `needs_*`.

        Returns:
            The factorization at any rank.
        """
        return Factorizer(self, matrix, statistics)

    def error_reductions(self, matrix: Array, statistics: CalibrationStatistics = NO_STATISTICS) -> Array:
        """Compute by how much each further rank lowers the squared error.

        By default these are the squared singular values of `weighted_matrix`.

        Args:
            matrix: The dense matrix, (m, n), in float32.
            statistics: What the method asks for by its attributes `needs_*`.

        Returns:
            One number for each rank, starting with 1, never rising.
        """
        return singular_values(self.weighted_matrix(matrix, statistics)) ** 2

    def weighted_matrix(self, matrix: Array, statistics: CalibrationStatistics = NO_STATISTICS) -> Array:
        """Compute the matrix whose Frobenius norm is the error that the method minimises.

        By default it is the matrix itself.

        Args:
            matrix: The dense matrix, (m, n).
            statistics: What the method asks for by its attributes `needs_*`.

        Returns:
            (m, n), in float64.
        """
        return matrix.astype(np.float64)


@dataclass(frozen=True)
class Factorizer:
    """The factorization of one matrix by a method, at any rank.

    Attributes:
        method: The method.
        matrix: The dense matrix, (m, n), in float32.
        statistics: What the method asks for by its attributes `needs_*`.
    """

    method: Method
    matrix: Array
    statistics: CalibrationStatistics

    @cached_property
    def error_reductions(self) -> Array:
        """See `Method.error_reductions`."""
        return self.method.error_reductions(self.matrix, self.statistics)

    def factors(self, rank: int) -> Factors | Pruned:
        """Return the factors of a rank, see `Method.factorize`."""
        return self.method.factorize(self.matrix, rank, self.statistics)


def balanced(left: Array, right: Array) -> Factors:
    """Build float32 factors, scaled so that each column of `left` has the norm of its row of `right`.

    Args:
        left: (m, r).
        right: (r, n).
    """
    long, wide = np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=1)
    nonzero = (long > 0) & (wide > 0)
    scale = np.sqrt(np.divide(wide, long, out=np.ones_like(wide), where=nonzero))
    columns, rows = nonzero * scale, (nonzero / scale)[:, None]
    return Factors((left * columns).astype(np.float32), (right * rows).astype(np.float32))


_PACKAGE = "elmo_mf.compression.methods"
_FILES = {"random": "random_subspace"}
"""Methods whose file in this folder has another name than theirs."""
_RESERVED = (
    "compression", "distillation", "finetuning", "gradients", "shuffled", "words", "classifier", *SHARED_VERSIONS,
)  # fmt: skip
"""Names that other parts have among a run's versions."""
M = TypeVar("M", bound=type[Method])


@dataclass(frozen=True)
class _Registered:
    """A registered method.

    Attributes:
        method: Its class.
        file: The file that it is defined in; None if that is unknown, as in a notebook.
        sha256: SHA-256 of the file; None for the methods of this package, whose `VERSION` stands for it.
    """

    method: type[Method]
    file: Path | None
    sha256: str | None


_METHODS: dict[str, _Registered] = {}


def register(name: str) -> Callable[[M], M]:
    """Return a class decorator that registers a method under a name.

    Args:
        name: The name, an identifier. A file in this folder has the same, so that it is found without importing the
            others.

    Raises:
        InputError: The class has no `VERSION`, or another method has the name.
    """

    def add(method: M) -> M:
        if type(getattr(method, "VERSION", None)) is not int:
            raise InputError(method.__name__, "VERSION", errors.absent("an integer, as in every registered method"))
        file = _file_of(method)
        _check_name(name, method, file)
        sha256 = None if file is None or _is_ours(method) else file_hash(file)
        _METHODS[name] = _Registered(method, file, sha256)
        return method

    return add


def _file_of(method: type[Method]) -> Path | None:
    file = getattr(sys.modules.get(method.__module__), "__file__", None)
    return None if file is None else Path(file).resolve()


def _is_ours(method: type[Method]) -> bool:
    return method.__module__.startswith(f"{_PACKAGE}.")


def _check_name(name: str, method: type[Method], file: Path | None) -> None:
    """Reject a name that another method has; a class may take the place of an earlier version of itself."""
    if not (isinstance(name, str) and name.isascii() and name.isidentifier()) or name in _RESERVED:
        expected = f"an identifier other than {', '.join(_RESERVED)}"
        raise InputError(method.__name__, f"found the name {name!r}, expected {expected}")
    if not _is_ours(method) and _FILES.get(name, name) in _files():
        raise InputError(method.__name__, f"found the name {name!r}, which a method of elmo-mf has, expected another")
    known = _METHODS.get(name)
    if known is not None and (known.file, known.method.__qualname__) != (file, method.__qualname__):
        whose = f"{known.method.__qualname__} in {known.file or known.method.__module__}"
        raise InputError(method.__name__, f"found the name {name!r}, which {whose} has, expected another")


def forget_included_methods() -> None:
    """Unregister the methods from outside this package."""
    for name in [name for name, registered in _METHODS.items() if registered.sha256 is not None]:
        del _METHODS[name]


def method_names() -> list[str]:
    """Return the names of all methods, sorted: those of this package, of entry points, and those registered."""
    for file in _files():
        import_module(f"{_PACKAGE}.{file}")
    return sorted({*_METHODS, *installed("elmo_mf.methods")})


def method_hash(name: str) -> str | None:
    """Return the SHA-256 of the file of a method from outside this package, for the identities of runs.

    Args:
        name: Name of the method.

    Returns:
        The hash; None for the methods of this package.

    Raises:
        InputError: No method has this name, or other processes cannot import it.
    """
    registered = _registered(name)
    if registered.method.__module__ == "__main__" or (registered.sha256 is None and not _is_ours(registered.method)):
        raise InputError(
            "compression.method",
            f"found {name}, which is defined in a script or a notebook, expected one in a file that include finds",
        )
    return registered.sha256


@cache
def _files() -> list[str]:
    modules = iter_modules(import_module(_PACKAGE).__path__)
    return [module.name for module in modules if module.name != "base" and not module.name.startswith("_")]


def _registered(name: str) -> _Registered:
    """Return the method of a name, importing only its file.

    Raises:
        InputError: No method has this name.
    """
    if name not in _METHODS:
        file, points = _FILES.get(name, name), installed("elmo_mf.methods")
        if file in _files():
            import_module(f"{_PACKAGE}.{file}")
        elif name in points:
            load(points[name])
    if name not in _METHODS:
        raise InputError("compression.method", f"found {name!r}, {errors.one_of(name, method_names())}")
    return _METHODS[name]


def method_named(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """Build the method registered under a name.

    Args:
        name: Name of the method.
        settings: Its settings by name; those left out have their defaults.

    Returns:
        The method with these settings.

    Raises:
        InputError: No method has this name, or the method has no such setting; the message lists those that exist.

    Examples:
        >>> method_named("random", {"seed": 7})
        RandomSubspace(seed=7)
    """
    kind = _registered(name).method
    known: list[str] = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    for key in settings or {}:
        if key not in known:
            expected = errors.any_of(key, known) if known else "expected none"
            raise InputError("compression.settings", f"found the key {key!r} for {name}, {expected}")
    return kind(**(settings or {}))


def method_of(compression: Compression) -> Method:
    """Build the method of a compression.

    Raises:
        InputError: The method is not registered, has no such setting, or does not save what the budget limits.
    """
    method = method_named(compression.method, compression.settings)
    budget = compression.budget
    if budget is not None and method.stays_dense and budget.kind in ("bytes", "multiply_adds"):
        raise InputError(
            "compression.budget",
            f"found {budget.kind} with {compression.method}, which saves none, expected parameters",
        )
    return method


def read_compression(raw: object, where: str = "compression") -> Compression:
    """Validate a compression that a person wrote: the keys of a config file, and the method that they name.

    Args:
        raw: An object with the keys of `Compression`.
        where: What is read, for the error.

    Returns:
        The compression.

    Raises:
        InputError: A key is unknown or missing, a value is wrong, or the method does not exist or take these settings.
    """
    compression = parse_compression(raw, where)
    method_of(compression)
    return compression


def check_choice(field: str, found: object, expected: tuple[str, ...]) -> None:
    """Check that a setting has one of some values.

    Args:
        field: Name of the setting.
        found: Its value.
        expected: The values that it may have.

    Raises:
        InputError: It has another value.
    """
    if found not in expected:
        raise InputError("compression.settings", field, f"found {found!r}, expected {' or '.join(expected)}")


def positive(field: str, found: object, least: float = 0, whole: bool = False) -> None:
    """Check that a setting is a finite number of at least `least`.

    Args:
        field: Name of the setting.
        found: Its value.
        least: The least value, 0 or more. Defaults to 0.
        whole: Whether it must be an integer. Defaults to False.

    Raises:
        InputError: It is something else.
    """
    kinds = (int,) if whole else (int, float)
    if isinstance(found, bool) or not isinstance(found, kinds) or not max(least, 0) <= found < float("inf"):
        kind = "an integer" if whole else "a number"
        raise InputError("compression.settings", field, f"found {found!r}, expected {kind} of at least {least}")
