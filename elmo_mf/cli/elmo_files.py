"""The options `--options` and `--weights`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from elmo_mf.errors import InputError
from elmo_mf.resources import demo_options, demo_weights


@dataclass(frozen=True)
class ElmoOptions:
    """The two files of an ELMo."""

    options: Annotated[Path | None, Option(help="options.json of the ELMo; an embedded ELMo by default.")] = None
    weights: Annotated[Path | None, Option(help="Weights of the ELMo, HDF5.")] = None

    def files(self, default: tuple[Path, Path] | None = None) -> tuple[Path, Path]:
        """Return both paths; where neither is given, those of `default` or of the small embedded ELMo.

        Raises:
            InputError: Only one is given.
        """
        if (self.options is None) != (self.weights is None):
            raise InputError("only one of --options and --weights is given, expected both or neither")
        if self.options and self.weights:
            return self.options, self.weights
        return default or (demo_options(), demo_weights())
