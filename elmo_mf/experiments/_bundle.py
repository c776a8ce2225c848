"""Files identified by their content, sent with runs to machines where their paths do not exist."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import time
from functools import cached_property
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.io import atomic_path
from elmo_mf.io.locks import acquire
from elmo_mf.provenance import file_hash, regular_hash

MAX_BYTES = 4_000_000_000
"""Maximum total size of the files of a bundle, in bytes."""


class Bundle:
    """Files by relative name, which identifies the content unless the caller chooses it."""

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}
        self._names: dict[str, str] = {}

    def add(self, path: str) -> str:
        """Add a file and return its name: the start of its SHA-256 and the end of its path."""
        if path not in self._names:
            self._names[path] = f"{file_hash(path)[:16]}/{last_names(path, 2)}"
            self.paths[self._names[path]] = Path(path)
        return self._names[path]

    def add_as(self, name: str, path: Path) -> None:
        """Add a file under a given name."""
        self.paths[name] = path

    def check_size(self, max_bytes: int = MAX_BYTES) -> None:
        """Check the total size of all files.

        Raises:
            InputError: The files are too large.
        """
        size = sum(path.stat().st_size for path in self.paths.values())
        if size > max_bytes:
            raise InputError(
                "ray",
                f"found {size:,} bytes of weights and data, expected at most {max_bytes:,} to send; "
                "cut the data with limit",
            )

    @property
    def id(self) -> str:
        """Hash of all names and contents."""
        return hashlib.sha256(json.dumps(self.hashes, sort_keys=True).encode()).hexdigest()

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file by name."""
        return {name: file_hash(path) for name, path in self.paths.items()}


def last_names(path: str, count: int) -> str:
    """Return the last `count` parts of a path."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - `resolve` would follow links
    return "/".join(Path(absolute).parts[1:][-count:])


def unpack(folder: Path, name: str, content: bytes) -> None:
    """Write a file of a bundle, atomically.

    Args:
        folder: Folder of the bundle.
        name: Name of the file.
        content: Its content.
    """
    with atomic_path(folder / name) as temporary:
        temporary.write_bytes(content)


def is_there(folder: Path, name: str, sha256: str) -> bool:
    """Return whether a file of a bundle is in `folder`, with the right content.

    Args:
        folder: Folder of the bundle.
        name: Name of the file.
        sha256: SHA-256 of its content, in hex.
    """
    try:
        return regular_hash(folder / name, "file of a bundle", "what was sent") == sha256
    except (InputError, OSError):
        return False


def private_folder(path: Path) -> Path:
    """Create a folder that only this user can write to, unless it exists.

    Raises:
        InputError: The path is a link, another user's folder, or a folder that others can write to.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise InputError(
            path,
            "found a link, or a folder that others can write to, expected a folder of this user alone; "
            "remove it or set TMPDIR",
        )
    path.chmod(0o700)
    return path


def clear_unused(folder: Path, days: float = 7) -> None:
    """Delete the bundles in `folder` that no process holds and that were not used for `days`."""
    for path in folder.glob("*/.use"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > days * 86_400 and (lock := acquire(path, wait=False)) is not None:
                shutil.rmtree(path.parent, ignore_errors=True)
                lock.release()
