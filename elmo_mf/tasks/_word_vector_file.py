"""Files of word vectors such as GloVe's, with a word and its numbers on each line, plain or compressed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np

from elmo_mf.errors import InputError, one_line
from elmo_mf.io import open_regular

_MAX_LINE = 1 << 20  # characters
MAX_TEXT = 20_000_000_000
"""Maximum size of an unpacked file, in characters."""
_EXPECTED = "lines of a word and its numbers"
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def check_word_vectors(path: Path, dim: int, max_text: int = MAX_TEXT) -> None:
    """Check that AllenNLP can read a file of word vectors.

    AllenNLP skips words that are followed by too many numbers, as are a few of GloVe's that contain spaces. Too few
    numbers mean that the file is truncated.

    Args:
        path: The file.
        dim: Size of a vector.
        max_text: Maximum size of the unpacked file, in characters.

    Raises:
        InputError: The file cannot be read, or has a line that is too long; a word is followed by too few numbers or by
            something else; or no word has `dim` numbers.
    """
    any_vector, most = False, 0
    for number, line in enumerate(_lines(path, max_text), start=1):
        line = line.rstrip()
        columns = line.count(" ")
        most = max(most, columns)
        if number == 1 and line.startswith("\ufeff"):
            raise InputError(
                path, "line 1", "found a byte order mark, expected the first word, which it would be part of"
            )
        if not line or columns > dim or (number == 1 and _is_header(line)):
            continue
        if columns < dim or not _are_finite(line.split(" ")[1:]):
            raise InputError(path, f"line {number}", f"found {line[:40]!r}, expected a word and {dim} numbers")
        any_vector = True
    if not any_vector:
        raise InputError(path, f"found at most {most} numbers after a word, expected {dim}")


def read_word_vectors(path: Path) -> dict[str, np.ndarray]:
    """Read all vectors of a file that `check_word_vectors` accepts; the first vector of a word counts.

    The width is that of most lines.

    Raises:
        InputError: The file cannot be read, or has no vectors.
    """
    by_width: dict[int, dict[str, np.ndarray]] = {}
    for number, line in enumerate(_lines(path, MAX_TEXT), start=1):
        word, *numbers = line.rstrip().split(" ")
        if numbers and not (number == 1 and _is_header(line.rstrip())) and _are_finite(numbers):
            by_width.setdefault(len(numbers), {}).setdefault(word, np.array(numbers, np.float32))
    if not by_width:
        raise InputError(path, f"found no vectors, expected {_EXPECTED}")
    return max(by_width.values(), key=len)


def word_vector_dims(config: Any) -> Iterator[int]:
    """Yield the width of each embedding in an AllenNLP config that reads word vectors."""
    if isinstance(config, dict) and config.get("pretrained_file") and isinstance(config.get("embedding_dim"), int):
        yield config["embedding_dim"]
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from word_vector_dims(value)


def _lines(path: Path, max_text: int) -> Iterator[str]:
    """Yield the lines with their line ends; errors in unpacking are raised as `InputError`."""
    total = 0
    with open_regular(path, "file of word vectors", _EXPECTED) as raw, ExitStack() as stack:
        try:
            text = io.TextIOWrapper(stack.enter_context(_unpacked(raw, path.suffix.lower(), stack)), encoding="utf-8")
            for number, line in enumerate(iter(partial(text.readline, _MAX_LINE + 1), ""), start=1):
                total += len(line)
                if len(line) > _MAX_LINE or total > max_text:
                    what = f"a line of more than {_MAX_LINE:,}" if total <= max_text else f"more than {max_text:,}"
                    raise InputError(path, f"line {number}", f"found {what} characters, expected {_EXPECTED}")
                yield line
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                path, f"found word vectors that cannot be read ({one_line(error)}), expected {_EXPECTED}"
            ) from None


def _unpacked(raw: BufferedReader, suffix: str, stack: ExitStack) -> IO[bytes]:
    """Open a file as AllenNLP does: an archive with one member, or a file compressed according to its suffix."""
    if zipfile.is_zipfile(raw):
        archive = stack.enter_context(zipfile.ZipFile(raw))
        (name,) = archive.namelist()
        return archive.open(name)
    raw.seek(0)
    if tarfile.is_tarfile(raw):
        raw.seek(0)
        members = stack.enter_context(tarfile.open(fileobj=raw))  # noqa: SIM115 - the stack closes it
        (member,) = members.getmembers()
        content = members.extractfile(member)
        if content is None:
            raise ValueError("no regular file in the archive")
        return content
    raw.seek(0)
    return _OPENERS[suffix](raw) if suffix in _OPENERS else raw


def _is_header(line: str) -> bool:
    return all(field.isdecimal() for field in line.split(" ")) and line.count(" ") < 2


def _are_finite(numbers: Iterable[str]) -> bool:
    try:
        return all(map(math.isfinite, map(float, numbers)))
    except ValueError:
        return False
