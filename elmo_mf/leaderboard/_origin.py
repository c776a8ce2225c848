"""ELMos, data, machines and versions behind records, collected in one pass over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from elmo_mf.escape import code, markdown
from elmo_mf.leaderboard._machines import machine_text
from elmo_mf.records.record import Record


@dataclass
class Origin:
    """The origin of some records; each text once, in the order of the records. Texts of ELMos and data are Markdown.

    Attributes:
        count: Number of records.
        seconds: Duration of all runs.
        elmos: ELMos.
        data: Data sets.
        timed: Machines on which times were measured.
        scored: Machines on which scores were computed.
        versions: Versions by package.
    """

    count: int = 0
    seconds: float = 0.0
    elmos: dict[str, None] = field(default_factory=dict)
    data: dict[str, None] = field(default_factory=dict)
    timed: dict[str, None] = field(default_factory=dict)
    scored: dict[str, None] = field(default_factory=dict)
    versions: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Add a record."""
        self.count += 1
        self.seconds += record.seconds
        if record.elmo is not None:
            self.elmos[_elmo(record)] = None
        self.data[_data(record)] = None
        self.scored[machine_text(record.machine)] = None
        self.timed[machine_text(record.timing.machine)] = None
        for versions in (record.versions, record.timing.versions):
            for name, version in versions.items():
                self.versions.setdefault(name, {})[str(version)] = None

    @classmethod
    def of_all(cls, parts: Iterable[Origin]) -> Origin:
        """Combine the origins of several boards."""
        combined = cls()
        for part in parts:
            combined.count += part.count
            combined.seconds += part.seconds
            combined.elmos.update(part.elmos)
            combined.data.update(part.data)
            combined.timed.update(part.timed)
            combined.scored.update(part.scored)
            for package, versions in part.versions.items():
                combined.versions.setdefault(package, {}).update(versions)
        return combined

    def timed_on(self) -> str:
        """Return the machines on which times were measured, in Markdown."""
        return markdown("; ".join(self.timed))

    def lines(self) -> dict[str, str]:
        """Return the entries of a board's head by name, in Markdown."""
        scored = markdown("; ".join(self.scored))
        same = self.timed_on() == scored
        versions = ", ".join(f"{name} {' and '.join(numbers)}" for name, numbers in self.versions.items())
        return {
            "ELMo": "; ".join(self.elmos) or "none",
            "data": "; ".join(self.data),
            **({"machine": scored} if same else {"timed on": self.timed_on(), "scored on": scored}),
            "versions": markdown(versions),
        }


def _elmo(record: Record) -> str:
    elmo, files = record.elmo, record.run.elmo
    assert elmo is not None and files is not None
    size = f"{elmo.layers} layers, cell {elmo.cell}, projection {elmo.projection}"
    return f"{code(elmo.name)} ({size}, sha256 {markdown(files.weights[:12])})"


def _data(record: Record) -> str:
    if record.data == "demo":
        return "the demo data written for this project"
    return "real data, named at each table; the files' SHA-256 are in the records"
