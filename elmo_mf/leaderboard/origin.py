"""What records were made of, with and on, gathered in one reading of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from elmo_mf.escape import code, markdown
from elmo_mf.leaderboard.machines import machine_text, timed_on
from elmo_mf.records.record import timed


@dataclass
class Origin:
    """Of some records, each thing once, in the order in which it is met; texts are Markdown."""

    count: int = 0
    seconds: float = 0.0
    elmos: dict[str, None] = field(default_factory=dict)
    data: dict[str, None] = field(default_factory=dict)
    timed: dict[str, None] = field(default_factory=dict)
    scored: dict[str, None] = field(default_factory=dict)
    versions: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """One record more."""
        self.count += 1
        self.seconds += record["seconds"]
        if record["elmo"] is not None:
            self.elmos[_elmo(record)] = None
        self.data[_data(record)] = None
        self.scored[machine_text(record["machine"])] = None
        self.timed[timed_on(record)] = None
        for versions in (record["versions"], timed(dict(record))["versions"]):
            for name, version in versions.items():
                self.versions.setdefault(name, {})[str(version)] = None

    @classmethod
    def of_all(cls, parts: Iterable[Origin]) -> Origin:
        """Of all records together."""
        made = cls()
        for part in parts:
            made.count += part.count
            made.seconds += part.seconds
            for name in ("elmos", "data", "timed", "scored"):
                getattr(made, name).update(getattr(part, name))
            for package, versions in part.versions.items():
                made.versions.setdefault(package, {}).update(versions)
        return made

    def timed_on(self) -> str:
        """The machines that times are from."""
        return markdown("; ".join(self.timed))

    def lines(self) -> dict[str, str]:
        """What the head of a board says, by name."""
        scored = markdown("; ".join(self.scored))
        same = self.timed_on() == scored
        versions = ", ".join(f"{name} {' and '.join(found)}" for name, found in self.versions.items())
        return {
            "ELMo": "; ".join(self.elmos) or "none",
            "data": "; ".join(self.data),
            **({"machine": scored} if same else {"timed on": self.timed_on(), "scored on": scored}),
            "versions": markdown(versions),
        }


def _elmo(record: Mapping[str, Any]) -> str:
    elmo = record["elmo"]
    size = f"{elmo['layers']} layers, cell {elmo['cell']}, projection {elmo['projection']}"
    return f"{code(elmo['name'])} ({size}, sha256 {markdown(record['run']['elmo']['weights'][:12])})"


def _data(record: Mapping[str, Any]) -> str:
    if record["data"] == "demo":
        return "the demo data written for this project"
    return "real data, named at each table; the files' SHA-256 are in the records"
