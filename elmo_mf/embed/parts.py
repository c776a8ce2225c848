"""What a run has done so far: the vectors of some lines a file, checked before they are used again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elmo_mf.embed.text import Window
from elmo_mf.errors import InputError
from elmo_mf.io import atomic_files, open_regular, read_json, write_json
from elmo_mf.provenance import file_hash

_MOST_NOTE = 1 << 20


class Parts:
    """The parts of one run in a folder of their own.

    Each lies beside a note with the SHA-256 of its lines and of itself; both appear together.

    # Parameters
    folder: an empty one, or that of a run of the same identity.
    identity: what the vectors depend on, as JSON.

    # Raises
    InputError: the folder is of another run.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        note = folder / "run.json"
        if all(path.name.endswith(".tmp") for path in folder.iterdir()):  # those of writers that were killed
            write_json(note, identity)
        if _json(note) != identity:
            raise InputError(
                f"{folder}: found parts of another run, expected none; remove the folder or choose another name"
            )

    def path(self, window: Window) -> Path:
        """Where the vectors of a window lie."""
        return self.folder / f"{window.start:012d}.hdf5"

    def have(self, window: Window) -> bool:
        """Whether they are there, whole, and of these lines."""
        path = self.path(window)
        note = _json(path.with_suffix(".json"))
        return isinstance(note, dict) and note.get("lines") == _digest(window) and note.get("sha256") == _hash(path)

    @contextmanager
    def writing(self, window: Window) -> Iterator[Path]:
        """A temporary path for the vectors of a window."""
        with atomic_files(self.folder) as staging:
            path = staging / self.path(window).name
            yield path
            write_json(path.with_suffix(".json"), {"lines": _digest(window), "sha256": file_hash(path)})

    def size(self) -> int:
        """Bytes of the parts that are there."""
        return sum(path.stat().st_size for path in self.folder.glob("*.hdf5"))


def _json(path: Path) -> Any:
    try:
        return read_json(path, "note", "what elmo-mf embed writes", most=_MOST_NOTE)
    except InputError:
        return None


def _hash(path: Path) -> str | None:
    try:
        with open_regular(path, "part", "vectors") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (InputError, OSError):
        return None


def _digest(window: Window) -> str:
    digest = hashlib.sha256()
    for sentence in window.sentences:
        digest.update(sentence.encode("utf-8"))
        digest.update(b"\n")
    return digest.hexdigest()
