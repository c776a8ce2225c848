"""Upload of an ELMo to the Hugging Face Hub; `elmo_mf.addresses` downloads from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from elmo_mf import __version__
from elmo_mf.bilm.checkpoint import stored_weights
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.errors import InputError, absent, check_installed, missing, one_line, without_breaks
from elmo_mf.io import is_regular
from elmo_mf.progress import stage

_OPTIONS, _WEIGHTS, _SOFTMAX, _VOCABULARY = "options.json", "weights.hdf5", "softmax.hdf5", "vocabulary.txt"
_CARD, _README = "MODEL_CARD.md", "README.md"  # its names here and on the Hub
_REQUIRED = (_OPTIONS, _WEIGHTS, _CARD)
_OPTIONAL = (_SOFTMAX, _VOCABULARY, "report.json", "pretrain.json")
_REASONS = {
    401: "the Hub rejects the token, expected a valid one, in HF_TOKEN or from `hf auth login`",
    403: "the token does not allow this, expected one with write access",
    404: "the Hub has no such repository or revision, or the token may not see it",
}


def files_to_upload(folder: Path) -> dict[str, Path]:
    """Find the files of an ELMo that `compress`, `shrink`, `convert` or `pretrain` wrote, and check that they load.

    Args:
        folder: The folder. Other files in it, such as checkpoints of a training, are left out.

    Returns:
        The files by their names in the repository, in which the model card is the README.

    Raises:
        InputError: A file is missing, or does not fit the others.
    """
    for name in _REQUIRED:
        if not is_regular(folder / name):
            raise missing(folder / name, "file", "a folder that compress, shrink, convert or pretrain wrote")
    options = BilmOptions.from_file(folder / _OPTIONS)
    with stage("checking the files", 1, "folder"):
        with stored_weights(folder / _WEIGHTS, options) as weights:
            for _ in chain([weights.token_layer], weights.lstms.values()):
                pass  # each part is read and checked when it is asked for
        if is_regular(folder / _SOFTMAX):
            _check_softmax(folder, options)
    there = [name for name in (*_REQUIRED, *_OPTIONAL) if is_regular(folder / name)]
    return {_README if name == _CARD else name: folder / name for name in there}


def _check_softmax(folder: Path, options: BilmOptions) -> None:
    from elmo_mf.pretrain import read_softmax

    words = len(Vocabulary.from_file(folder / _VOCABULARY))
    read_softmax(folder / _SOFTMAX, options.lstm.projection_dim, words)


def check_repository(repository: str) -> None:
    """Check the name of a repository, without the network.

    Raises:
        InputError: It is not that of a repository, or Hugging Face's client is not installed.
    """
    check_installed("huggingface_hub")
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
        valid = repository.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        raise InputError("REPOSITORY", f"found {repository!r}, expected USER/NAME, of letters, digits, -, _ and .")


def upload_elmo(
    folder: str | Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
) -> str:
    """Upload an ELMo to the Hugging Face Hub, in one commit, with its model card as the README.

    The token is the one of the variable `HF_TOKEN` or of `hf auth login`. The repository is created if it does not
    exist. Files that an earlier ELMo left there are replaced, or deleted if this one has no such files.

    Args:
        folder: Folder that `elmo-mf compress`, `shrink`, `convert` or `pretrain` wrote.
        repository: Name of the repository, such as `user/name`.
        private: Whether nobody else may see it. Defaults to False, which leaves an existing repository as it is.
        revision: Branch to upload to, which is created if it does not exist. Defaults to the main branch.
        message: Message of the commit. Defaults to one that names elmo-mf.

    Returns:
        URL of the commit.

    Raises:
        InputError: The folder is incomplete or does not load, the name is wrong, there is no token or the Hub refuses
            it, the Hub cannot be reached, or an existing repository is public where `private` is asked for.
    """
    check_repository(repository)
    return upload_files(files_to_upload(Path(folder)), repository, private, revision, message)


def upload_files(
    files: Mapping[str, Path], repository: str, private: bool, revision: str | None, message: str | None
) -> str:
    """Upload what `files_to_upload` has found; see `upload_elmo`."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    if get_token() is None:
        raise InputError("HF_TOKEN", absent("a token of the Hugging Face Hub, there or from `hf auth login`"))
    api = HfApi(library_name="elmo-mf", library_version=__version__)
    with _errors(repository, api.endpoint):
        api.create_repo(repository, private=private or None, exist_ok=True)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        info = api.model_info(repository, revision=revision)
        _check_private(repository, info, private)
        others = {one.rfilename for one in info.siblings or ()}.intersection(_OPTIONAL) - files.keys()
        commit = api.create_commit(
            repository,
            [
                *(CommitOperationAdd(name, str(path)) for name, path in files.items()),
                *map(CommitOperationDelete, sorted(others)),
            ],
            commit_message=message or f"Upload an ELMo with elmo-mf {__version__}",
            revision=revision,
        )
    return str(commit.commit_url)


def _check_private(repository: str, info: Any, private: bool) -> None:
    if private and not info.private:
        raise InputError(repository, "found a public repository, expected a new or a private one")


@contextmanager
def _errors(repository: str, endpoint: str) -> Iterator[None]:
    """Report the errors of Hugging Face's client in one line."""
    from httpx import HTTPError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except InputError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        reason = _REASONS.get(status, f"the Hub answered {status}")
        details = f" ({without_breaks(error.server_message, 200)})" if error.server_message else ""
        raise InputError(repository, f"{reason}{details}") from None
    except (HTTPError, OSError, ValueError) as error:
        raise InputError(repository, f"cannot be uploaded to {endpoint} ({one_line(error)})") from None
