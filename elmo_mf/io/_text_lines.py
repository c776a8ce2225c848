"""Read texts line by line, by the same rules in every command.

A line ends with LF, CR LF or CR, as in Python's text mode and in AllenNLP's readers; other line breaks of Unicode
(U+2028, form feed, U+0085 and others) are white space within a line. The last line needs no end. The encoding is
UTF-8; a byte order mark at the start of a file is dropped. A null character, which is frequent in other encodings, is
an error. A file whose name ends in `.gz` is decompressed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from elmo_mf.errors import InputError, missing, one_line
from elmo_mf.io.reading import open_regular

_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class TextLines:
    """Iterate over the lines of a text file or pipe in bounded memory.

    Args:
        path: The file; a pipe or device such as `/dev/stdin` is read as a stream.
        expected: Expected content for the message.
        regular: Reject everything except regular files, for a file that is read more than once.
        most_bytes: Largest length of a line in bytes. Defaults to 256 MiB.
        chunk: Number of bytes that are read at once. Defaults to 1 MiB.
    """

    def __init__(
        self,
        path: str | Path,
        expected: str = "UTF-8 text",
        *,
        regular: bool = False,
        most_bytes: int = 1 << 28,
        chunk: int = 1 << 20,
    ) -> None:
        self.path, self.expected, self.regular = Path(path), expected, regular
        self._most_bytes, self._chunk = most_bytes, chunk
        self._digest = hashlib.sha256()
        self.lines = 0
        """Number of lines that have been read."""

    @property
    def sha256(self) -> str:
        """The SHA-256, in hex, of the text that has been read; of the whole text after iteration."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[str]:
        """Yield the lines without their ends.

        Raises:
            InputError: The file is missing, cannot be read, is not UTF-8, or has a null character or a line that is too
                long.
        """
        self._digest, self.lines = hashlib.sha256(), 0
        try:
            with self._open() as file:
                yield from self._decoded(file)
        except FileNotFoundError:
            raise missing(self.path, "text file", self.expected) from None
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(
                self.path, f"the text cannot be read ({one_line(error)}), expected {self.expected}"
            ) from None

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        with self._open_as_it_is() as raw:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if self.path.suffix == ".gz" else raw

    def _open_as_it_is(self) -> BinaryIO:
        try:
            return open_regular(self.path, "text file", self.expected) if self.regular else open(self.path, "rb")
        except InputError:
            raise
        except ValueError as error:  # an invalid name
            raise OSError(str(error)) from None

    def _decoded(self, file: BinaryIO) -> Iterator[str]:
        for raw in self._raw_lines(file):
            self.lines += 1
            if self.lines == 1:
                raw = self._without_mark(raw)
            if b"\0" in raw:
                raise self._error("found a null character, as in UTF-16", "UTF-8")
            try:
                yield raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise self._error(f"found {error.reason}", "UTF-8") from None

    def _raw_lines(self, file: BinaryIO) -> Iterator[bytes]:
        kept: list[bytes] = []
        size = 0
        translate = io.IncrementalNewlineDecoder(None, translate=True)
        while chunk := file.read(self._chunk):
            self._digest.update(chunk)
            text = translate.decode(chunk.decode("latin-1")).encode("latin-1")
            *whole, rest = text.split(b"\n")
            for line in whole:
                yield b"".join([*kept, line])
                kept, size = [], 0
            kept.append(rest)
            size += len(rest)
            if size > self._most_bytes:
                self.lines += 1
                raise self._error(f"found a line of more than {self._most_bytes:,} bytes", "shorter lines")
        if any(kept) or translate.decode("", final=True):  # a last line without an end, or with CR
            yield b"".join(kept)

    def _without_mark(self, raw: bytes) -> bytes:
        for mark, encoding in _OTHER_ENCODINGS.items():
            if raw.startswith(mark):
                raise self._error(f"found {encoding}", "UTF-8")
        return raw.removeprefix(b"\xef\xbb\xbf")

    def _error(self, found: str, expected: str) -> InputError:
        return InputError(self.path, f"line {self.lines}", f"{found}, expected {expected}")
