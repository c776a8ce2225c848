"""States of long runs: written atomically, and gone on from only by the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError
from elmo_mf.io import atomic_path


def save_state(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Write tensors, numbers and texts; `identity` says which run's they are."""
    import torch

    with atomic_path(path) as temporary:
        torch.save({"identity": identity, **state}, temporary)


def load_state(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """What `save_state` wrote, None if there is no file.

    # Raises
    InputError: the file is broken, or of a run with another identity.
    """
    import torch

    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        found = dict(state["identity"])
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:80]
        raise InputError(f"{path}: found an unreadable checkpoint ({reason}), expected one of this run") from None
    if found != identity:
        differing = _difference(found, identity)
        raise InputError(f"{path}: found a run with other {differing}; expected the same, or an empty --out folder")
    return state


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first setting that is not the same, with its values; else the first thing."""
    for name, value in wanted["settings"].items():
        other = found.get("settings", {}).get(name)
        if other != value:
            return f"settings ({name} {other}, not {value})"
    return next(name for name in wanted if found.get(name) != wanted[name])
