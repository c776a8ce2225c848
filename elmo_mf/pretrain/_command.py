"""The command line that repeats a pretraining run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elmo_mf.pretrain.settings import PretrainSettings
from elmo_mf.pretrain.start import Start

_SIZES = {"cell", "projection", "layers"}
_OF_SOFTMAX = {"softmax", "min_count", "max_words"}


def command_line(
    train: Sequence[Path], valid: Sequence[Path], out: Path, settings: PretrainSettings, start: Start | None = None
) -> str:
    """Return the command line of a run, with file names instead of paths."""
    left_out = {"compression", "architecture"}
    if start is not None:
        left_out |= _SIZES if start.softmax is None else _SIZES | _OF_SOFTMAX
    values = settings.model_dump(exclude=left_out)
    if settings.compression is not None:
        values |= {name: _as_option(settings.compression.get(name)) for name in ("targets", "rank", "budget")}
    flags = [_flag(name, value) for name, value in values.items() if value is not None and value is not False]
    texts = [path.name for path in train] + [f"--valid {path.name}" for path in valid]
    options = ["--options options.json"] if settings.architecture is not None else []
    if start is not None:
        options = [f"--from {start.options_file.name} {start.weight_file.name}"]
        options += ["--new-softmax"] if start.softmax is None else [f"--from-softmax {start.softmax.name or '.'}"]
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
