"""Text files with one tokenised sentence a line."""

from __future__ import annotations

from pathlib import Path

from elmo_mf.errors import InputError, missing


def read_sentences(path: str | Path, max_tokens: int, limit: int | None = None) -> list[list[str]]:
    """Sentences of a file; those longer than `max_tokens` are cut into pieces.

    # Raises
    InputError: the file is missing, not UTF-8, or has no words.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[:limit]
    except FileNotFoundError:
        raise missing(path, "text file", "one tokenised sentence a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: found something unreadable ({error}), expected UTF-8 text") from None
    words = (line.split() for line in lines)
    sentences = [s[start : start + max_tokens] for s in words for start in range(0, len(s), max_tokens)]
    if not sentences:
        raise InputError(f"{path}: found no words, expected one tokenised sentence a line")
    return sentences
