"""What a run has done so far: files with the vectors of some lines each, checked before they are reused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elmo_mf.embed.text import Window
from elmo_mf.errors import InputError
from elmo_mf.io import atomic_files, open_regular, write_json
from elmo_mf.provenance import file_hash
from elmo_mf.resumable import is_marked, mark_folder, read_sidecar

_RESULT = "result.json"


class Parts:
    """The parts of one run in a folder of their own.

    Each has a note beside it with the SHA-256 of its lines and of the file itself; both appear together.

    Args:
        folder: an empty one, or that of a run with the same identity.
        identity: what the vectors depend on, as JSON.

    Raises:
        InputError: the folder belongs to another run.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        mark_folder(folder, identity)
        self.folder = folder

    def path(self, window: Window) -> Path:
        """The file with the vectors of a window."""
        return self.folder / f"{window.start:012d}.hdf5"

    def have(self, window: Window) -> bool:
        """Whether that file is there, undamaged, and made from these lines."""
        path = self.path(window)
        note = read_sidecar(path.with_suffix(".json"))
        return isinstance(note, dict) and note.get("lines") == _digest(window) and note.get("sha256") == _hash(path)

    @contextmanager
    def writing(self, window: Window) -> Iterator[Path]:
        """A temporary path to write the vectors of a window to."""
        with atomic_files(self.folder) as staging:
            path = staging / self.path(window).name
            yield path
            write_json(path.with_suffix(".json"), {"lines": _digest(window), "sha256": file_hash(path)})

    def size(self) -> int:
        """Bytes of the parts that are there."""
        return sum(path.stat().st_size for path in self.folder.glob("*.hdf5"))

    def record_result(self, path: Path) -> None:
        """Note which file becomes the result, just before it gets its name, for `finished`."""
        write_json(self.folder / _RESULT, _inode(path))


def finished(folder: Path, identity: dict[str, Any], output: Path) -> bool:
    """Whether `output` is the whole result of a run that was killed before it could remove its parts."""
    return is_marked(folder, identity) and read_sidecar(folder / _RESULT) == _inode(output)


def _inode(path: Path) -> dict[str, int]:
    """What a file keeps when it is renamed, and what changes when it is written to."""
    found = path.lstat()
    return {"device": found.st_dev, "inode": found.st_ino, "bytes": found.st_size, "mtime_ns": found.st_mtime_ns}


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
