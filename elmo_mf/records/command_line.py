"""A compression as options of `elmo-mf compress`."""

from __future__ import annotations

import shlex

from elmo_mf.records.compression import Budget, Compression
from elmo_mf.records.labels import targets_label


def compress_options(compression: Compression) -> list[str]:
    """Return the options of `elmo-mf compress` that ask for a compression.

    Fine-tuning, which only language models have, is none of them.

    Examples:
        >>> compress_options(Compression(method="svd", rank=8, targets="joint+projection", layers=[0]))
        ['--method', 'svd', '--targets', 'joint+projection', '--rank', '8', '--layers', '0']
    """
    one, words = compression, list[str]()
    if one.targets:
        words += ["--method", one.method, "--targets", targets_label(one)]
        words += ["--budget", _budget(one.budget)] if one.budget is not None else ["--rank", _rank(one)]
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
    }
    words += [word for option, value in given.items() if value is not None for word in (option, str(value))]
    words += [word for name, value in one.settings.items() for word in ("--setting", f"{name}={value}")]
    return [*words, *(["--allow-larger"] if one.allow_larger else [])]


def compress_command(compression: Compression, out: str = "small") -> str:
    """Return the command that compresses `options.json` and `weights.hdf5`, for a shell."""
    words = ["elmo-mf", "compress", "options.json", "weights.hdf5", *compress_options(compression), "--out", out]
    return shlex.join(words)


def _rank(compression: Compression) -> str:
    rank = compression.rank
    return ",".join(f"{target}={one}" for target, one in rank.items()) if isinstance(rank, dict) else str(rank)


def _budget(budget: Budget) -> str:
    if budget.kind == "share":
        return f"{100 * budget.amount:.12g}%"
    return f"{budget.amount}" if budget.kind == "parameters" else f"{budget.kind}={budget.amount}"
