"""Write files atomically, alone or several together.

Files are written into a hidden staging folder next to their destination, `.NAME.XXXXXXXX.tmp`, which the writer locks.
The lock of a killed writer is free, and the next writer in the same folder cleans up: if all files were complete (the
staging folder was renamed to `.NAME.XXXXXXXX.done.tmp`), they are moved to their destinations; otherwise they are
removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError
from elmo_mf.io._output import OutputError, output_errors
from elmo_mf.io.reading import read_json

_STAGING = ".*.tmp"
_COMPLETE = ".done.tmp"
_OBSOLETE = ".obsolete"
_MOST_OBSOLETE = 1 << 16  # bytes


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Provide a temporary path for the new content of a file.

    The file is replaced when the context ends, and unchanged if the context fails. Missing parent folders are created.

    Raises:
        OutputError: The file cannot be written.
    """
    path = Path(path)
    with output_errors(path), staging(path.parent, path.name) as folder:
        temporary = folder / path.name
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextlib.contextmanager
def atomic_files(folder: str | Path, obsolete: Iterable[str] = ()) -> Iterator[Path]:
    """Provide a staging folder whose files appear in `folder` together when the context ends, or not at all.

    Functions that themselves write atomically, such as `Bilm.save`, can write into it. Other files of `folder` are left
    unchanged. If the process is killed while the files are moved, the next `atomic_files` or `atomic_path` in the same
    folder, or `check_settled`, moves the rest.

    Args:
        folder: Destination of the files; created if it does not exist.
        obsolete: Names of files of an older result, which are removed when the new files appear.

    Raises:
        OutputError: A file cannot be written.
    """
    folder = Path(folder)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with staging(folder, folder.resolve().name) as staged:
            yield staged
            files = sorted(path for path in staged.rglob("*") if path.is_file())
            for path in files:
                _sync(path)
            names = [path.relative_to(staged).as_posix() for path in files]
            complete = staged.with_name(staged.name.removesuffix(".tmp") + _COMPLETE)
            (staged / _OBSOLETE).write_text(json.dumps([n for n in obsolete if n not in names]), encoding="utf-8")
            _sync(staged / _OBSOLETE)
            _sync(staged)
            staged.rename(complete)
            _put_in_place(complete)


def check_settled(folder: Path) -> None:
    """Check before reading several files of a folder that they belong together.

    Files that a killed writer had completed are moved to their destinations first.

    Raises:
        InputError: Another process is replacing the files, or another user's process was killed while it did.
    """
    if any(folder.glob(f".*{_COMPLETE}")):
        recover(folder)
        if any(folder.glob(f".*{_COMPLETE}")):
            raise InputError(folder, "another process is replacing files; try again when it has finished")


def replace_folder(staged: Path, folder: Path) -> None:
    """Rename a staging folder to `folder` after syncing it to disk, and remove what had that name."""
    for path in staged.rglob("*"):
        _sync(path)
    _sync(staged)
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    if folder.exists():  # removed by the next writer here if this process is killed
        folder.rename(old := staged.with_name(f".{_cut(folder.name)}.{uuid.uuid4().hex[:8]}.tmp"))
        staged.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        staged.rename(folder)
    _sync(folder.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder atomically for its readers.

    The folder is renamed to a temporary one first; if the process is killed, the next writer in that folder removes the
    rest.
    """
    doomed = folder.with_name(f".{_cut(folder.name)}.{uuid.uuid4().hex[:8]}.tmp")
    with output_errors(folder):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def recover(folder: Path) -> None:
    """Complete or remove the staging folders of this user's killed writers; those of running writers are kept."""
    for left in folder.glob(_STAGING):
        with contextlib.suppress(OSError):
            if not left.is_dir() or left.is_symlink():
                continue
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_uid != os.geteuid():  # another user's files must not replace this user's
                    continue
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if left.name.endswith(_COMPLETE):
                    if _stays_within(left):
                        _put_in_place(left)
                else:
                    shutil.rmtree(left)
            finally:
                os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write an indented JSON file atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextlib.contextmanager
def staging(parent: Path, name: str) -> Iterator[Path]:
    """Provide a hidden temporary folder in `parent`, which is removed when the context ends.

    `parent` is created if it does not exist, and recovered from killed writers first. Errors of the system are not
    converted.

    Args:
        parent: Folder of the temporary folder.
        name: Name of the result, which becomes part of the temporary name.
    """
    parent.mkdir(parents=True, exist_ok=True)
    recover(parent)
    with scratch(parent, name) as folder:
        yield folder


@contextlib.contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """Provide a temporary folder as `staging` does, without recovery and with the permissions of the user's umask."""
    folder, descriptor = _create_locked(parent, name)
    try:
        yield folder
    except InputError as error:
        raise _with_destination(error, folder) from error.__cause__
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _with_destination(error: InputError, staging: Path) -> InputError:
    """Replace the staging folder in an error by the destination, which is the path that the user knows."""
    if isinstance(error, OutputError) and error.path.is_relative_to(staging):
        return OutputError(staging.parent / error.path.relative_to(staging), error.error)
    return error.renamed(staging, staging.parent) if str(staging) in str(error) else error


def _create_locked(parent: Path, name: str) -> tuple[Path, int]:
    """Create and lock a staging folder with a name that is short enough for every file system."""
    while True:
        folder = parent / f".{_cut(name)}.{uuid.uuid4().hex[:8]}.tmp"
        folder.mkdir()
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # another process removed it as left behind
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(folder.stat(), os.fstat(descriptor)):
                return folder, descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)


def _cut(name: str, most: int = 200) -> str:
    """Cut a name to at most `most` bytes, without bytes that are not UTF-8."""
    return os.fsencode(name)[:most].decode(errors="ignore")


def _stays_within(complete: Path) -> bool:
    """Return whether no file would be moved through a symbolic link, as an unpacked untrusted folder could have."""
    folders = (path.relative_to(complete) for path in complete.rglob("*") if path.is_dir())
    return not any((complete.parent / folder).is_symlink() for folder in folders)


def _put_in_place(complete: Path) -> None:
    """Move the files of a complete staging folder to their destinations, and remove the folder."""
    listed = complete / _OBSOLETE
    obsolete = _names(listed)
    for path in sorted(complete.rglob("*")):
        if path.is_file() and path != listed:
            target = complete.parent / path.relative_to(complete)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    for name in obsolete:
        (complete.parent / name).unlink(missing_ok=True)
    _sync(complete.parent)
    shutil.rmtree(complete)


def _names(listed: Path) -> Sequence[str]:
    """Read the list of obsolete files, ignoring everything in it that is not a plain file name."""
    try:
        names = read_json(listed, "list of obsolete files", "their names", most=_MOST_OBSOLETE)
    except InputError:
        return ()
    return [name for name in names if isinstance(name, str) and _is_name(name)] if isinstance(names, list) else ()


def _is_name(name: str) -> bool:
    return "\0" not in name and name not in ("", ".", "..") and "/" not in name


def _sync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
