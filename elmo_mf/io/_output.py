"""Check output paths before the work, reserve them for one process, and report write errors in one line."""

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
        path: The file or folder; also an attribute.
        error: The system's error; also an attribute.
    """

    def __init__(self, path: str | Path, error: BaseException) -> None:
        self.path, self.error = Path(path), error
        super().__init__(path, f"cannot be written ({_reason(error)})")

    def __reduce__(self) -> tuple[type[OutputError], tuple[Path, BaseException]]:
        return type(self), (self.path, self.error)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return _FULL.get(error.errno, os.strerror(error.errno))
    return one_line(error)


@contextlib.contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Convert an `OSError` of the context to an `OutputError` for `path`, unless it names a file in another place."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str) and not _is_near(Path(error.filename), Path(path)):
            raise
        raise OutputError(path, error) from error


def _is_near(other: Path, path: Path) -> bool:
    """Return whether `other` is `path`, a parent of it, or in the same folder."""
    other, folder = other.absolute(), path.absolute().parent
    return other.is_relative_to(folder) or folder.is_relative_to(other)


def check_output(option: str, path: Path, inputs: Iterable[str | Path | None] = ()) -> None:
    """Check before the work that a file can be written and is not an input of the command.

    Args:
        option: Command-line option or argument, for the message.
        path: The file; its folder need not exist yet.
        inputs: Files that the command reads, None for those that were not given.

    Raises:
        InputError: `path` is a folder, a device, a pipe, or one of the inputs under any name; the name is invalid; or
            the nearest existing parent folder is not writable.
    """
    _check_name(option, path)
    if path.is_dir():
        raise InputError(option, f"found the folder {path}, expected the name of a file")
    if _is_special(path):
        raise InputError(option, f"found {path}, which is a device or a pipe, expected the name of a file")
    _check_not_among(option, path, inputs)
    _check_writable(option, path, path.absolute().parent)


def check_folder(
    option: str, folder: Path, names: Iterable[str] = (), inputs: Iterable[str | Path | None] = ()
) -> None:
    """Check before the work that files can be written into a folder without replacing an input of the command.

    Args:
        option: Command-line option or argument, for the message.
        folder: The folder; it need not exist yet.
        names: Names of the files that will be written.
        inputs: Files that the command reads, None for those that were not given.

    Raises:
        InputError: `folder` is a file; one of the names is a folder or an input; the name is invalid; or the folder, or
            its nearest existing parent, is not writable.
    """
    _check_name(option, folder)
    check_no_file(option, folder)
    read = list(inputs)
    for name in names:
        _check_not_among(option, folder / name, read)
        if (folder / name).is_dir():
            raise InputError(option, f"found the folder {folder / name}, expected a file of that name or none")
    _check_writable(option, folder, folder.absolute())


def check_no_file(option: str, folder: Path) -> None:
    """Check that a folder, which need not exist, is not a file.

    Args:
        option: Command-line option or argument, for the message.
        folder: The folder.

    Raises:
        InputError: It is a file.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(option, f"found the file {folder}, expected a folder")


def check_space(option: str, path: Path, size: int) -> None:
    """Check before the work that the disk has enough free space.

    Args:
        option: Command-line option or argument, for the message.
        path: File or folder that will be written; neither it nor its parent need exist yet.
        size: Lower bound of the bytes that will be written.

    Raises:
        InputError: Fewer bytes are free.
    """
    folder = path.absolute()
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # a file system that does not report it
        return
    if free < size:
        raise InputError(
            option,
            f"found {free / 1e6:,.1f} MB free on the disk of {path}, expected {size / 1e6:,.1f} MB for the result",
        )


def _check_name(option: str, path: Path) -> None:
    """Check that the file system accepts a name; it may be too long."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise InputError(option, f"found {path}, expected a valid name ({_reason(error)})") from None


def _is_special(path: Path) -> bool:
    """Return whether a path is a device, a pipe, or a link in /dev or /proc such as /dev/stdout."""
    if path.is_symlink() and path.absolute().parts[1:2] in (("dev",), ("proc",)):
        return True
    return path.exists() and not path.is_file()


def _check_not_among(option: str, path: Path, inputs: Iterable[str | Path | None]) -> None:
    for given in inputs:
        if given is not None and _is_same(path, Path(given)):
            raise InputError(option, f"found {path}, which would replace the input {given}, expected another path")


def _is_same(path: Path, other: Path) -> bool:
    """Return whether two names lead to one file, through links of any kind."""
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of them does not exist
        return False


def _check_writable(option: str, path: Path, folder: Path) -> None:
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(option, f"found {path} below {folder}, which is a file, expected a folder")
    # access() is not enough: it succeeds for root even on file systems that reject all writes, such as /proc
    probe = folder / f".{os.getpid()}.probe"
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise InputError(
            option, f"found {path}, but {folder} cannot be written to ({_reason(error)}), expected a writable folder"
        ) from None
    os.close(descriptor)
    probe.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(folder: Path, what: str) -> Iterator[None]:
    """Reserve a folder for this process during the context.

    The folder is created if it does not exist, and removed at the end if it is empty. The lock is on the folder itself;
    the kernel releases it when the process ends for any reason.

    Args:
        folder: The folder.
        what: What is written, for the message, such as `the output out.hdf5`.

    Raises:
        InputError: Another process has reserved it.
        OutputError: The folder cannot be created.
    """
    descriptor, taken = _opened(folder), True
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = not folder.is_dir() or not os.path.samestat(folder.stat(), os.fstat(descriptor))
        except BlockingIOError:
            pass
        if taken:
            raise InputError(folder, f"another process is writing {what}; wait for it or choose another name")
        yield
    finally:
        with contextlib.suppress(OSError):
            if not taken:  # another process may have just created the empty folder
                folder.rmdir()
        os.close(descriptor)


def _opened(folder: Path) -> int:
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
