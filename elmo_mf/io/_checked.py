"""Files for libraries that lose write errors or crash on them.

HDF5 and PyTorch write from C++ while objects are closed or destroyed, where an error is dropped or terminates the
process. `checked_file` gives them a Python file that keeps the first error and raises it when the context ends.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from elmo_mf.io._output import OutputError


@contextlib.contextmanager
def checked_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Provide a new file whose writes never raise; all bytes are on disk when the context ends.

    Raises:
        OutputError: The file cannot be created, or a write failed.
    """
    try:
        raw = io.FileIO(path, "w+")
    except OSError as error:
        raise OutputError(path, error) from error
    with raw:
        file = _CheckedFile(raw)
        yield cast(IO[bytes], file)
        file.finish(path)


class _CheckedFile(io.RawIOBase):
    """A file whose writes never raise; `finish` raises the first error."""

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
        content = os.pread(self._raw.fileno(), len(buffer), self._position)
        buffer[: len(content)] = content
        buffer[len(content) :] = bytes(len(buffer) - len(content))  # not written, because of an error
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
        """Flush the file to disk, or raise the first error."""
        if self._error is None:
            try:
                os.fsync(self._raw.fileno())
            except OSError as error:
                self._error = error
        if self._error is not None:
            raise OutputError(path, self._error)
