"""Reading files from people one does not know: regular files only, and never more than expected."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from io import BufferedReader, FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmo_mf.errors import InputError, missing, one_line

if TYPE_CHECKING:
    from typing_extensions import Buffer

MOST_DEPTH = 64
"""Levels of nesting that a JSON or TOML file may have."""
_BUFFER, _CHUNK = 1 << 16, 1 << 20


def open_regular(path: str | Path, kind: str, expected: str) -> BufferedReader:
    """Open a regular file, or a link to one, for reading; never waits on a pipe.

    Args:
        path: the file.
        kind: what it is called in messages, such as `options file`.
        expected: what the message says was expected.

    Raises:
        InputError: the file is missing, not a regular file, or cannot be opened; also while it is read, where that
            fails.
    """
    path = Path(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise missing(path, kind, expected) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise InputError(f"{path}: the {kind} cannot be opened ({one_line(error)}), expected {expected}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path}: found something that is not a regular file, expected {expected}")
    return BufferedReader(_Regular(descriptor, f"{path}: the {kind} cannot be read", expected), _BUFFER)


class _Regular(FileIO):
    """Errors of the system, which name no file when it is read, in one line."""

    def __init__(self, descriptor: int, what: str, expected: str) -> None:
        super().__init__(descriptor, "rb")
        self._what, self._expected = what, expected

    def readinto(self, buffer: Buffer) -> int | None:
        with self._read_errors():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with self._read_errors():
            return super().readall() or b""

    @contextlib.contextmanager
    def _read_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"{self._what} ({one_line(error)}), expected {self._expected}") from None


def is_regular(path: str | Path) -> bool:
    """Whether there is a regular file of that name; False too for a name that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113 - Path's raises where a name is too long, or is no text


def read_bytes(path: str | Path, kind: str, expected: str, *, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        InputError: as `open_regular`; or the file is larger, or cannot be read.
    """
    content = bytearray()
    with open_regular(path, kind, expected) as file:
        while chunk := file.read(_CHUNK):  # whose length, unlike the file's, is known before
            content += chunk
            if len(content) > most:
                raise InputError(f"{path}: found more than {most:,} bytes, expected {expected}")
    return bytes(content)


def read_text(path: str | Path, kind: str, expected: str, *, most: int) -> str:
    """As `read_bytes`, decoded as UTF-8; a byte order mark is dropped.

    Raises:
        InputError: as `read_bytes`; or the file is not UTF-8.
    """
    content = read_bytes(path, kind, expected, most=most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: line {line}: found bytes that are not UTF-8, expected {expected}") from None


def read_json(path: str | Path, kind: str, expected: str, *, most: int, unique_keys: bool = False) -> Any:
    """As `read_text`, parsed as JSON without NaN and infinity, nested at most `MOST_DEPTH` deep.

    With `unique_keys` no object may name a key twice, where otherwise the last one counts.

    Raises:
        InputError: as `read_text`; or the file is not such JSON.
    """
    text = read_text(path, kind, expected, most=most)
    return parse_json(text, path, expected, unique_keys=unique_keys)


def parse_json(text: str, path: str | Path, expected: str, *, unique_keys: bool = False) -> Any:
    """As `read_json`, of a text that comes from `path`."""
    pairs = unique_pairs if unique_keys else None
    parse = partial(json.loads, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=pairs)
    return _parsed("valid JSON", parse, text, path, expected)


def read_toml(path: str | Path, kind: str, expected: str, *, most: int) -> dict[str, Any]:
    """As `read_json`, parsed as TOML.

    Raises:
        InputError: as `read_text`; or the file is not TOML.
    """
    text = read_text(path, kind, expected, most=most)
    return dict(_parsed("TOML", tomllib.loads, text, path, expected))


def _parsed(language: str, parse: Callable[[str], Any], text: str, path: str | Path, expected: str) -> Any:
    try:
        value = parse(text)
        if nested_deeper(value, MOST_DEPTH):
            raise ValueError(f"nested more than {MOST_DEPTH} deep")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: found something that is not {language} ({one_line(error)}), expected {expected}"
        ) from None
    return value


def unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose keys differ, for `json.loads`.

    Raises:
        ValueError: a key is there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def nested_deeper(value: Any, most: int) -> bool:
    """Whether lists and objects are nested deeper; found without recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        children = (c for parent in level for c in (parent.values() if isinstance(parent, dict) else parent))
        level = [child for child in children if isinstance(child, dict | list)]
    return bool(level)
