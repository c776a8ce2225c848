"""`elmo-mf fetch`: published weights and data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elmo_mf.cli.progress import progress_bar
from elmo_mf.errors import InputError, any_of, one_of

if TYPE_CHECKING:
    from elmo_mf.fetch.catalogue import Source
    from elmo_mf.fetch.download import Advance


def fetch(
    kind: str = typer.Argument(help="weights, data, or words."),
    name: str = typer.Argument(
        help="small, medium, original or original-5.5b; sst, snli or squad; glove.840B.300d or glove.6B.100d."
    ),
    out: Path | None = typer.Option(None, help="Folder; KIND/NAME by default, words/ for words."),
    mirror: str | None = typer.Option(None, help="Address or folder that has the files under their own names."),
) -> None:
    """Download ELMo's published weights, a task's data, or GloVe, from where their authors publish them.

    Downloads are checked against known hashes. Where none are published the first download's are kept in
    fetch.lock beside the files, and later downloads must be the same. A download that was cut is gone on from.
    Mind the data's licences: elmo-mf tasks names them.

    Examples:

    \b
      elmo-mf fetch weights original
      elmo-mf fetch data snli
      elmo-mf fetch data sst --out corpora/sst --mirror /mnt/downloads
    """
    from elmo_mf.fetch.catalogue import DATA, WEIGHTS, WORDS
    from elmo_mf.fetch.fetch import fetch as put

    catalogues = {"weights": WEIGHTS, "data": DATA, "words": WORDS}
    if kind not in catalogues:
        raise InputError(f"KIND: found {kind!r}, {one_of(kind, catalogues)}")
    if name not in catalogues[kind]:
        raise InputError(f"NAME: found {name!r}, {any_of(name, catalogues[kind])}")
    folder = out or (Path(kind) if kind == "words" else Path(kind) / name)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out: found the file {folder}, expected a folder")
    with progress_bar() as bars:

        def advance(source: Source) -> Advance:
            row = bars.add_task(source.name, total=None)
            return lambda there, total: bars.update(row, completed=there, total=total)

        new = put(catalogues[kind][name], folder, _check(kind, name), mirror, advance)
    for path in new:
        typer.echo(f"wrote {path}")
    if not new:
        typer.echo(f"{folder}: all there")


def _check(kind: str, name: str) -> Callable[[Path], None]:
    """What the files must pass before they are put in place."""

    def weights(folder: Path) -> None:
        from elmo_mf.bilm import BilmOptions, read_weights

        read_weights(folder / "weights.hdf5", BilmOptions.from_file(folder / "options.json"))

    def data(folder: Path) -> None:
        from elmo_mf.harness.task import load_task

        task = load_task(name)
        for file in task.files.values():
            task.format.read(folder / file)

    def words(folder: Path) -> None:
        path = folder / f"{name}.txt"
        with open(path, encoding="utf-8", errors="replace") as file:
            columns = len(file.readline(100_000).split(" ")) - 1
        if f".{columns}d" not in path.name:
            raise InputError(f"{path.name}: found {columns} numbers a word, expected those of {name}")

    return {"weights": weights, "data": data, "words": words}[kind]
