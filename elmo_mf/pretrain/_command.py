"""The command line that repeats a pretraining run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elmo_mf.pretrain.settings import PretrainSettings


def command_line(train: Sequence[Path], valid: Sequence[Path], out: Path, settings: PretrainSettings) -> str:
    """Return the command line of a run, with file names instead of paths."""
    values = settings.model_dump(exclude={"compression", "architecture"})
    if settings.compression is not None:
        values |= {name: _as_option(settings.compression.get(name)) for name in ("targets", "rank", "budget")}
    flags = [_flag(name, value) for name, value in values.items() if value is not None and value is not False]
    texts = [path.name for path in train] + [f"--valid {path.name}" for path in valid]
    options = ["--options options.json"] if settings.architecture is not None else []
    return " ".join(["elmo-mf pretrain", *texts, "--out", out.name, *options, *flags])


def _as_option(value: Any) -> Any:
    """Format the targets, rank or budget of a compression for the command line."""
    if not isinstance(value, Mapping):
        return "+".join(value) if isinstance(value, (list, tuple)) else value
    if "share" in value:
        return f"{100 * value['share']:g}%"
    return ",".join(f"{name}={number}" for name, number in value.items())


def _flag(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    return option if value is True else f"{option} {value}"
