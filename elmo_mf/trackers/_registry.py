"""Finding trackers by name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from elmo_mf.errors import InputError, one_of
from elmo_mf.extensions import installed, load
from elmo_mf.trackers._guard import GuardedTracker
from elmo_mf.trackers.tracker import REGISTERED, Tracker

_OURS = ("mlflow", "tensorboard")


def tracker_names() -> list[str]:
    """Return the names of all trackers, sorted: those of this package, of entry points, and those registered."""
    return sorted({*_OURS, *REGISTERED, *installed("elmo_mf.trackers")})


def tracker_named(name: str, folder: str | Path) -> Tracker:
    """Return the tracker of a name.

    Args:
        name: Name of the tracker.
        folder: The output folder, for trackers that write files; nothing is written before a run is logged.

    Returns:
        The tracker. What it raises becomes a warning, and it then logs nothing more.

    Raises:
        InputError: No tracker has this name, or it is not installed.
    """
    points = installed("elmo_mf.trackers")
    if name in _OURS:
        import_module(f"elmo_mf.trackers._{name}")
    elif name in points and name not in REGISTERED:
        load(points[name])
    if name not in REGISTERED:
        raise InputError("tracker", f"found {name!r}, {one_of(name, tracker_names())}")
    return GuardedTracker(name, REGISTERED[name](Path(folder)))
