"""`elmo-mf upload`: an ELMo on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from elmo_mf.cli._terminal import echo


def upload(
    folder: Annotated[Path, Argument(help="Folder that compress, shrink, convert or pretrain wrote.")],
    repository: Annotated[
        str, Argument(help="Repository on the Hub, as USER/NAME; it is created if it does not exist.")
    ],
    private: Annotated[bool, Option("--private", help="Create a repository that nobody else can see.")] = False,
    revision: Annotated[
        str | None, Option(help="Branch to upload to, which is created if it does not exist; main by default.")
    ] = None,
    message: Annotated[str | None, Option(help="Message of the commit.")] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Check the folder and list what would be uploaded, and stop.")
    ] = False,
) -> None:
    """Upload an ELMo to the Hugging Face Hub, with its model card as the README.

    Before anything is sent, the files are read as those of an ELMo. Uploads options.json, weights.hdf5 and the card;
    the softmax and the vocabulary, report.json and pretrain.json, if they are there; and nothing else. The token is
    read from HF_TOKEN or from `hf auth login`. Requires pip install 'elmo-mf[hub]'.

    Wherever elmo-mf takes options.json or a folder with all files, hf://USER/NAME is the uploaded ELMo, and
    hf://USER/NAME@REVISION another revision of it.

    Examples:

    \b
      elmo-mf upload small user/small-elmo --dry-run
      elmo-mf upload small user/small-elmo --private
      elmo-mf upload small user/small-elmo --revision rank-64 --message "Rank 64"
    """
    from elmo_mf.hub import check_repository, files_to_upload, upload_files

    check_repository(repository)
    files = files_to_upload(folder)
    sizes = {name: path.stat().st_size / 1e6 for name, path in files.items()}
    if dry_run:
        for name, path in files.items():
            echo(f"would upload {path} as {name} ({sizes[name]:.2f} MB)")
        return
    echo(f"uploading {len(files)} files ({sum(sizes.values()):.2f} MB)")
    url = upload_files(files, repository, private, revision, message)
    echo(f"uploaded {folder} to {url}; hf://{repository}{f'@{revision}' if revision else ''} is its address")
