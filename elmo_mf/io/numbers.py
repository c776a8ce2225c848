"""HDF5 files of numbers: written with a checksum for each dataset, and read with bounds, whoever wrote them."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elmo_mf.errors import InputError, one_line
from elmo_mf.io.reading import open_regular

if TYPE_CHECKING:
    import h5py

CHECKSUM = "sha256"
"""Attribute of a dataset: the SHA-256, in hex, of its numbers as they are stored, little-endian and row by row."""
FLOATS = ("float16", "float32", "float64")
MOST_NUMBERS = 1 << 28
"""In a dataset: what is larger is not read, however small its file."""
_MOST_FOR_NOTHING = 1 << 27  # numbers of all datasets together, in a file of any size
_MOST_A_BYTE = 16  # of the file; numbers that are mostly zeros and compressed come to so many
_MOST_IN_A_CHUNK = 1 << 20  # where the dataset itself is smaller: HDF5 reads chunks whole
_MOST_TEXT = 1 << 16  # bytes of an attribute


def as_stored(values: np.ndarray, dtype: str, where: str) -> np.ndarray:
    """Numbers in the type that they are to be stored as.

    Raises:
        InputError: one is NaN, infinite, or too large for the type; the message begins with `where`.
    """
    with np.errstate(over="ignore"):
        stored = values.astype(dtype)
    if not np.isfinite(stored).all():
        found = f"values beyond {dtype}'s range"
        if not np.isfinite(values).all():
            found = f"{int(np.isnan(values).sum())} values that are NaN, {int(np.isinf(values).sum())} infinite"
        raise InputError(f"{where}: found {found}, expected finite numbers")
    return stored


def write_numbers(file: h5py.File, name: str, values: np.ndarray, compression: str | None = None) -> None:
    """Add a dataset to a new file, with its checksum."""
    dataset = file.create_dataset(name, data=values, compression=compression)
    dataset.attrs[CHECKSUM] = np.bytes_(_checksum(values))


def _checksum(values: np.ndarray) -> str:
    little = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
    return hashlib.sha256(little.data if little.size else b"").hexdigest()


class NumbersFile(contextlib.ExitStack):
    """Datasets of floats in an HDF5 file; a context manager.

    Each error names the file, the dataset, what was found and what was expected. What HDF5 stores in other files is not
    read; a dataset without stored data has its fill value everywhere, as for any reader.

    Args:
        path: the file.
        kind: what it is called in messages, such as `weight file`.
        expected: what the message says was expected.

    Raises:
        InputError: the file is missing, not a regular file, truncated or not HDF5.
    """

    def __init__(self, path: Path, kind: str, expected: str) -> None:
        super().__init__()
        import h5py

        self.path = path
        with open_regular(path, kind, expected) as file:
            self._most = max(_MOST_FOR_NOTHING, _MOST_A_BYTE * os.fstat(file.fileno()).st_size)
        try:
            self._file = self.enter_context(h5py.File(path, "r"))
        except Exception as error:
            raise InputError(
                f"{path}: found a file that is truncated or not HDF5 ({one_line(error)}), expected {expected}"
            ) from None

    def fail(self, name: str, found: str, expected: str) -> None:
        raise InputError(f"{self.path}: {name}: found {found}, expected {expected}")

    @contextlib.contextmanager
    def _broken(self, name: str, found: str, expected: str) -> Iterator[None]:
        """Of a broken file h5py raises nearly anything."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            self.fail(name, f"{found} ({one_line(error, 100)})", expected)

    def has(self, name: str) -> bool:
        """Whether there is anything of that name."""
        with self._broken(name, "an unreadable group", "a dataset"):
            return name in self._file
        return False

    def check_size(self, names: Iterable[str]) -> None:
        """Check, before any of them is read, that those of the datasets that are there fit in memory.

        Raises:
            InputError: they are too large, for a file of this size.
        """
        expected = f"at most {self._most:,} numbers in a file of this size"
        total = sum(self._dataset(name, expected).size or 0 for name in names if self.has(name))
        if total > self._most:
            raise InputError(f"{self.path}: found datasets of {total:,} numbers together, expected {expected}")

    def read(self, name: str, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
        """One dataset; `shape` may leave one length open with -1.

        Raises:
            InputError: it is missing, of another shape or of no floats; its numbers cannot be read, are not finite, or
                not those that its checksum is of.
        """
        dataset = self._dataset(name, f"a dataset of shape {show_shape(shape)}")
        found = dataset.shape
        if (
            found is None
            or len(found) != len(shape)
            or any(want not in (-1, got) for got, want in zip(found, shape, strict=True))
        ):
            self.fail(name, f"shape {found}", f"{show_shape(shape)} as the options say")
        with self._broken(name, "unreadable data", f"shape {show_shape(shape)}"):
            stored = np.asarray(dataset[()])
        array = self._finite(name, stored, dtype)
        checksum = self._text(dataset, f"{name}: {CHECKSUM}", CHECKSUM)
        if checksum not in (None, _checksum(stored)):
            self.fail(name, "other numbers than were written, by their checksum", "a file that is as it was written")
        return array

    def _finite(self, name: str, stored: np.ndarray, dtype: str) -> np.ndarray:
        with np.errstate(over="ignore"):
            array = stored.astype(dtype)
        bad = int(array.size - np.isfinite(array).sum())
        if bad and np.isfinite(stored).all():
            self.fail(name, f"{bad} values beyond {dtype}'s range", "smaller numbers")
        if bad:
            self.fail(name, f"{bad} values that are NaN or infinite", "finite numbers")
        return array

    def _dataset(self, name: str, expected: str) -> Any:
        import h5py

        if not self.has(name):
            self.fail(name, "nothing", expected)
        with self._broken(name, "an unreadable object", expected):
            dataset: Any = self._file[name] if self._links_within(name) else None
            if isinstance(dataset, h5py.Group):
                self.fail(name, "a group", expected)
            if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
                self.fail(name, "a dataset without data of its own", expected)
            if dataset.dtype.name not in FLOATS:
                self.fail(name, f"dtype {dataset.dtype}", f"{', '.join(FLOATS[:-1])} or {FLOATS[-1]}")
            if (dataset.size or 0) > MOST_NUMBERS:
                self.fail(name, f"shape {dataset.shape}", f"at most {MOST_NUMBERS} numbers")
            if math.prod(dataset.chunks or ()) > max(dataset.size or 0, _MOST_IN_A_CHUNK):
                self.fail(name, f"chunks of shape {dataset.chunks}", f"at most {_MOST_IN_A_CHUNK} numbers")
        return dataset

    def _links_within(self, name: str) -> bool:
        """Whether each part of a name is in this file, and no link to elsewhere."""
        import h5py

        parts = name.split("/")
        links = (self._file.get("/".join(parts[: n + 1]), getlink=True) for n in range(len(parts)))
        return all(isinstance(link, h5py.HardLink) for link in links)

    def text(self, name: str) -> str | None:
        """An attribute of the file, None where there is none.

        Raises:
            InputError: it is no text.
        """
        return self._text(self._file, name, name)

    def number(self, name: str) -> int | None:
        """As `text`, of an integer."""
        value = self._attribute(self._file, name, name, "an integer")
        if value is not None and not isinstance(value, np.integer):
            self.fail(name, one_line_value(value), "an integer")
        return None if value is None else int(value)

    def _text(self, owner: Any, where: str, name: str) -> str | None:
        value = self._attribute(owner, where, name, "a text")
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if value is not None and not isinstance(value, str):
            self.fail(where, one_line_value(value), "a text")
        return None if value is None else str(value)

    def _attribute(self, owner: Any, where: str, name: str, expected: str) -> Any:
        """A single value of a bounded size."""
        with self._broken(where, "an unreadable attribute", expected):
            if name not in owner.attrs:
                return None
            stored = owner.attrs.get_id(name)
            if stored.shape != () or stored.get_storage_size() > _MOST_TEXT:
                self.fail(where, f"shape {stored.shape}", expected)
            return owner.attrs[name]


def show_shape(shape: tuple[int, ...]) -> str:
    """As Python writes it, with `any` for -1."""
    lengths = ", ".join("any" if length == -1 else str(length) for length in shape)
    return f"({lengths}{',' if len(shape) == 1 else ''})"


def one_line_value(value: object) -> str:
    """A value as part of a message."""
    return " ".join(repr(value).split())[:60]
