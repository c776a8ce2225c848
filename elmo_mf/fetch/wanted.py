"""What a sweep reads, has not got, and could have from where it is published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elmo_mf.fetch.catalogue import CATALOGUES, Kind, Source
from elmo_mf.fetch.fetch import LOCK
from elmo_mf.tasks.config import load_task
from elmo_mf.tasks.spec import SweepSpec


@dataclass(frozen=True)
class Wanted:
    """An entry of the catalogue, and the folder where its files should be."""

    kind: Kind
    name: str
    folder: Path

    @property
    def sources(self) -> tuple[Source, ...]:
        return CATALOGUES[self.kind].get(self.name, ())

    @property
    def files(self) -> set[Path]:
        return {self.folder / name for source in self.sources for name in source.files.values()}

    @property
    def missing(self) -> bool:
        """Whether files are missing and none is there that is not from here and would be replaced."""
        there = [path for path in self.files if path.exists()]
        return len(there) < len(self.files) and (not there or (self.folder / LOCK).exists())


def wanted(spec: SweepSpec) -> list[Wanted]:
    """Of the ELMo, the tasks' data and the word vectors of a sweep, what is published and is not there.

    Names say what files should be, those that `elmo-mf fetch` gives: `original/options.json` and
    `original/weights.hdf5` are the original ELMo, `glove.6B.100d.txt` is those word vectors.
    """
    return [one for one in dict.fromkeys(_named(spec)) if one.missing]


def _named(spec: SweepSpec) -> Iterator[Wanted]:
    options, weights = Path(spec.options), Path(spec.weights)
    elmo = Wanted("weights", weights.parent.name, weights.parent)
    if {options, weights} == elmo.files:
        yield elmo
    for name in spec.tasks:
        yield Wanted("data", name, spec.data_of(load_task(name)))
        words = spec.glove_of(name)
        if words is not None and spec.preset == "paper":
            path = Path(words)
            yield Wanted("words", path.name.removesuffix(".txt"), path.parent)
