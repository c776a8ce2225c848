"""Compressions as options of `compress`, parsed by the command itself."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer

from elmo_mf.cli._compression_options import AllCompressionOptions
from elmo_mf.cli.main import app
from elmo_mf.records import Compression, Distillation
from elmo_mf.records.command_line import compress_command, compress_options
from elmo_mf.records.compression import StoredType


def _parsed(words: list[str]) -> Compression | None:
    command = typer.main.get_command(app).commands["compress"]  # type: ignore[attr-defined]
    context = command.make_context("compress", ["options.json", "weights.hdf5", "--out", "small", *words])
    fields = AllCompressionOptions.__dataclass_fields__
    return AllCompressionOptions(**{name: context.params[name] for name in fields}).compression(context.params["dtype"])


@pytest.mark.parametrize(
    "keys",
    [
        {"method": "svd", "rank": 8, "targets": "all"},
        {"method": "svd", "rank": {"input": 4, "recurrent": 8}, "targets": "input+recurrent"},
        {
            "method": "whitened_svd",
            "budget": {"share": 0.0625},
            "targets": "joint+projection",
            "highway_rank": "budget",
        },
        {"method": "svd", "budget": {"parameters": 403456}, "targets": "all", "allocation": "matrices"},
        {"method": "svd", "budget": {"bytes": 10**6}, "targets": "all", "calibration": "a text.txt"},
        {"method": "svd", "budget": {"bytes": 10**6, "dtype": "int8"}, "targets": "all"},
        {"method": "svd", "rank": 2, "targets": "input", "layers": [0, 1], "directions": ["forward"]},
        {"method": "semi_nmf", "rank": 2, "targets": "input", "settings": {"iterations": 7}, "granularity": "gate"},
        {"method": "fisher_svd", "rank": 2, "targets": "input", "gradients": "g.hdf5", "allow_larger": True},
        {"method": "svd", "rank": 2, "targets": "input", "distill": Distillation(text="t.txt", steps=9)},
        {"method": "whitened_svd", "rank": 2, "targets": "input", "inputs": "compressed"},
        {"highway_rank": 64},
        {"cells": 480, "gradients": "g.hdf5"},
        {"cells": 480, "highway_rank": 64, "gradients": "g.hdf5"},
        {"method": "kfac_svd", "budget": {"share": 0.25}, "targets": "joint", "cells": 480, "gradients": "g.hdf5"},
        {"method": "kfac_svd", "budget": {"bytes": 10**6}, "targets": "all", "cells": "budget", "gradients": "g.hdf5"},
    ],
    ids=str,
)
def test_the_command_asks_for_the_same_compression(keys: dict[str, Any]) -> None:
    compression = Compression.model_validate(keys)
    assert _parsed(compress_options(compression)) == compression
    words = shlex.split(compress_command(compression))
    assert words[:4] == ["elmo-mf", "compress", "options.json", "weights.hdf5"] and words[-2:] == ["--out", "small"]
    assert _parsed(words[4:-2]) == compression


@pytest.mark.parametrize(
    ("counted", "dtype", "expected"),
    [
        ("float32", "int8", {"parameters": 250_000}),
        ("float16", "int4", {"parameters": 500_000}),
        ("int8", "int8", {"bytes": 10**6, "dtype": "int8"}),
    ],
)
def test_bytes_of_another_type_than_the_one_that_is_written(
    counted: StoredType, dtype: StoredType, expected: dict[str, Any]
) -> None:
    """`compress` counts the bytes of what it writes, so that others are asked for by parameters."""
    compression = Compression(method="svd", budget={"bytes": 10**6, "dtype": counted}, targets="all")
    parsed = _parsed(compress_options(compression, dtype))
    assert parsed is not None and parsed.budget is not None and parsed.budget.to_dict() == expected


def test_weights_in_another_type_only() -> None:
    assert compress_command(None, "int4") == "elmo-mf compress options.json weights.hdf5 --dtype int4 --out small"
