"""Compiled code on disk, so that a program that starts again need not wait for the compiler.

Each file contains the code of one kernel. Its name is a digest of everything that the code depends on: the
configuration, the files that emit the code, the release of LLVM and the processor. Code that others could have written
is never loaded. If the folder cannot be used, the code is compiled in every process.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm

from elmo_mf.io import OutputError, atomic_path

_DIGEST_BYTES = hashlib.sha256().digest_size


def folder() -> Path | None:
    """Return where compiled code is kept: `ELMO_MF_CACHE`, or the user's cache folder; None if there is neither.

    An empty `ELMO_MF_CACHE` means that none is kept.
    """
    chosen = os.environ.get("ELMO_MF_CACHE")
    if chosen is not None:
        return Path(chosen, "kernels") if chosen else None
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "elmo-mf", "kernels")
    except RuntimeError:
        return None


def cached_code(config: str, processor: str, compile_code: Callable[[], bytes]) -> bytes:
    """Return the code of a kernel from disk, or compile it and keep it there.

    Args:
        config: What the code depends on, other than the emitter and the processor.
        processor: The processor and the features that the code is compiled for.
        compile_code: Returns the code, as an object file.
    """
    where = folder()
    if where is None:
        return compile_code()
    key = "\n".join([_emitter(), processor, config])
    file = where / f"{hashlib.sha256(key.encode()).hexdigest()}.o"
    code = _read(file)
    if code is None:
        code = compile_code()
        _write(file, code)
    return code


@cache
def _emitter() -> str:
    """Return a digest of the files that emit code, and of LLVM."""
    digest = hashlib.sha256(f"{llvmlite.__version__} {llvm.llvm_version_info}".encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _read(file: Path) -> bytes | None:
    """Return a file's code; None if there is none, if it is incomplete, or if others could have written it."""
    try:
        if not (_is_private(file.parent) and _is_private(file)):
            return None
        content = file.read_bytes()
    except OSError:
        return None
    digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(file: Path, code: bytes) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            temporary.write_bytes(hashlib.sha256(code).digest() + code)
            temporary.chmod(0o600)
    except (OSError, OutputError):
        return


def _is_private(path: Path) -> bool:
    """Return whether a path belongs to this user, and only they can write to it."""
    found = path.lstat()
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
