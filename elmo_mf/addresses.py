"""Resolve paths and URLs of input files, as AllenNLP's `cached_path` does."""

from __future__ import annotations

import re
from pathlib import Path

from elmo_mf.errors import InputError, one_line
from elmo_mf.io.paths import expanded

_ADDRESS = re.compile(r"(https?|s3|gs|hf):/+(.+)")


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
