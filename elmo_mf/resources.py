"""Where the configs, task cards and embedded weights are: in a checkout, or in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def share() -> Path:
    """The folder that holds `jsonnet/`, `tasks/` and `weights/`."""
    installed = _PACKAGE / "share"
    return installed if installed.is_dir() else _PACKAGE.parent


def demo_options() -> Path:
    """Options of the small embedded ELMo."""
    return share() / "weights" / "demo" / "options.json"


def demo_weights() -> Path:
    """Weights of the small embedded ELMo."""
    return share() / "weights" / "demo" / "weights.hdf5"


def base_elmo() -> tuple[Path, Path]:
    """Options and weights of the larger embedded ELMo, which has its softmax beside it."""
    folder = share() / "weights" / "base"
    return folder / "options.json", folder / "weights.hdf5"
