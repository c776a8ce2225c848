"""Which machines records compare across.

The last digits of a score depend on the processor that trained it, and training amplifies them: the same run on another
processor, or with other instructions, differs about as much as with another seed.
"""

from __future__ import annotations

from elmo_mf.records.record import Machine

SIGN = "‡"


def machine_kind(machine: Machine) -> str:
    """Describe the kind of a machine; on machines of one kind a run has the same score."""
    parts = (machine.gpu, machine.cpu, machine.instructions, machine.system)
    return ", ".join(part for part in parts if part)


def machine_text(machine: Machine) -> str:
    """Describe a machine as it was used; times compare where the texts are equal."""
    gpu = "" if machine.gpu is None else f"{machine.gpu}, "
    threads = "1 thread" if machine.threads == 1 else f"{machine.threads} threads"
    switches = "".join(f", {name}={value}" for name, value in (machine.environment or {}).items())
    return f"{gpu}{machine.cpu}, {machine.instructions}, {threads}, {machine.system}{switches}"
