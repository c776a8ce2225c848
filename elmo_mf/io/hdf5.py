"""HDF5 files that are written without losing an error.

HDF5 writes much of its data when a dataset or the file is closed, where h5py drops errors, and a file that cannot be
flushed crashes the process when it ends. So HDF5 is given a Python file that keeps the first error and goes on, and the
error is raised when the file has been closed.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from elmo_mf.io.output import OutputError

if TYPE_CHECKING:
    import h5py


@contextlib.contextmanager
def hdf5_file(path: str | Path) -> Iterator[h5py.File]:
    """A new HDF5 file at `path`; every byte is on disk when the context ends.

    Combine with `atomic_path`, so that a file that could not be written whole gets no name.

    Raises:
        OutputError: a write failed.
    """
    import h5py

    try:
        raw = io.FileIO(path, "w+")
    except OSError as error:
        raise OutputError(path, error) from error
    with raw:
        checked = _Checked(raw)
        with h5py.File(checked, "w") as file:
            yield file
        checked.finish(path)


class _Checked(io.RawIOBase):
    """A file whose writes seem to succeed; `finish` raises the first error there was."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self._error: OSError | None = None
        self._position = 0
        self._size = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        found = os.pread(self._raw.fileno(), len(buffer), self._position)
        buffer[: len(found)] = found
        buffer[len(found) :] = bytes(len(buffer) - len(found))  # what could not be written
        self._position += len(buffer)
        return len(buffer)

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        view, done = memoryview(data).cast("B"), 0
        while done < len(view) and self._error is None:
            try:
                done += os.pwrite(self._raw.fileno(), view[done:], self._position + done)
            except OSError as error:
                self._error = error
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        size = self._position if size is None else size
        if self._error is None:
            try:
                os.ftruncate(self._raw.fileno(), size)
            except OSError as error:
                self._error = error
        self._size = size
        return size

    def flush(self) -> None:
        pass

    def finish(self, path: str | Path) -> None:
        if self._error is None:
            try:
                os.fsync(self._raw.fileno())
            except OSError as error:
                self._error = error
        if self._error is not None:
            raise OutputError(path, self._error)
