"""Word vectors' files, read as AllenNLP does: a word and its numbers a line, plain or compressed."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError, one_line


def check_words(path: Path, dim: int) -> None:
    """Read the whole file, as AllenNLP will for each model.

    AllenNLP skips words that are followed by more numbers, as a few of GloVe are that have spaces in them; fewer
    numbers are a file that was cut.

    # Raises
    InputError: it cannot be read, a line has fewer numbers or something else, or none has as many.
    """
    found, most = False, 0
    for number, line in enumerate(_lines(path), start=1):
        line = line.rstrip()
        columns = line.count(" ")
        most = max(most, columns)
        if number == 1 and line.startswith("\ufeff"):
            raise InputError(f"{path}: line 1: found a byte order mark, which would be part of the first word")
        if not line or columns > dim or (number == 1 and _is_header(line)):
            continue
        if columns < dim or not _are_finite(line.split(" ")[1:]):
            raise InputError(f"{path}: line {number}: found {line[:40]!r}, expected a word and {dim} numbers")
        found = True
    if not found:
        raise InputError(f"{path}: found {most} numbers a word, expected {dim}")


def word_dims(config: Any) -> Iterator[int]:
    """The width of each embedding of a config that reads word vectors."""
    if isinstance(config, dict) and config.get("pretrained_file") and isinstance(config.get("embedding_dim"), int):
        yield config["embedding_dim"]
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from word_dims(value)


def _lines(path: Path) -> Iterator[str]:
    """As AllenNLP opens the file; errors of whatever library unpacks it are one line."""
    from allennlp.modules.token_embedders.embedding import EmbeddingsTextFile

    logging.getLogger("allennlp.modules.token_embedders.embedding").setLevel(logging.ERROR)
    try:
        with EmbeddingsTextFile(str(path)) as file:
            if file.num_tokens:
                yield str(file.num_tokens)  # of a header line, which the file keeps to itself
            yield from file
    except Exception as error:
        raise InputError(
            f"{path}: found word vectors that cannot be read ({one_line(error)}), expected lines of a word and its "
            "numbers"
        ) from None


def _is_header(line: str) -> bool:
    return all(field.isdecimal() for field in line.split(" ")) and line.count(" ") < 2


def _are_finite(numbers: Iterable[str]) -> bool:
    try:
        return all(map(math.isfinite, map(float, numbers)))
    except ValueError:
        return False
