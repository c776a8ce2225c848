"""Options that describe a compression."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from elmo_mf.cli import _completion
from elmo_mf.cli._include_option import Include, include_all
from elmo_mf.cli._option_names import COMPRESSION
from elmo_mf.errors import InputError

if TYPE_CHECKING:
    from elmo_mf.bilm.checkpoint_files import CheckpointFiles
    from elmo_mf.records import Compression

_DISTILL_STEPS = 1000
_BUDGETS = ("parameters", "bytes", "multiply_adds")


def budget_help(counted: str) -> str:
    """Return the help text of `--budget`.

    Args:
        counted: In which type bytes are counted, such as `in float32`.
    """
    return (
        f"Size of the whole biLSTM, instead of a rank: a number of parameters, bytes=N (counted {counted}), "
        "multiply_adds=N per token, or a percentage of the dense parameters, such as 10%."
    )


@dataclass(frozen=True)
class CompressionOptions:
    """Options that `compress`, `embed` and `perplexity` share."""

    rank: Annotated[
        str | None,
        Option(help="Rank of the factors, such as 64, or one for each target, such as input=64,projection=128."),
    ] = None
    budget: Annotated[
        str | None,
        Option(help=budget_help("in float32")),
    ] = None
    allocation: Annotated[
        str,
        Option(
            help="How a budget weighs the matrices' errors: outputs, by their effect on the outputs; matrices, all "
            "alike; or loss, by their predicted effect on the loss, with kfac_svd."
        ),
    ] = "outputs"
    method: Annotated[
        str,
        Option(
            autocompletion=_completion.complete_one(_completion.methods),
            help="Factorization method: svd, whitened_svd, semi_nmf, nmf, prune or random; fisher_svd or kfac_svd, "
            "which need gradients; or a method loaded with --include.",
        ),
    ] = "svd"
    targets: Annotated[
        str,
        Option(
            autocompletion=_completion.complete_some(_completion.targets, "+"),
            help="Matrices to factorize: input, recurrent, projection, joint (input and recurrent) joined by +, or "
            "all.",
        ),
    ] = "all"
    highway_rank: Annotated[
        str | None,
        Option(
            help="Also factorize the character CNN's highway layers, at this rank, or, with the value budget, within "
            "--budget; without --rank or --budget, factorize nothing else."
        ),
    ] = None

    include: Include = field(default_factory=list)

    def compression(self, dtype: str = "float32", allowed: Container[str] = ()) -> Compression | None:
        """Return the compression, or None if no option asks for one.

        Args:
            dtype: Type of the weights that are written, whose bytes a budget counts. Defaults to float32.
            allowed: Fields whose options mean something without a compression too. Defaults to none.

        Raises:
            InputError: A value is wrong, both a rank and a budget are given, or an option needs one of them.
        """
        from elmo_mf.compression import read_compression

        include_all(self.include)
        more = self._more()
        if "gradients" not in more:
            check_no_gradients(self.method)
        if self.rank is not None and self.budget is not None:
            raise InputError("--rank and --budget are mutually exclusive")
        if self.rank is not None or self.budget is not None:
            size = {"rank": rank(self.rank), "budget": budget(self.budget, dtype)}
            return read_compression({"method": self.method, "targets": self.targets, **size, **more})
        given = [name for name, default in (("method", "svd"), ("targets", "all")) if getattr(self, name) != default]
        alone = any(more.get(key) is not None for key in ("cells", "highway_rank"))
        if not alone:  # otherwise the compression itself says what it cannot have
            given += [name for name, value in more.items() if name not in allowed and value != default_of(name)]
        for option in (self.option_names()[f"compression.{name}"] for name in given):
            raise InputError(f"{option} requires --rank or --budget")
        return read_compression(more) if alone else None

    def compression_of(self, files: CheckpointFiles) -> Compression | None:
        """Return the compression of an ELMo, or None if no option asks for one.

        Raises:
            InputError: See `compression`; or the options of the ELMo cannot be read, or say that it does not fit.
        """
        from elmo_mf.bilm.options import BilmOptions
        from elmo_mf.compression import check_against_options

        compression = self.compression()
        if compression is not None:
            check_against_options(BilmOptions.from_file(files.options), compression)
        return compression

    def option_names(self) -> Mapping[str, str]:
        """Map keys of a compression to the options that set them."""
        return COMPRESSION

    def _more(self) -> dict[str, Any]:
        return {"highway_rank": number_or_budget("--highway-rank", self.highway_rank), "allocation": self.allocation}


@dataclass(frozen=True)
class AllCompressionOptions(CompressionOptions):
    """All options of a compression, for `compress`."""

    cells: Annotated[
        str | None,
        Option(
            help="Number of memory cells to keep in each direction of each layer: those that the loss of --gradients "
            "needs least are removed before the factorization; without --rank or --budget, nothing is factorized. With "
            "the value budget, the number with which the least loss is predicted within --budget."
        ),
    ] = None
    granularity: Annotated[str, Option(help="stacked: all gates together; gate: each gate alone.")] = "stacked"
    inputs: Annotated[
        str,
        Option(
            help="Inputs that factors are fitted to: dense, those of the dense encoder; or compressed, those that a "
            "matrix gets from the factors before it, which takes longer and loses less; for whitened_svd and kfac_svd."
        ),
    ] = "dense"
    layers: Annotated[str, Option(help="Comma-separated layer numbers, or all.")] = "all"
    directions: Annotated[str, Option(help="forward, backward or all.")] = "all"
    setting: Annotated[
        list[str], Option(metavar="NAME=VALUE", help="Setting of the method, as name=value; can be repeated.")
    ] = field(default_factory=list)
    calibration: Annotated[
        Path | None,
        Option(
            help="Tokenised text, one sentence per line, for whitened_svd, budgets and --highway-rank; by default a "
            "short text that comes with elmo-mf."
        ),
    ] = None
    gradients: Annotated[
        Path | None, Option(help="File written by elmo-mf gradients, for fisher_svd, kfac_svd and --cells.")
    ] = None
    distill: Annotated[
        Path | None,
        Option(help="Tokenised text on which to train the factors to reproduce the outputs of the dense encoder."),
    ] = None
    distill_steps: Annotated[
        int, Option(min=1, help="Number of distillation steps; an interrupted run is resumed.")
    ] = _DISTILL_STEPS
    allow_larger: Annotated[bool, Option(help="Accept ranks that save no parameters.")] = False

    def compression(self, dtype: str = "float32", allowed: Container[str] = ()) -> Compression | None:
        """Return the compression, see `CompressionOptions.compression`.

        Args:
            dtype: See there.
            allowed: See there.

        Raises:
            InputError: It requires gradients too, and none are given.
        """
        from elmo_mf.compression import check_gradients

        compression = super().compression(dtype, allowed)
        if compression is not None:
            check_gradients(compression)
        return compression

    def option_names(self) -> Mapping[str, str]:
        """Map keys of a compression to the options that set them."""
        return COMPRESSION | {"compression.allow_larger": "--allow-larger"}

    def _more(self) -> dict[str, Any]:
        if self.distill is None and self.distill_steps != _DISTILL_STEPS:
            raise InputError("--distill-steps requires --distill")
        return super()._more() | {
            "cells": number_or_budget("--cells", self.cells),
            "granularity": self.granularity,
            "inputs": self.inputs,
            "layers": _layers(self.layers),
            "directions": self.directions,
            "settings": settings(self.setting),
            "calibration": self.calibration and str(self.calibration),
            "gradients": self.gradients and str(self.gradients),
            "distill": self.distill and {"text": str(self.distill), "steps": self.distill_steps},
            "allow_larger": self.allow_larger,
        }


def default_of(name: str) -> Any:
    """Return the default value of a field of `Compression`."""
    from elmo_mf.records import Compression

    return Compression.model_fields[name].get_default(call_default_factory=True)


def check_no_gradients(method: str) -> None:
    """Check the method of a command without an option for the gradients.

    Raises:
        InputError: The method requires them, or is unknown.
    """
    from elmo_mf.compression import method_named

    known = method_named(method)
    if known.needs_gradients or known.needs_output_covariance:
        expected = "another method, or the weights that elmo-mf compress --gradients writes"
        raise InputError("--method", f"found {method}, expected {expected}")


def _layers(text: str) -> list[int] | str:
    if text == "all":
        return text
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise InputError("--layers", f"found {text}, expected all or layer numbers such as 0,1")
    return [int(part) for part in parts]


def number_or_budget(option: str, text: str | None) -> int | str | None:
    """Parse `128` or `budget`.

    Args:
        option: The option, for errors.
        text: Its value; None if it was not given.

    Raises:
        InputError: The text is neither.
    """
    if text is None or text == "budget":
        return text
    if not _is_positive(text):
        raise InputError(option, f"found {text!r}, expected a positive integer, or budget")
    return int(text)


def rank(text: str | None) -> int | dict[str, int] | None:
    """Parse `64` or `input=64,projection=128`.

    Raises:
        InputError: The text is neither.
    """
    if text is None or _is_positive(text):
        return None if text is None else int(text)
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and _is_positive(number) for name, _, number in pairs):
        raise InputError(
            "--rank",
            f"found {text!r}, expected a positive integer, or one for each target such as input=64,recurrent=32",
        )
    return {name: int(number) for name, _, number in pairs}


def budget(text: str | None, dtype: str = "float32") -> dict[str, float | str] | None:
    """Parse `500000` parameters, `bytes=2000000`, `multiply_adds=500000`, or `10%` of the dense biLSTM's parameters.

    Args:
        text: The option's value; None if it was not given.
        dtype: Type whose bytes are counted. Defaults to float32.

    Raises:
        InputError: The text is none of these.
    """
    if text is None:
        return None
    if text.endswith("%") and text[:-1].replace(".", "", 1).isdecimal() and 0 < float(text[:-1]) < 100:
        return {"share": float(text[:-1]) / 100}
    kind, _, number = text.rpartition("=")
    if not _is_positive(number) or kind not in ("", *_BUDGETS):
        kinds = ", ".join(f"{name}=NUMBER" for name in _BUDGETS)
        raise InputError(
            "--budget", f"found {text!r}, expected a number of parameters, {kinds}, or a percentage below 100%"
        )
    counted: dict[str, float | str] = {kind or "parameters": int(number)}
    return counted | ({"dtype": dtype} if kind == "bytes" else {})


def _is_positive(text: str) -> bool:
    return text.isdecimal() and int(text) > 0


def settings(texts: list[str]) -> dict[str, Any]:
    """Parse texts of the form `name=value`; values that look like numbers become numbers.

    Raises:
        InputError: A text has another form.
    """
    parsed: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError("--setting", f"found {text!r}, expected name=value")
        parsed[name] = _number(value)
    return parsed


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
