"""A compression as options of `elmo-mf compress`."""

from __future__ import annotations

import shlex

from elmo_mf.records.compression import FLOAT_BYTES, Budget, Compression, StoredType
from elmo_mf.records.labels import targets_label


def compress_options(compression: Compression, dtype: StoredType = "float32") -> list[str]:
    """Return the options of `elmo-mf compress` that ask for a compression.

    Fine-tuning, which only language models have, is none of them.

    Args:
        compression: The compression.
        dtype: Type of the weights that are written. Defaults to float32, or to the type whose bytes the budget counts.

    Examples:
        >>> compress_options(Compression(method="svd", rank=8, targets="joint+projection", layers=[0]))
        ['--method', 'svd', '--targets', 'joint+projection', '--rank', '8', '--layers', '0']
    """
    one, words = compression, list[str]()
    if one.budget is not None and dtype == "float32":
        dtype = one.budget.dtype
    if one.targets:
        words += ["--method", one.method, "--targets", targets_label(one)]
        words += ["--budget", _budget(one.budget, dtype)] if one.budget is not None else ["--rank", _rank(one)]
    given = {
        "--cells": one.cells,
        "--highway-rank": one.highway_rank,
        "--layers": None if one.layers == "all" else ",".join(map(str, one.layers)),
        "--directions": None if one.directions == "all" else "+".join(one.directions),
        "--allocation": None if one.allocation == "outputs" else one.allocation,
        "--inputs": None if one.inputs == "dense" else one.inputs,
        "--granularity": None if one.granularity == "stacked" else one.granularity,
        "--calibration": one.calibration,
        "--gradients": one.gradients,
        "--distill": one.distill and one.distill.text,
        "--distill-steps": one.distill and one.distill.steps,
        "--dtype": None if dtype == "float32" else dtype,
    }
    words += [word for option, value in given.items() if value is not None for word in (option, str(value))]
    words += [word for name, value in one.settings.items() for word in ("--setting", f"{name}={value}")]
    return [*words, *(["--allow-larger"] if one.allow_larger else [])]


def compress_command(compression: Compression | None, dtype: StoredType = "float32", out: str = "small") -> str:
    """Return the command that compresses `options.json` and `weights.hdf5`, for a shell.

    Args:
        compression: The compression; None to store the weights in another type only.
        dtype: See `compress_options`.
        out: Folder for the result. Defaults to `small`.
    """
    options = ["--dtype", dtype] if compression is None else compress_options(compression, dtype)
    return shlex.join(["elmo-mf", "compress", "options.json", "weights.hdf5", *options, "--out", out])


def _rank(compression: Compression) -> str:
    rank = compression.rank
    return ",".join(f"{target}={one}" for target, one in rank.items()) if isinstance(rank, dict) else str(rank)


def _budget(budget: Budget, dtype: StoredType) -> str:
    """The value of --budget, whose bytes are those of the type that is written."""
    if budget.bytes is not None and dtype != budget.dtype and budget.dtype in FLOAT_BYTES:
        return str(budget.bytes // FLOAT_BYTES[budget.dtype])
    if budget.kind == "share":
        return f"{100 * budget.amount:.12g}%"
    return f"{budget.amount}" if budget.kind == "parameters" else f"{budget.kind}={budget.amount}"
