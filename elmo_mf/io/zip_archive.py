"""Find and extract single files of untrusted zip archives, within bounds on their place and size."""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elmo_mf.errors import InputError, absent, one_line
from elmo_mf.io._output import output_errors
from elmo_mf.io.reading import is_regular, open_regular

_MOST_GROWTH = 1100  # ratio of compression; that of deflate is at most 1032
_MOST_NAMES = 10_000
_SIGNATURE = b"PK\3\4"
_BLOCK = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,  # a compression method that Python does not support
    RuntimeError,
    ValueError,
    OSError,
    OverflowError,
    MemoryError,
)


def is_zip(path: Path) -> bool:
    """Return whether a regular file begins as a zip archive with files does."""
    if not is_regular(path):
        return False
    with open_regular(path, "file", "a file that can be read") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def names(archive: Path) -> list[str]:
    """Return the names of the files in a zip archive, without folders.

    Raises:
        InputError: The file is not a zip archive, or has too many files.
    """
    with _opened(archive) as opened:
        infos = opened.infolist()
    if len(infos) > _MOST_NAMES:
        raise InputError(archive, f"found {len(infos):,} files, expected at most {_MOST_NAMES:,}")
    return [info.filename for info in infos if not info.is_dir()]


def extract(archive: Path, member: str, target: Path, most_bytes: int = 8_000_000_000) -> None:
    """Extract a member of a zip archive to `target`; no path is taken from the archive.

    Args:
        archive: The zip file.
        member: Name of the file in it.
        target: File to write.
        most_bytes: Maximum size of the file.

    Raises:
        InputError: The file is not a zip archive; the member is missing or occurs more than once; or it is damaged,
            encrypted, not a regular file, or too large.
        OutputError: `target` cannot be written.
    """
    with output_errors(target), open(target, "wb") as file:
        for block in _blocks(archive, member, most_bytes):
            file.write(block)


def _blocks(archive: Path, member: str, most_bytes: int) -> Iterator[bytes]:
    with _opened(archive) as opened, opened.open(_checked(archive, opened, member, most_bytes)) as source:
        while block := source.read(_BLOCK):  # zipfile stops at the size that was checked
            yield block


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    with open_regular(archive, "archive", "a zip file") as raw:
        try:
            with zipfile.ZipFile(raw) as opened:
                yield opened
        except InputError:
            raise
        except _DAMAGE as error:
            raise InputError(archive, f"found a damaged archive ({one_line(error)}), expected a zip file") from None


def _checked(archive: Path, opened: zipfile.ZipFile, member: str, most_bytes: int) -> zipfile.ZipInfo:
    """Return the archive's entry of a member after checking that it is safe to read."""
    entries = [info for info in opened.infolist() if info.filename == member]
    if not entries:
        raise InputError(archive, member, absent("a file in the archive"))
    (info, *others) = entries
    most = min(most_bytes, info.compress_size * _MOST_GROWTH)
    if others:
        raise InputError(archive, f"found {len(entries)} files {member}, expected one")
    if info.flag_bits & 1:
        raise InputError(archive, member, "found an encrypted file, expected a plain one")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise InputError(archive, member, "found something that is not a regular file, expected one")
    if info.file_size > most:
        raise InputError(archive, member, f"found {info.file_size:,} bytes, expected at most {most:,}")
    return info
