"""Paths of the configs, tasks, weights, recommended encoders and lock, in a checkout or in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def share() -> Path:
    """Return the folder that contains `jsonnet/`, `leaderboard/`, `tasks/`, `weights/` and `requirements.lock`."""
    installed = _PACKAGE / "share"
    return installed if installed.is_dir() else _PACKAGE.parent


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
