"""Paths of the configs, tasks, weights, recommended encoders and lock, in a checkout or in an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_EMBEDDED = tuple(("weights", name) for name in ("demo", "base", "books", "quarter"))


def share() -> Path:
    """Return the folder that contains `jsonnet/`, `leaderboard/`, `tasks/`, `weights/` and `requirements.lock`."""
    installed = _PACKAGE / "share"
    return installed if installed.is_dir() else _PACKAGE.parent


def embedded(path: str) -> str:
    """Return the path of a file or folder of an embedded ELMo, such as `weights/base`, also outside the checkout.

    Args:
        path: Any path. What exists in the current folder goes before what is embedded.
    """
    parts = Path(path).parts[:2]
    if parts not in _EMBEDDED or os.path.lexists(path):
        return path
    return str(share() / path)


def demo_options() -> Path:
    """Return the options file of the small embedded ELMo."""
    return share() / "weights" / "demo" / "options.json"


def demo_weights() -> Path:
    """Return the weight file of the small embedded ELMo."""
    return share() / "weights" / "demo" / "weights.hdf5"


def base_elmo() -> tuple[Path, Path]:
    """Return the options and weight files of the larger embedded ELMo; its softmax is in the same folder."""
    folder = share() / "weights" / "base"
    return folder / "options.json", folder / "weights.hdf5"


def published_recommendations() -> Path:
    """Return the file of the encoders that the published leaderboard recommends."""
    return share() / "leaderboard" / "recommended.json"
