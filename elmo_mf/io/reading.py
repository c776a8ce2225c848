"""Read untrusted files: regular files only, with bounds on their size and nesting."""

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
"""Largest depth of nesting in a JSON or TOML file."""
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BUFFER, _CHUNK = 1 << 16, 1 << 20


def open_regular(path: str | Path, kind: str, expected: str) -> BufferedReader:
    """Open a regular file, or a link to one, for reading; never blocks on a pipe.

    Args:
        path: The file.
        kind: Kind of file for the message, such as `options file`.
        expected: Expected content for the message.

    Raises:
        InputError: The file is missing, not a regular file, or cannot be opened; later, if reading fails.
    """
    path = Path(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise missing(path, kind, expected) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise InputError(path, f"the {kind} cannot be opened ({one_line(error)}), expected {expected}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        found = "a folder" if stat.S_ISDIR(mode) else "something that is not a regular file"
        raise InputError(path, f"found {found}, expected {expected}")
    return BufferedReader(_Regular(descriptor, path, kind, expected), _BUFFER)


class _Regular(FileIO):
    """A file whose read errors are one line that names the file."""

    def __init__(self, descriptor: int, path: str | Path, kind: str, expected: str) -> None:
        super().__init__(descriptor, "rb")
        self._path, self._kind, self._expected = path, kind, expected

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
            found = f"the {self._kind} cannot be read ({one_line(error)})"
            raise InputError(self._path, f"{found}, expected {self._expected}") from None


def is_regular(path: str | Path) -> bool:
    """Return whether a regular file of this name exists; False for invalid names."""
    return os.path.isfile(path)  # noqa: PTH113 - Path's raises where a name is too long, or is no text


def is_folder(path: str | Path) -> bool:
    """Return whether a folder of this name exists; False for invalid names."""
    return os.path.isdir(path)  # noqa: PTH112 - see `is_regular`


def content_kind(path: str | Path) -> str | None:
    """Return `HDF5` or `JSON` if the first bytes of a regular file are such as that format begins with."""
    if not is_regular(path):
        return None
    try:
        with open(path, "rb") as file:
            first = file.read(64)
    except OSError:
        return None
    if first.startswith(_HDF5):
        return "HDF5"
    return "JSON" if first.lstrip().startswith((b"{", b"[")) else None


def read_bytes(path: str | Path, kind: str, expected: str, *, most: int) -> bytes:
    """Read a regular file.

    Args:
        path: The file.
        kind: Kind of file for the message, such as `record`.
        expected: Expected content for the message.
        most: Largest number of bytes.

    Raises:
        InputError: As in `open_regular`, or the file is larger.
    """
    content = bytearray()
    with open_regular(path, kind, expected) as file:
        while chunk := file.read(_CHUNK):  # the size of the file may change during the loop
            content += chunk
            if len(content) > most:
                raise InputError(path, f"found more than {most:,} bytes, expected {expected}")
    return bytes(content)


def read_text(path: str | Path, kind: str, expected: str, *, most: int) -> str:
    """Read a UTF-8 file, without its byte order mark.

    Args:
        path: The file.
        kind: Kind of file for the message.
        expected: Expected content for the message.
        most: Largest number of bytes.

    Raises:
        InputError: As in `read_bytes`, or the file is not UTF-8.
    """
    if content_kind(path) == "HDF5":
        raise InputError(path, f"found HDF5, expected {expected}")
    content = read_bytes(path, kind, expected, most=most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(path, f"line {line}", f"found bytes that are not UTF-8, expected {expected}") from None


def read_json(path: str | Path, kind: str, expected: str, *, most: int, unique_keys: bool = False) -> Any:
    """Read a JSON file without NaN and infinity, nested at most `MOST_DEPTH` levels deep.

    Args:
        path: The file.
        kind: As in `open_regular`.
        expected: As in `open_regular`.
        most: Largest size in bytes.
        unique_keys: Reject objects with a repeated key, of which otherwise the last value is used.

    Raises:
        InputError: As in `read_text`, or the file is not such JSON.
    """
    text = read_text(path, kind, expected, most=most)
    return parse_json(text, path, expected, unique_keys=unique_keys)


def parse_json(text: str, path: str | Path, expected: str, *, unique_keys: bool = False) -> Any:
    """Parse a text as `read_json` does.

    Args:
        text: The text.
        path: Where it is from, for the message.
        expected: Expected content for the message.
        unique_keys: Whether to reject objects with a key twice. Defaults to False.

    Raises:
        InputError: The text is not JSON, has NaN or infinity, or is nested too deep.
    """
    pairs = unique_pairs if unique_keys else None
    parse = partial(json.loads, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=pairs)
    return _parsed("valid JSON", parse, text, path, expected)


def read_toml(path: str | Path, kind: str, expected: str, *, most: int) -> dict[str, Any]:
    """Read a TOML file, nested at most `MOST_DEPTH` levels deep.

    Args:
        path: The file.
        kind: Kind of file for the message.
        expected: Expected content for the message.
        most: Largest number of bytes.

    Raises:
        InputError: As in `read_text`, or the file is not TOML.
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
            path, f"found something that is not {language} ({one_line(error)}), expected {expected}"
        ) from None
    return value


def unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object without repeated keys, as `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: A key is repeated.
    """
    unique = dict(pairs)
    if len(unique) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is repeated")
    return unique


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def nested_deeper(value: Any, most: int) -> bool:
    """Return whether lists and objects are nested too deep, without recursion.

    Args:
        value: A value from JSON.
        most: Maximum number of levels.
    """
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        children = (c for parent in level for c in (parent.values() if isinstance(parent, dict) else parent))
        level = [child for child in children if isinstance(child, dict | list)]
    return bool(level)
