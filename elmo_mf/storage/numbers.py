"""HDF5 files of numbers, written with a checksum for each dataset and read with bounds, since they may be untrusted."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elmo_mf.errors import InputError, instead_of, one_line, shown
from elmo_mf.io.reading import content_kind, open_regular
from elmo_mf.storage._global_heap import has_endless_heap

if TYPE_CHECKING:
    import h5py

CHECKSUM = "sha256"
"""Attribute of a dataset: the SHA-256, in hex, of its stored numbers in row-major order, little-endian."""
FLOATS = ("float16", "float32", "float64")
SCALE = "_scale"
"""End of the name of the scales of a dataset of int8: one for each entry of its last axis, float32; or, of a matrix,
one for each column of `GROUP` rows, float16."""
GROUP = 32
"""Rows of a matrix of which each column has a scale of its own in four bits."""
MOST_NUMBERS = 1 << 28
"""Largest number of elements of a dataset that is read, unless the file is so large that it may really have more."""
_LEAST_BYTES = 1  # of an element that is not compressed: int8
_MOST_FOR_NOTHING = 1 << 27  # elements of all datasets of a file, whatever its size
_MOST_A_BYTE = 16  # elements per byte of the file; compressed zeros reach this
_MOST_IN_A_CHUNK = 1 << 20  # elements of a chunk larger than its dataset: HDF5 reads whole chunks
_MOST_INT8 = 127
_MOST_INT4 = 7
_BITS = 4
_CLIPS = tuple(1 - step / 20 for step in range(9))  # of a group's largest magnitude; 0.6 is rarely the best
_MOST_TEXT = 1 << 16  # bytes of an attribute


def as_stored(values: np.ndarray, dtype: str, where: str) -> np.ndarray:
    """Convert numbers to the type that they are stored in.

    Args:
        values: The numbers.
        dtype: Name of the type.
        where: Beginning of the message.

    Raises:
        InputError: A number is NaN, infinite, or too large for the type.
    """
    with np.errstate(over="ignore"):
        stored = values.astype(dtype)
    if not np.isfinite(stored).all():
        found = f"values beyond {dtype}'s range"
        if not np.isfinite(values).all():
            found = f"{int(np.isnan(values).sum())} values that are NaN, {int(np.isinf(values).sum())} infinite"
        raise InputError(where, f"found {found}, expected finite numbers")
    return stored


def write_rounded(
    file: h5py.File,
    name: str,
    values: np.ndarray,
    compression: str | None = None,
    scales: np.ndarray | None = None,
) -> None:
    """Add numbers to a new file as int8, with the scales that turn them back into numbers.

    The largest magnitude in each entry of the last axis becomes 127, so that rounding adds at most 1/254 of it.

    Args:
        file: The file.
        name: Name of the dataset; the scales are in another, whose name ends in `SCALE`.
        values: Finite numbers in float32.
        compression: HDF5's compression; None for none.
        scales: Scales to keep if all numbers are products of them and whole numbers; others are computed.
    """
    if scales is None or not _are_products(values, scales, values.shape[-1:]):
        largest = np.abs(values).max(axis=tuple(range(values.ndim - 1)), initial=0)
        scales = (largest / _MOST_INT8).astype(np.float32)
    write_numbers(file, name, whole_numbers(values, scales), compression)
    write_numbers(file, f"{name}{SCALE}", scales)


def write_in_four_bits(file: h5py.File, name: str, values: np.ndarray, scales: np.ndarray | None = None) -> None:
    """Add a matrix to a new file as int8 from -7 to 7, of which HDF5 packs two in a byte, with scales for each group.

    A group is a column of `GROUP` rows. Its scale is the one, among several, with the least squared error; numbers
    beyond 7 scales are clipped.

    Args:
        file: The file.
        name: Name of the dataset; the scales are in another, whose name ends in `SCALE`.
        values: Finite numbers in float32, (m, n), not empty.
        scales: Scales to keep if all numbers are products of them and whole numbers; others are computed.
    """
    if scales is None or not _are_products(values, scales, (-(-len(values) // GROUP), values.shape[1])):
        scales = _group_scales(values)
    whole = whole_numbers(values, scales)
    dataset = file.create_dataset(name, data=whole, chunks=whole.shape, scaleoffset=_BITS)
    dataset.attrs[CHECKSUM] = np.bytes_(checksum_of(whole))
    write_numbers(file, f"{name}{SCALE}", as_stored(scales, "float16", f"{name}{SCALE}"))


def _group_scales(values: np.ndarray) -> np.ndarray:
    starts = np.arange(0, len(values), GROUP)
    largest = np.maximum.reduceat(np.abs(values), starts) / _MOST_INT4
    best, least = largest, np.full(largest.shape, np.inf)
    for clip in _CLIPS:
        scales = as_stored(clip * largest, "float16", "scales").astype(np.float32)
        errors = np.add.reduceat((scaled(whole_numbers(values, scales), scales) - values) ** 2, starts)
        best, least = np.where(errors < least, scales, best), np.minimum(errors, least)
    return best


def _are_products(values: np.ndarray, scales: np.ndarray, shape: tuple[int, ...]) -> bool:
    return scales.shape == shape and np.array_equal(scaled(whole_numbers(values, scales), scales), values)


def whole_numbers(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return the int8 numbers whose products with the scales are closest to the values.

    Args:
        values: Numbers in float32.
        scales: Scale of each entry of the last axis, or of each group, see `GROUP`, float32.
    """
    spread, most = _of_rows(scales, len(values)), _MOST_INT8 if scales.ndim == 1 else _MOST_INT4
    rounded = np.divide(values, spread, out=np.zeros_like(values, np.float32), where=spread > 0)
    whole: np.ndarray = np.clip(np.rint(rounded), -most, most).astype(np.int8)
    return whole


def scaled(whole: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return the products of whole numbers with their scales, in float32.

    Args:
        whole: The numbers.
        scales: See `whole_numbers`.
    """
    return np.asarray(whole * _of_rows(scales, len(whole)), dtype=np.float32)


def _of_rows(scales: np.ndarray, rows: int) -> np.ndarray:
    """Return scales of groups for each row."""
    return scales if scales.ndim == 1 else np.repeat(scales, GROUP, axis=0)[:rows]


def write_numbers(file: h5py.File, name: str, values: np.ndarray, compression: str | None = None) -> None:
    """Add a dataset with its checksum to a new file.

    Args:
        file: The file.
        name: Name of the dataset.
        values: Its numbers.
        compression: HDF5's compression; None for none.
    """
    dataset = file.create_dataset(name, data=values, compression=compression)
    dataset.attrs[CHECKSUM] = np.bytes_(checksum_of(values))


def write_blocks(file: h5py.File, name: str, shape: tuple[int, int], blocks: Iterable[np.ndarray]) -> None:
    """Add a dataset of float32 with its checksum to a new file, some rows at a time.

    Args:
        file: The file.
        name: Name of the dataset.
        shape: Its shape.
        blocks: Its rows in order, float32.
    """
    dataset, digest, start = file.create_dataset(name, shape, np.float32), hashlib.sha256(), 0
    for block in blocks:
        dataset[start : start + len(block)] = block
        digest.update(_bytes(block))
        start += len(block)
    dataset.attrs[CHECKSUM] = np.bytes_(digest.hexdigest())


def checksum_of(values: np.ndarray) -> str:
    """Return the SHA-256 of the values, in little-endian order."""
    return hashlib.sha256(_bytes(values)).hexdigest()


def _bytes(values: np.ndarray) -> memoryview | bytes:
    little = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
    return little.data if little.size else b""


class NumbersFile(contextlib.ExitStack):
    """Read datasets of floats, or of int8 with scales, from an HDF5 file; a context manager.

    Each error names the file, the dataset, what was found and what was expected. Data that HDF5 stores in other files
    is not read. A dataset without stored data has its fill value everywhere, as in every HDF5 reader.

    Args:
        path: The file.
        kind: Kind of file for the message, such as `weight file`.
        expected: Expected content for the message.

    Raises:
        InputError: The file is missing, not a regular file, truncated or not HDF5.
    """

    def __init__(self, path: Path, kind: str, expected: str) -> None:
        super().__init__()
        import h5py

        self.path = path
        with open_regular(path, kind, expected) as file:
            size = os.fstat(file.fileno()).st_size
        self._most = max(_MOST_FOR_NOTHING, _MOST_A_BYTE * size)
        self._most_of_one = max(MOST_NUMBERS, size // _LEAST_BYTES)
        # a look into the file takes up to 0.1 ms, and it does not change while it is open
        self._exists: dict[str, bool] = {}
        self._is_within: dict[str, bool] = {"": True}
        self._datasets: dict[str, Any] = {}
        try:
            self._file = self.enter_context(h5py.File(path, "r"))
        except Exception as error:
            if content_kind(path) == "JSON":
                raise InputError(path, f"found JSON, expected {expected}") from None
            raise InputError(
                path, f"found a file that is truncated or not HDF5 ({one_line(error)}), expected {expected}"
            ) from None

    def fail(self, name: str, found: str | None, expected: str) -> None:
        """Reject the file because of a dataset.

        Args:
            name: Name of the dataset.
            found: What was found, for the message; None for nothing.
            expected: What was expected, for the message.

        Raises:
            InputError: Always.
        """
        raise InputError(self.path, name, instead_of(expected, found))

    @contextlib.contextmanager
    def _broken(self, name: str, found: str, expected: str) -> Iterator[None]:
        """Convert exceptions of h5py, which can be of any type for a damaged file."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            self.fail(name, f"{found} ({one_line(error, 100)})", expected)

    def has(self, name: str) -> bool:
        """Return whether the file has an object of this name."""
        if name not in self._exists:
            with self._broken(name, "an unreadable group", "a dataset"):
                self._exists[name] = self._has_link(name)
        return self._exists[name]

    def _has_link(self, name: str) -> bool:
        """Return what `name in file` does, in a twentieth of its time where the parts of the name are groups."""
        try:
            return bool(self._file.id.links.exists(name.encode()))
        except RuntimeError:
            return name in self._file

    def check_size(self, names: Iterable[str]) -> None:
        """Check before reading that the existing ones of some datasets fit in memory.

        Raises:
            InputError: They have too many elements for a file of this size.
        """
        expected = f"at most {self._most:,} numbers in a file of this size"
        total = sum(self._dataset(name, expected).size or 0 for name in names if self.has(name))
        if total > self._most:
            raise InputError(self.path, f"found datasets with {total:,} numbers in total, expected {expected}")

    def read(self, name: str, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
        """Read a dataset.

        Args:
            name: Its name.
            shape: Its expected shape; -1 allows any length.
            dtype: Type of the returned array.

        Raises:
            InputError: The dataset is missing, has another shape or type; or its numbers cannot be read, are not
                finite, or do not match the checksum.
        """
        dataset = self._dataset(name, f"a dataset of shape {show_shape(shape)}")
        actual = dataset.shape
        if (
            actual is None
            or len(actual) != len(shape)
            or any(want not in (-1, got) for got, want in zip(actual, shape, strict=True))
        ):
            self.fail(name, f"shape {actual}", f"{show_shape(shape)} as in the options")
        with self._broken(name, "unreadable data", f"shape {show_shape(shape)}"):
            stored = np.asarray(dataset[()])
        array = self._finite(name, stored, dtype)
        checksum = self._text(dataset, f"{name}: {CHECKSUM}", CHECKSUM)
        if checksum not in (None, checksum_of(stored)):
            self.fail(name, "numbers that do not match their checksum", "an unchanged file")
        return scaled(array, self.scales(name)) if stored.dtype == np.int8 else array

    def dtype(self, name: str) -> str:
        """Return the name of the type in which a dataset is stored.

        Raises:
            InputError: The dataset is missing or has no such type.
        """
        return str(self._dataset(name, "a dataset").dtype.name)

    def scales(self, name: str) -> np.ndarray:
        """Read the scales of a dataset of int8.

        Raises:
            InputError: They are missing, of another shape or type, or negative; see `read`.
        """
        shape, scale = self._dataset(name, "a dataset").shape, f"{name}{SCALE}"
        if not shape:
            self.fail(name, "shape () of int8", "an axis whose entries have scales")
        if self.has(scale) and self.dtype(scale) == "int8":
            self.fail(scale, "dtype int8", f"{', '.join(FLOATS[:-1])} or {FLOATS[-1]}")
        by_group = len(shape) == 2 and self.has(scale) and self._dataset(scale, "scales").ndim == 2
        scales = self.read(scale, (-(-shape[0] // GROUP), shape[1]) if by_group else shape[-1:])
        if (scales < 0).any():
            self.fail(scale, "a negative scale", "0 or more")
        return scales

    def _finite(self, name: str, stored: np.ndarray, dtype: str) -> np.ndarray:
        with np.errstate(over="ignore"):
            array = stored.astype(dtype, copy=False)
        bad = int(array.size - np.isfinite(array).sum())
        if bad and np.isfinite(stored).all():
            self.fail(name, f"{bad} values beyond {dtype}'s range", "smaller numbers")
        if bad:
            self.fail(name, f"{bad} values that are NaN or infinite", "finite numbers")
        return array

    def _dataset(self, name: str, expected: str) -> Any:
        if name not in self._datasets:
            self._datasets[name] = self._checked_dataset(name, expected)
        return self._datasets[name]

    def _checked_dataset(self, name: str, expected: str) -> Any:
        import h5py

        if not self.has(name):
            self.fail(name, None, expected)
        with self._broken(name, "an unreadable object", expected):
            dataset: Any = self._file[name] if self._links_within(name) else None
            if isinstance(dataset, h5py.Group):
                self.fail(name, "a group", expected)
            if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
                self.fail(name, "a dataset without data of its own", expected)
            if dataset.dtype.name not in (*FLOATS, "int8"):
                self.fail(name, f"dtype {dataset.dtype}", f"{', '.join(FLOATS)}, or int8 with scales")
            if (dataset.size or 0) > self._most_of_one:
                self.fail(name, f"shape {dataset.shape}", f"at most {self._most_of_one} numbers")
            if math.prod(dataset.chunks or ()) > max(dataset.size or 0, _MOST_IN_A_CHUNK):
                self.fail(name, f"chunks of shape {dataset.chunks}", f"at most {_MOST_IN_A_CHUNK} numbers")
        return dataset

    def _links_within(self, name: str) -> bool:
        """Return whether no part of a name is a link to another file."""
        import h5py

        if name not in self._is_within:
            is_within = self._links_within(name.rpartition("/")[0])
            self._is_within[name] = is_within and self._file.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
        return self._is_within[name]

    def text(self, name: str) -> str | None:
        """Return a text attribute of the file, or None if it is missing.

        Raises:
            InputError: The attribute is not a text.
        """
        return self._text(self._file, name, name)

    def number(self, name: str) -> int | None:
        """Return an integer attribute of the file, or None if it is missing.

        Raises:
            InputError: The attribute is not an integer.
        """
        value = self._attribute(self._file, name, name, "an integer")
        if value is not None and not isinstance(value, np.integer):
            self.fail(name, shown(value), "an integer")
        return None if value is None else int(value)

    def _text(self, owner: Any, where: str, name: str) -> str | None:
        value = self._attribute(owner, where, name, "a text")
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if value is not None and not isinstance(value, str):
            self.fail(where, shown(value), "a text")
        return None if value is None else str(value)

    def _attribute(self, owner: Any, where: str, name: str, expected: str) -> Any:
        """Read an attribute that is one value of bounded size."""
        with self._broken(where, "an unreadable attribute", expected):
            if name not in owner.attrs:
                return None
            stored = owner.attrs.get_id(name)
            if stored.shape != () or stored.get_storage_size() > _MOST_TEXT:
                self.fail(where, f"shape {stored.shape}", expected)
            if stored.dtype.hasobject and has_endless_heap(self.path):
                self.fail(where, "a damaged heap", expected)
            return owner.attrs[name]


def show_shape(shape: tuple[int, ...]) -> str:
    """Format a shape as Python does, with `any` for -1."""
    lengths = ", ".join("any" if length == -1 else str(length) for length in shape)
    return f"({lengths}{',' if len(shape) == 1 else ''})"
