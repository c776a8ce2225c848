"""`elmo-mf fetch`: published weights and data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elmo_mf.cli import _completion
from elmo_mf.cli._option_names import options_named
from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError, any_of, one_of
from elmo_mf.io import check_folder

if TYPE_CHECKING:
    from elmo_mf.fetch import Kind, Source


def fetch(
    kind: str = typer.Argument(
        autocompletion=_completion.complete_one(_completion.kinds), help="weights, data, or words."
    ),
    name: str = typer.Argument(
        autocompletion=_completion.published,
        help="small, medium, original or original-5.5b; sst, snli or squad; glove.840B.300d or glove.6B.100d.",
    ),
    out: Path | None = typer.Option(
        None, "--out", "--output", help="Output folder; KIND/NAME by default, words/ for words."
    ),
    mirror: str | None = typer.Option(None, help="URL or folder with the files under their own names."),
    force: Force = False,
) -> None:
    """Download ELMo's published weights, a task's data, or GloVe, from their authors' sites.

    Data and words are checked against published hashes. None are published for ELMo's weights: the first
    download is trusted, its hashes are kept in fetch.lock next to the files, and later downloads must match.
    The same command resumes an interrupted download.
    Respect the data's licences; elmo-mf tasks lists them.

    Examples:

    \b
      elmo-mf fetch weights original
      elmo-mf fetch data snli
      elmo-mf fetch data sst --out corpora/sst --mirror /mnt/downloads
    """
    from elmo_mf.fetch import CATALOGUES, foreign_files

    if kind not in CATALOGUES:
        raise InputError("KIND", f"found {kind!r}, {one_of(kind, CATALOGUES)}")
    if name not in CATALOGUES[kind]:
        raise InputError("NAME", f"found {name!r}, {any_of(name, CATALOGUES[kind])}")
    folder = out or (Path(kind) if kind == "words" else Path(kind) / name)
    check_folder("--out", folder)
    check_unused(foreign_files(CATALOGUES[kind][name], folder), force)
    with options_named({"mirror": "--mirror"}):
        new = download_entry(kind, name, folder, mirror)
    if not new:
        echo(f"{folder}: all files are present")


def download_entry(kind: Kind, name: str, folder: Path, mirror: str | None = None) -> list[Path]:
    """Fetch an entry of the catalogue into a folder, printing what was written.

    Args:
        kind: Kind of the entry.
        name: Its name.
        folder: The folder.
        mirror: Address or folder that has the files under their own names; None for the published addresses.

    Returns:
        The new files.
    """
    from elmo_mf.fetch import CATALOGUES, LOCK
    from elmo_mf.fetch import fetch as fetch_into
    from elmo_mf.tasks import content_check

    trusted: list[Source] = []
    new = fetch_into(CATALOGUES[kind][name], folder, content_check(kind, name), mirror, trusted.append)
    for path in new:
        echo(f"wrote {path}")
    for source in trusted:
        echo(
            f"elmo-mf: warning: {source.name}: not verified, because no SHA-256 is published for it; "
            f"the hash is now in {folder / LOCK}, and later downloads must match it",
            err=True,
        )
    return new
