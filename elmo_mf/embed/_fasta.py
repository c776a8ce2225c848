"""Read proteins in FASTA as text, one residue a token."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TextIO

from elmo_mf.embed._text import TextFile, text_writer
from elmo_mf.errors import InputError
from elmo_mf.io import TextLines

_EXPECTED = "FASTA: lines of >ID, each followed by its sequence"
_RESIDUES = re.compile(r"[A-Z]*")


def read_fasta(path: Path, copy: Path) -> tuple[TextFile, list[str]]:
    """Rewrite a FASTA file as tokenised text, one sequence per line, in bounded memory.

    Residues are upper-cased; a `*` that ends a sequence, and lines that begin with `;`, are left out.

    Args:
        path: The FASTA file.
        copy: File for the text.

    Returns:
        The text, and the identifiers: of each header, what stands between `>` and the first white space.

    Raises:
        InputError: The file is not FASTA, has no sequence, or has an identifier twice; names the line.
    """
    identifiers: list[str] = []
    with text_writer(copy) as file:
        empty = True
        for number, line in enumerate(TextLines(path, _EXPECTED), start=1):
            where = f"{path}: line {number}"
            if line.startswith(">"):
                _check_sequence(identifiers, empty, where)
                file.write("\n" if identifiers else "")
                identifiers.append(_identifier(line, where))
                empty = True
            elif line.strip() and not line.startswith(";"):
                if not identifiers:
                    raise InputError(where, f"found a sequence before the first header, expected {_EXPECTED}")
                empty = not _write(file, line, where, empty) and empty
        if not identifiers:
            raise InputError(path, f"found no header, expected {_EXPECTED}")
        _check_sequence(identifiers, empty, f"{path}: end")
        file.write("\n")
    key, count = Counter(keys_of(identifiers)).most_common(1)[0]
    if count > 1:
        raise InputError(path, f"found the identifier {key} {count} times, expected different ones")
    return TextFile.scan(copy), identifiers


def keys_of(identifiers: list[str]) -> list[str]:
    """Return the names of the datasets of identifiers: HDF5 takes a slash, and a dot alone, for a path."""
    return [identifier.replace("/", "_") if identifier != "." else "_" for identifier in identifiers]


def _identifier(line: str, where: str) -> str:
    words = line[1:].split(maxsplit=1)
    if not words:
        raise InputError(where, f"found a header without an identifier, expected {_EXPECTED}")
    return words[0]


def _check_sequence(identifiers: list[str], empty: bool, where: str) -> None:
    if identifiers and empty:
        raise InputError(where, f"found no sequence of {identifiers[-1]}, expected one residue or more")


def _write(file: TextIO, line: str, where: str, first: bool) -> bool:
    """Write residues as tokens, and return whether there were any."""
    residues = "".join(line.split()).upper().removesuffix("*")
    if not _RESIDUES.fullmatch(residues):
        wrong = next(character for character in residues if not "A" <= character <= "Z")
        raise InputError(where, f"found {wrong!r}, expected residues as letters")
    if residues:
        file.write(("" if first else " ") + " ".join(residues))
    return bool(residues)
