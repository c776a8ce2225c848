"""What downloads must pass before they are put in place: they are read as those who need them do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.fetch.catalogue import Kind


def check(kind: Kind, name: str) -> Callable[[Path], None]:
    """Reads the complete files in a folder; raises InputError if they are not what they should be."""

    def weights(folder: Path) -> None:
        from elmo_mf.bilm import BilmOptions, read_weights

        read_weights(folder / "weights.hdf5", BilmOptions.from_file(folder / "options.json"))

    def data(folder: Path) -> None:
        from elmo_mf.tasks.config import load_task

        task = load_task(name)
        for file in task.files.values():
            task.format.read(folder / file)

    def words(folder: Path) -> None:
        path = folder / f"{name}.txt"
        with open(path, encoding="utf-8", errors="replace") as file:
            columns = len(file.readline(100_000).split(" ")) - 1
        if f".{columns}d" not in path.name:
            raise InputError(f"{path.name}: found {columns} numbers a word, expected those of {name}")

    checks: dict[Kind, Callable[[Path], None]] = {"weights": weights, "data": data, "words": words}
    return checks[kind]
