"""The vocabulary that bilm-tf trained a softmax with."""

from __future__ import annotations

from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.io import TextLines
from elmo_mf.pretrain.corpus import MOST_WORDS, SPECIAL, UNUSED, Vocabulary


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary file, line by line as bilm-tf does, so that each word keeps its row of the softmax.

    bilm-tf accepts a line that occurs again further down, of which it uses the last, and lines with white space within,
    which no word of a text equals. Their rows have a share in every probability but are never predicted: here they are
    named `!!!ROW` and their number, because words of `Vocabulary` are distinct.

    Args:
        path: One word per line, with `<S>`, `</S>` and `<UNK>`.

    Raises:
        InputError: The file cannot be read, has too many lines or lacks one of the three words.
    """
    rows: list[str] = []
    for line in TextLines(path, "the vocabulary that the model was trained with, one word a line", regular=True):
        if (word := line.strip()) != UNUSED:
            rows.append(word)
        if len(rows) > MOST_WORDS:
            raise InputError(f"{path}: found more than {MOST_WORDS:,} words, expected fewer")
    last = {word: row for row, word in enumerate(rows)}
    lacking = [word for word in SPECIAL if word not in last]
    if lacking:
        raise InputError(
            f"{path}: found no {', '.join(lacking)}, expected one word a line, with {', '.join(SPECIAL)} as in training"
        )
    return Vocabulary(
        tuple(word if word.split() == [word] and last[word] == row else f"!!!ROW{row}" for row, word in enumerate(rows))
    )
