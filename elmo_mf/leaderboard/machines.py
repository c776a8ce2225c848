"""Which machines records compare across.

A score depends in its last digits on the processor that trained it, and training multiplies these: the same run on
another processor, or with other instructions, differs about as much as with another seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elmo_mf.records.record import timed


def kind(machine: Mapping[str, Any]) -> str:
    """The same for machines on which a run gives the same score: processor, instructions, system and GPU."""
    parts = (machine.get("gpu"), machine["cpu"], machine["instructions"], machine["system"])
    return ", ".join(part for part in parts if part)


def machine_text(machine: Mapping[str, Any]) -> str:
    """A machine as it was used, the same for those whose times compare."""
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    switches = "".join(f", {name}={value}" for name, value in machine.get("environment", {}).items())
    return f"{gpu}{machine['cpu']}, {machine['instructions']}, {threads}, {machine['system']}{switches}"


def timed_on(record: Mapping[str, Any]) -> str:
    """Where a record's times are from, see `machine_text`."""
    return machine_text(timed(dict(record))["machine"])


SIGN = "‡"
