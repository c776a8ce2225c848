"""Files that are named by a path or by an address, as AllenNLP's `cached_path` takes them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from elmo_mf.errors import InputError, one_line

_ADDRESS = re.compile(r"(https?|s3|gs|hf):/+(.+)")


def expanded(path: str | Path) -> str:
    """A path without a leading `~` or `file://`; addresses stay as they are, for files that strangers write."""
    text = str(path)
    if text.startswith("file:/"):
        return expanded(text.removeprefix("file:").removeprefix("//"))
    try:
        return os.path.expanduser(text)  # noqa: PTH111 - Path raises where the user is unknown
    except ValueError:  # a null character or half of a surrogate pair in the user's name
        return text


def local_path(path: str | Path) -> str:
    """The path on this machine of a file that may be given by an address.

    A leading `~` is the home folder and `file://` may stand before a path. Only addresses (`http`, `https`, `s3`, `gs`
    and `hf`) import AllenNLP, which downloads them into its cache. A path need not exist.

    Raises:
        InputError: the address cannot be read.
    """
    address = _ADDRESS.fullmatch(str(path))
    if address is None:
        return expanded(path)
    from allennlp.common.file_utils import cached_path

    scheme, rest = address.groups()  # in a Path one of the two slashes is gone
    try:
        return str(cached_path(f"{scheme}://{rest}"))
    except Exception as error:  # of whatever library reads such addresses
        raise InputError(f"{path}: cannot be fetched ({one_line(error)}), expected an address of a file") from None
