"""Files that appear whole or not at all, alone or several together.

What is being written lies in a hidden folder beside its final place, `.NAME.XXXXXXXX.tmp`, which its writer holds a
lock on. Where a writer was killed the lock is free, and the next writer in that folder clears up: files that were all
written (the staging folder was renamed to `.NAME.XXXXXXXX.done.tmp`) are put in their places, others are removed.
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
from elmo_mf.io.output import OutputError, output_errors
from elmo_mf.io.reading import read_json

_STAGING = ".*.tmp"
_COMPLETE = ".done.tmp"
_OBSOLETE = ".obsolete"
_MOST_OBSOLETE = 1 << 16  # bytes


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path on which `path`'s new content is to be written.

    It replaces `path` when the context ends, and vanishes when the context fails. Folders above `path` are made.

    Raises:
        OutputError: the file cannot be written.
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
    """A staging folder whose files appear in `folder` together when the context ends, or not at all.

    Whatever writes a file or a folder atomically, `Bilm.save` for example, can write into it. Other files of `folder`
    stay as they are. When the process is killed while files take their places, the next `atomic_files` or `atomic_path`
    in the same folder finishes what was begun, and so does `check_settled`.

    Args:
        folder: where the files go; made if there is none.
        obsolete: names of files of an older result that are removed when the new ones appear.

    Raises:
        OutputError: a file cannot be written.
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
    """Check before reading several files of `folder` that they belong together; finish what a killed writer began.

    Raises:
        InputError: another process is putting new files in their places, or was killed at it and is another user's.
    """
    if any(folder.glob(f".*{_COMPLETE}")):
        recover(folder)
        if any(folder.glob(f".*{_COMPLETE}")):
            raise InputError(f"{folder}: found files that are being replaced, expected a folder that nobody writes to")


def replace_folder(staged: Path, folder: Path) -> None:
    """Give a staging folder its name, in place of what has it; the disk holds all of it before."""
    for path in staged.rglob("*"):
        _sync(path)
    _sync(staged)
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    if folder.exists():  # which the next writer in the same place removes, if this one is killed
        folder.rename(old := staged.with_name(f".{_cut(folder.name)}.{uuid.uuid4().hex[:8]}.tmp"))
        staged.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        staged.rename(folder)
    _sync(folder.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder whose content is worth nothing without all of it.

    It gets the name of a temporary one first, so that the next writer beside it finishes what is begun here.
    """
    doomed = folder.with_name(f".{_cut(folder.name)}.{uuid.uuid4().hex[:8]}.tmp")
    with output_errors(folder):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def recover(folder: Path) -> None:
    """Finish or remove what this user's killed writers left in `folder`; those that still run are not touched."""
    for left in folder.glob(_STAGING):
        with contextlib.suppress(OSError):
            if not left.is_dir() or left.is_symlink():
                continue
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_uid != os.geteuid():  # a stranger's files must not replace anybody's
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
    """Write a UTF-8 file, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file, indented, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextlib.contextmanager
def staging(parent: Path, name: str) -> Iterator[Path]:
    """A hidden folder in `parent` for what will be called `name`, gone when the context ends; its errors are raw.

    `parent` is made if there is none. What killed writers left in it is cleared up first.
    """
    parent.mkdir(parents=True, exist_ok=True)
    recover(parent)
    with scratch(parent, name) as folder:
        yield folder


@contextlib.contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """As `staging`, and leaves to others what killed writers left. Unlike those of `tempfile`, a group can share it."""
    folder, descriptor = _made_and_locked(parent, name)
    try:
        yield folder
    except InputError as error:
        raise _of_final_place(error, folder) from error.__cause__
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _of_final_place(error: InputError, staging: Path) -> InputError:
    """The error with the final place of a file in `staging`, which is all that its reader knows of."""
    if isinstance(error, OutputError) and error.path.is_relative_to(staging):
        return OutputError(staging.parent / error.path.relative_to(staging), error.error)
    return InputError(str(error).replace(str(staging), str(staging.parent))) if str(staging) in str(error) else error


def _made_and_locked(parent: Path, name: str) -> tuple[Path, int]:
    """A new staging folder and the descriptor that holds its lock; its name is short enough for any file system."""
    while True:
        folder = parent / f".{_cut(name)}.{uuid.uuid4().hex[:8]}.tmp"
        folder.mkdir()
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # another process took it for one that was left behind
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(folder.stat(), os.fstat(descriptor)):
                return folder, descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)


def _cut(name: str, most: int = 200) -> str:
    """As much of a name as fits; of one that is not UTF-8, what is."""
    return os.fsencode(name)[:most].decode(errors="ignore")


def _stays_within(complete: Path) -> bool:
    """Whether no file would go through a link to another place; a folder that was unpacked may be a stranger's."""
    folders = (path.relative_to(complete) for path in complete.rglob("*") if path.is_dir())
    return not any((complete.parent / folder).is_symlink() for folder in folders)


def _put_in_place(complete: Path) -> None:
    """Move the files of a complete staging folder to where they belong, and remove the folder."""
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
    """Those of files in a folder that are listed as obsolete; of a list that is not as written, what could be."""
    try:
        names = read_json(listed, "list of obsolete files", "their names", most=_MOST_OBSOLETE)
    except InputError:
        return ()
    return [name for name in names if isinstance(name, str) and _is_name(name)] if isinstance(names, list) else ()


def _is_name(name: str) -> bool:
    return "\0" not in name and name not in ("", ".", "..") and "/" not in name


def _sync(path: Path) -> None:
    """Have the disk hold a file's or a folder's content before it gets its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
