"""The options `--options` and `--weights`."""

from __future__ import annotations

from pathlib import Path

from elmo_mf.errors import InputError


def elmo_files(
    options: Path | None, weights: Path | None, embedded: tuple[Path, Path] | None = None
) -> tuple[Path, Path]:
    """The two files of an ELMo; where neither is given, those of `embedded`, or of the small embedded one.

    Raises:
        InputError: only one is given.
    """
    from elmo_mf.resources import demo_options, demo_weights

    if (options is None) != (weights is None):
        raise InputError("found only one of --options and --weights, expected both or neither")
    if options and weights:
        return options, weights
    return embedded or (demo_options(), demo_weights())
