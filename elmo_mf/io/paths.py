"""Resolve paths and URLs of input files, as AllenNLP's `cached_path` does."""

from __future__ import annotations

import os
import re
from pathlib import Path

from elmo_mf.errors import InputError, one_line

_ADDRESS = re.compile(r"(https?|s3|gs|hf):/+(.+)")


def expanded(path: str | Path) -> str:
    """Expand a leading `~` and remove a leading `file://`; other URLs are returned unchanged."""
    text = str(path)
    if text.startswith("file:/"):
        return expanded(text.removeprefix("file:").removeprefix("//"))
    try:
        return os.path.expanduser(text)  # noqa: PTH111 - Path raises where the user is unknown
    except ValueError:  # a null character or half of a surrogate pair in the user's name
        return text


def local_path(path: str | Path) -> str:
    """Return the local path of a file that is given by a path or a URL.

    A leading `~` and `file://` are expanded; the path need not exist. URLs (`http`, `https`, `s3`, `gs` and `hf`) are
    downloaded into AllenNLP's cache; AllenNLP is imported for these only.

    Raises:
        InputError: The URL cannot be read.
    """
    address = _ADDRESS.fullmatch(str(path))
    if address is None:
        return expanded(path)
    from allennlp.common.file_utils import cached_path

    scheme, location = address.groups()  # a Path keeps only one of the two slashes
    try:
        return str(cached_path(f"{scheme}://{location}"))
    except Exception as error:  # any error of the library for this kind of URL
        raise InputError(f"{path}: cannot be fetched ({one_line(error)}), expected the URL of a file") from None
