"""The parts of a run: files with the vectors of a window of lines, verified before they are reused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elmo_mf.embed._text import Window
from elmo_mf.errors import InputError
from elmo_mf.io import atomic_files, open_regular, write_json
from elmo_mf.provenance import file_hash
from elmo_mf.storage.resumable import is_marked, mark_folder, read_sidecar

_RESULT = "result.json"


class Parts:
    """The parts of one run, in a folder.

    Each part appears together with a JSON file that has the SHA-256 of its lines and of the part.

    Args:
        folder: An empty folder, or that of a run with the same identity.
        identity: What the vectors depend on, as JSON values.

    Raises:
        InputError: The folder belongs to another run.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        mark_folder(folder, identity)
        self.folder = folder

    def path(self, window: Window) -> Path:
        """Return the path of the part for a window."""
        return self.folder / f"{window.start:012d}.hdf5"

    def have(self, window: Window) -> bool:
        """Return whether the part for a window exists, is undamaged, and belongs to these lines."""
        path = self.path(window)
        hashes = read_sidecar(path.with_suffix(".json"))
        return (
            isinstance(hashes, dict)
            and hashes.get("lines") == window_digest(window)
            and hashes.get("sha256") == _hash(path)
        )

    @contextmanager
    def writing(self, window: Window) -> Iterator[Path]:
        """Provide a temporary path for the part of a window."""
        with atomic_files(self.folder) as staging:
            path = staging / self.path(window).name
            yield path
            write_json(path.with_suffix(".json"), {"lines": window_digest(window), "sha256": file_hash(path)})

    def size(self) -> int:
        """Return the size of the existing parts in bytes."""
        return sum(path.stat().st_size for path in self.folder.glob("*.hdf5"))

    def record_result(self, path: Path) -> None:
        """Record the file that is about to be renamed to the result, for `finished`."""
        write_json(self.folder / _RESULT, _inode(path))


def finished(folder: Path, identity: dict[str, Any], output: Path) -> bool:
    """Return whether `output` is the result of a run that was killed before it removed its parts."""
    return is_marked(folder, identity) and read_sidecar(folder / _RESULT) == _inode(output)


def _inode(path: Path) -> dict[str, int]:
    """Return attributes of a file that renaming keeps and writing changes."""
    status = path.lstat()
    return {"device": status.st_dev, "inode": status.st_ino, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _hash(path: Path) -> str | None:
    try:
        with open_regular(path, "part", "vectors") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (InputError, OSError):
        return None


def window_digest(window: Window) -> str:
    """Return the SHA-256 of the lines of a window."""
    digest = hashlib.sha256()
    for sentence in window.sentences:
        digest.update(sentence.encode("utf-8"))
        digest.update(b"\n")
    return digest.hexdigest()
