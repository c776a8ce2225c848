"""Kinds of machines on which records are comparable.

The last digits of a score depend on the processor that trained it, and training amplifies them: the same run on another
processor, or with other instructions, differs about as much as with another seed.
"""

from __future__ import annotations

from elmo_mf.records.record import Machine

SIGN = "‡"


def machine_kind(machine: Machine) -> str:
    """Describe the kind of a machine; a run has the same score on all machines of a kind."""
    parts = (machine.gpu, machine.cpu, machine.instructions, machine.system)
    return ", ".join(part for part in parts if part)


def machine_text(machine: Machine) -> str:
    """Describe a machine and its settings; times are comparable if the texts are equal."""
    gpu = "" if machine.gpu is None else f"{machine.gpu}, "
    threads = "1 thread" if machine.threads == 1 else f"{machine.threads} threads"
    switches = "".join(f", {name}={value}" for name, value in (machine.environment or {}).items())
    return f"{gpu}{machine.cpu}, {machine.instructions}, {threads}, {machine.system}{switches}"
