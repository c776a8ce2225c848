"""Texts line by line, by one rule for every command.

A line ends at LF, CR LF or CR, as in Python's text mode and so in AllenNLP's readers; other characters that Unicode
calls line breaks (U+2028, form feed, U+0085 and the like) are white space within a line. The encoding is UTF-8; a byte
order mark at the start of a file is dropped, and a null character, which text in another encoding is full of, is an
error. A last line without an end counts.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from elmo_mf.errors import InputError, missing, one_line
from elmo_mf.io.reading import open_regular

MOST_LINE = 1 << 28
"""Bytes that a line may have."""
_CHUNK = 1 << 20
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class TextLines:
    """The lines of a text file or pipe, read once and in bounded memory.

    Args:
        path: the file; a pipe or device such as `/dev/stdin` is read as it comes.
        expected: what messages say was expected.
        regular: refuse anything but a regular file: a file that is read more than once, or whose name a folder gives.

    Raises:
        InputError: on opening, the file is missing or cannot be opened.
    """

    def __init__(self, path: str | Path, expected: str = "UTF-8 text", *, regular: bool = False) -> None:
        self.path, self.expected, self.regular = Path(path), expected, regular
        self._digest = hashlib.sha256()
        self.lines = 0
        """Lines that have been read so far."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes that have been read so far; of the whole file after iteration."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[str]:
        """The lines, without their ends.

        Raises:
            InputError: the file is missing or cannot be read, is not UTF-8, has a null character or a line that is too
                long.
        """
        self._digest, self.lines = hashlib.sha256(), 0
        try:
            with self._open() as file:
                yield from self._decoded(file)
        except FileNotFoundError:
            raise missing(self.path, "text file", self.expected) from None
        except OSError as error:
            raise InputError(
                f"{self.path}: the text cannot be read ({one_line(error)}), expected {self.expected}"
            ) from None

    def _open(self) -> BinaryIO:
        try:
            return open_regular(self.path, "text file", self.expected) if self.regular else open(self.path, "rb")
        except InputError:
            raise
        except ValueError as error:  # of a name that no file can have
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
        while chunk := file.read(_CHUNK):
            self._digest.update(chunk)
            text = translate.decode(chunk.decode("latin-1")).encode("latin-1")
            *whole, rest = text.split(b"\n")
            for line in whole:
                yield b"".join([*kept, line])
                kept, size = [], 0
            kept.append(rest)
            size += len(rest)
            if size > MOST_LINE:
                self.lines += 1
                raise self._error(f"found a line of more than {MOST_LINE:,} bytes", "shorter lines")
        if any(kept) or translate.decode("", final=True):  # a last line without an end, or one that a CR ends
            yield b"".join(kept)

    def _without_mark(self, raw: bytes) -> bytes:
        for mark, encoding in _OTHER_ENCODINGS.items():
            if raw.startswith(mark):
                raise self._error(f"found {encoding}", "UTF-8")
        return raw.removeprefix(b"\xef\xbb\xbf")

    def _error(self, found: str, expected: str) -> InputError:
        return InputError(f"{self.path}: line {self.lines}: {found}, expected {expected}")
