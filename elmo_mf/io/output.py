"""Where results go: checked before the work, held by one process at a time, and with one-line errors when it fails."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from elmo_mf.errors import InputError, one_line

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}


class OutputError(InputError):
    """A result cannot be written; the message names the path and the reason.

    Args:
        path: what could not be written.
        error: the system's error; both are attributes too.
    """

    def __init__(self, path: str | Path, error: BaseException) -> None:
        self.path, self.error = Path(path), error
        super().__init__(f"{path}: cannot be written ({_reason(error)})")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return _FULL.get(error.errno, os.strerror(error.errno))
    return one_line(error)


@contextlib.contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Raise an `OSError` of the body as an `OutputError` that names `path`, unless it names a file elsewhere."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str) and not _is_near(Path(error.filename), Path(path)):
            raise
        raise OutputError(path, error) from error


def _is_near(found: Path, path: Path) -> bool:
    """Whether `found` is `path`, a folder above it, or lies in its folder."""
    found, folder = found.absolute(), path.absolute().parent
    return found.is_relative_to(folder) or folder.is_relative_to(found)


def check_output(option: str, path: Path, inputs: Iterable[str | Path | None] = ()) -> None:
    """Check before the work that a file can be written, and is none of the files that the command reads.

    Args:
        option: the command-line option or argument, for the message.
        path: the file; its folder need not exist yet.
        inputs: files that are read, None for those that were not given.

    Raises:
        InputError: `path` is a folder, a device, a pipe, or one of the inputs, by whatever name; no file can have such
            a name; or no folder above it can be written to.
    """
    _check_name(option, path)
    if path.is_dir():
        raise InputError(f"{option}: found the folder {path}, expected the name of a file")
    if _is_special(path):
        raise InputError(f"{option}: found {path}, which is a device or a pipe, expected the name of a file")
    _check_not_among(option, path, inputs)
    _check_writable(option, path, path.absolute().parent)


def check_folder(
    option: str, folder: Path, names: Iterable[str] = (), inputs: Iterable[str | Path | None] = ()
) -> None:
    """Check before the work that files can be written into a folder, and would replace none that the command reads.

    Args:
        option: the command-line option or argument, for the message.
        folder: need not exist yet.
        names: of the files that are written into it.
        inputs: files that are read, None for those that were not given.

    Raises:
        InputError: `folder` is a file; a name in it is that of a folder, or of one of the inputs, by whatever name; no
            folder can have such a name; or neither it nor the nearest folder above it can be written to.
    """
    _check_name(option, folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{option}: found the file {folder}, expected a folder")
    read = list(inputs)
    for name in names:
        _check_not_among(option, folder / name, read)
        if (folder / name).is_dir():
            raise InputError(f"{option}: found the folder {folder / name}, expected a file or nothing of that name")
    _check_writable(option, folder, folder.absolute())


def check_space(option: str, path: Path, size: int) -> None:
    """Check before the work that the disk has room for what it will write.

    Args:
        option: the command-line option or argument, for the message.
        path: a file or folder that will be written; neither it nor its folder need exist yet.
        size: bytes that will be written, at least.

    Raises:
        InputError: less is free.
    """
    folder = path.absolute()
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # a file system that does not say
        return
    if free < size:
        raise InputError(
            f"{option}: found {free / 1e6:,.1f} MB free on the disk of {path}, expected {size / 1e6:,.1f} MB for what "
            "will be written"
        )


def _check_name(option: str, path: Path) -> None:
    """That the system has no objection to a name, such as that it is too long."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise InputError(f"{option}: found {path}, expected a possible name ({_reason(error)})") from None


def _is_special(path: Path) -> bool:
    """Whether it is neither a file nor a link to one; the links of /dev, such as /dev/stdout, are the system's."""
    if path.is_symlink() and path.absolute().parts[1:2] in (("dev",), ("proc",)):
        return True
    return path.exists() and not path.is_file()


def _check_not_among(option: str, path: Path, inputs: Iterable[str | Path | None]) -> None:
    for given in inputs:
        if given is not None and _is_same(path, Path(given)):
            raise InputError(f"{option}: found {path}, which would replace the input {given}, expected another place")


def _is_same(path: Path, other: Path) -> bool:
    """Whether two names stand for one file, through links of any kind."""
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of them is not there
        return False


def _check_writable(option: str, path: Path, folder: Path) -> None:
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{option}: found {path} below {folder}, which is a file, expected a folder")
    # access() is not enough: root passes it on file systems that refuse everybody, such as /proc
    probe = folder / f".{os.getpid()}.probe"
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise InputError(
            f"{option}: found {path}, but {folder} cannot be written to ({_reason(error)}), expected a writable folder"
        ) from None
    os.close(descriptor)
    probe.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder`, which is made if there is none, so that no second process writes to it meanwhile.

    A folder that is empty in the end is removed. The lock is on the folder itself and is freed by the kernel however
    its holder ends.

    Args:
        folder: the folder.
        what: what is written, for the message, such as `the output out.hdf5`.

    Raises:
        InputError: another process holds it.
        OutputError: the folder cannot be made.
    """
    descriptor, taken = _opened(folder), True
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = not folder.is_dir() or not os.path.samestat(folder.stat(), os.fstat(descriptor))
        except BlockingIOError:
            pass
        if taken:
            raise InputError(
                f"{folder}: another process is writing {what}, expected to be the only one; wait for it or choose "
                "another name"
            )
        yield
    finally:
        with contextlib.suppress(OSError):
            if not taken:  # an empty folder may be of another process that has just made it
                folder.rmdir()
        os.close(descriptor)


def _opened(folder: Path) -> int:
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
