"""The options `--options` and `--weights`, and files of an ELMo that are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from elmo_mf.cli._files import until_the_end
from elmo_mf.errors import InputError
from elmo_mf.resources import demo_options, demo_weights

if TYPE_CHECKING:
    from elmo_mf.bilm.checkpoint_files import CheckpointFiles


@dataclass(frozen=True)
class ElmoOptions:
    """The files of an ELMo."""

    options: Annotated[
        Path | None,
        Option(help="options.json of the ELMo, or a folder or zip with all its files; an embedded ELMo by default."),
    ] = None
    weights: Annotated[Path | None, Option(help="Weights of the ELMo, HDF5.")] = None

    def files(self, default: tuple[Path, Path] | None = None) -> CheckpointFiles:
        """Find the files; where none are given, those of `default` or of the small embedded ELMo.

        Raises:
            InputError: See `files_of_command`.
        """
        if self.options is None and self.weights is None:
            return files_of_command(*(default or (demo_options(), demo_weights())))
        return files_of_command(self.options, self.weights)


def files_of_command(options: Path | None, weights: Path | None) -> CheckpointFiles:
    """Find the files of an ELMo; those of a zip are kept until the command ends.

    Raises:
        InputError: There are weights only; otherwise see `checkpoint_files`.
    """
    from elmo_mf.bilm.checkpoint_files import checkpoint_files

    if options is None:
        raise InputError("--weights requires --options")
    return until_the_end(checkpoint_files(options, weights))


def elmo_keys(options: Path | None, weights: Path | None) -> dict[str, str]:
    """Return the keys `options` and `weights` of a sweep, as far as they are given."""
    if options is not None:
        files = files_of_command(options, weights)
        options, weights = files.options, files.weights
    return {name: str(path) for name, path in (("options", options), ("weights", weights)) if path is not None}
