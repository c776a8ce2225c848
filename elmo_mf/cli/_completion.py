"""Values that a shell offers for arguments and options, found without importing PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from typer import Context

Completion = Callable[[str], list[str]]


def complete_one(names: Callable[[], Iterable[str]]) -> Completion:
    """Return a completion for one of some names, which are looked up when the shell asks for them."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def complete_some(names: Callable[[], Iterable[str]], separators: str = ",") -> Completion:
    """Return a completion for a list, whose entries any of `separators` may separate; it completes the last entry."""

    def complete(incomplete: str) -> list[str]:
        last = re.split(f"[{separators}]", incomplete)[-1]
        before = incomplete[: len(incomplete) - len(last)]
        return [before + name for name in names() if name.startswith(last)]

    return complete


def methods() -> list[str]:
    """Return the names of all factorization methods."""
    from elmo_mf.compression import method_names

    return method_names()


def targets() -> list[str]:
    """Return all targets, and `all`."""
    from elmo_mf.records.compression import ALL_TARGETS

    return ["all", "joint", *ALL_TARGETS]


def tasks() -> list[str]:
    """Return the names of all tasks."""
    from elmo_mf.tasks import task_names

    return task_names()


def sweeps() -> list[str]:
    """Return the names of the sweep files in this package."""
    from elmo_mf.tasks import named_sweeps

    return list(named_sweeps())


def trackers() -> list[str]:
    """Return the names of all experiment trackers."""
    from elmo_mf.trackers import tracker_names

    return tracker_names()


def kinds() -> list[str]:
    """Return what `elmo-mf fetch` can download."""
    from elmo_mf.fetch import CATALOGUES

    return list(CATALOGUES)


def published(context: Context, incomplete: str) -> list[str]:
    """Complete the name of something published, of the kind that is given before it."""
    from elmo_mf.fetch import CATALOGUES

    known: dict[str, Iterable[str]] = {str(kind): names for kind, names in CATALOGUES.items()}
    return [name for name in known.get(str(context.params.get("kind")), ()) if name.startswith(incomplete)]
