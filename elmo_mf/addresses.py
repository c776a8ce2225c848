"""Resolve paths and URLs of input files, as AllenNLP's `cached_path` does."""

from __future__ import annotations

import re
from pathlib import Path

from elmo_mf.errors import InputError, check_installed, one_line
from elmo_mf.io.paths import expanded
from elmo_mf.resources import embedded

_ADDRESS = re.compile(r"(https?|s3|gs|hf):/+(.+)")
_ON_THE_HUB = re.compile(r"([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?")
_OF_AN_ELMO = ["*.json", "*.hdf5", "*.h5", "vocab*", "*.md"]  # files of a repository on the Hub


def local_path(path: str | Path) -> str:
    """Return the local path of a file that is given by a path or a URL.

    A leading `~` and `file://` are expanded; the path need not exist. The embedded ELMos `weights/demo`,
    `weights/base`, `weights/books` and `weights/quarter` are found from any folder. URLs (`http`, `https`, `s3` and
    `gs`) are downloaded into AllenNLP's cache; AllenNLP is imported for these only. From the Hugging Face Hub,
    `hf://USER/NAME/FILE` is a file and `hf://USER/NAME` a folder with the files of an ELMo, in the client's own cache;
    `@REVISION` may follow NAME.

    Raises:
        InputError: The URL cannot be read.
    """
    address = _ADDRESS.fullmatch(str(path))
    if address is None:
        return embedded(expanded(path))
    scheme, location = address.groups()  # a Path keeps only one of the two slashes
    if scheme == "hf":
        return _from_the_hub(path, location)
    from allennlp.common.file_utils import cached_path

    try:
        return str(cached_path(f"{scheme}://{location}"))
    except Exception as error:  # any error of the library for this kind of URL
        raise InputError(path, f"cannot be fetched ({one_line(error)}), expected the URL of a file") from None


def _from_the_hub(path: str | Path, location: str) -> str:
    match = _ON_THE_HUB.fullmatch(location)
    if match is None:
        raise InputError(path, "found no repository, expected hf://USER/NAME, optionally with @REVISION and /FILE")
    check_installed("huggingface_hub")
    from huggingface_hub import hf_hub_download, snapshot_download

    repository, revision, file = match.groups()
    try:
        if file is not None:
            return str(hf_hub_download(repository, file, revision=revision))
        folder = str(snapshot_download(repository, revision=revision, allow_patterns=_OF_AN_ELMO))
    except Exception as error:  # any error of the client or of its connection
        expected = "the address of a file or of an ELMo on the Hub"
        raise InputError(path, f"cannot be fetched ({one_line(error)}), expected {expected}") from None
    if not Path(folder).is_dir():
        raise InputError(path, "found a repository without the files of an ELMo, expected one with them")
    return folder
