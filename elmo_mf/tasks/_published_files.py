"""Published files that a sweep reads: detection of missing ones and checks of downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from elmo_mf.bilm import BilmOptions, read_weights
from elmo_mf.errors import InputError
from elmo_mf.fetch import CATALOGUES, LOCK, Kind, Source
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import load_task

_MOST_LINE = 100_000  # characters


@dataclass(frozen=True)
class PublishedFiles:
    """Entry of the catalogue and the folder for its files.

    Attributes:
        kind: Kind of the entry.
        name: Its name.
        folder: Folder of its files.
    """

    kind: Kind
    name: str
    folder: Path

    @property
    def sources(self) -> tuple[Source, ...]:
        """Downloads of the entry; none for an unknown name."""
        return CATALOGUES[self.kind].get(self.name, ())

    @property
    def paths(self) -> set[Path]:
        """Paths of the files in the folder."""
        return {self.folder / name for source in self.sources for name in source.files.values()}

    @property
    def is_missing(self) -> bool:
        """Whether files are missing and any existing ones come from `elmo-mf fetch`.

        Files from other sources are never replaced.
        """
        existing = [path for path in self.paths if path.exists()]
        return len(existing) < len(self.paths) and (not existing or (self.folder / LOCK).exists())


def missing_files(spec: SweepSpec) -> list[PublishedFiles]:
    """Return the ELMo, task data and word vectors of a sweep that are missing and can be downloaded.

    Files are recognized by the names that `elmo-mf fetch` gives them, such as `original/options.json` and
    `original/weights.hdf5` for the original ELMo, or `glove.6B.100d.txt` for word vectors.
    """
    return [entry for entry in dict.fromkeys(_entries(spec)) if entry.is_missing]


def absent_data(spec: SweepSpec) -> list[PublishedFiles]:
    """Return the task data of a sweep that cannot be downloaded and have no folder."""
    return [
        entry
        for entry in dict.fromkeys(_entries(spec))
        if entry.kind == "data" and not entry.sources and not entry.folder.exists()
    ]


def _entries(spec: SweepSpec) -> Iterator[PublishedFiles]:
    options, weights = Path(spec.options), Path(spec.weights)
    elmo = PublishedFiles("weights", weights.parent.name, weights.parent)
    if {options, weights} == elmo.paths:
        yield elmo
    for name in spec.tasks:
        yield PublishedFiles("data", load_task(name).data_name, spec.data_of(load_task(name)))
        words = spec.glove_of(name)
        if words is not None and spec.preset != "demo":
            path = Path(words)
            yield PublishedFiles("words", path.name.removesuffix(".txt"), path.parent)


def content_check(kind: Kind, name: str) -> Callable[[Path], None]:
    """Return a function that checks the files of a catalogue entry in a folder.

    The function raises `InputError` if a file cannot be read or its content does not match its name.
    """

    def check_weights(folder: Path) -> None:
        read_weights(folder / "weights.hdf5", BilmOptions.from_file(folder / "options.json"))

    def check_data(folder: Path) -> None:
        task = load_task(name)
        for file in task.files.values():
            task.format.read(folder / file)

    def check_words(folder: Path) -> None:
        path = folder / f"{name}.txt"
        with open(path, encoding="utf-8", errors="replace") as file:
            columns = len(file.readline(_MOST_LINE).split(" ")) - 1
        if f".{columns}d" not in path.name:
            raise InputError(path.name, f"found {columns} numbers per word, expected those of {name}")

    checks: dict[Kind, Callable[[Path], None]] = {"weights": check_weights, "data": check_data, "words": check_words}
    return checks[kind]
