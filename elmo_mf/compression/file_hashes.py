"""Hashes of what a compression depends on: its settings, and the content of the files that it names."""

from __future__ import annotations

from typing import Any

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.errors import InputError
from elmo_mf.io import is_regular
from elmo_mf.provenance import regular_hash
from elmo_mf.records.compression import Compression


def with_file_hashes(compression: Compression) -> Compression:
    """Return a compression with the SHA-256 of their content in place of the paths of files.

    Raises:
        InputError: A file does not exist or cannot be read.
    """
    changes: dict[str, Any] = {
        field: _hash(path, field)
        for field in ("calibration", "gradients")
        if (path := getattr(compression, field)) is not None
    }
    if compression.distill is not None:
        text = _hash(compression.distill.text, "distill.text")
        changes["distill"] = compression.distill.model_copy(update={"text": text})
    return compression.model_copy(update=changes)


def with_history(options: BilmOptions, compression: Compression) -> BilmOptions:
    """Return options whose history has a compression more, with the SHA-256 of files in place of their paths.

    Args:
        options: Options of the checkpoint before the compression.
        compression: What was done to its weights.

    Raises:
        InputError: A file does not exist or cannot be read.
    """
    return options.followed_by(with_file_hashes(compression).to_dict())


def _hash(path: str, field: str) -> str:
    if not is_regular(path):
        raise InputError(f"compression.{field}", f"found {path}, expected a file")
    return regular_hash(path, f"file of compression.{field}", "one that can be read")
