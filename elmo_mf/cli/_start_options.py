"""The options of `pretrain` that name an ELMo to continue from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from elmo_mf.cli._elmo_files import files_of_command
from elmo_mf.errors import InputError

if TYPE_CHECKING:
    from elmo_mf.pretrain import Start

_OF_ELMO = ("cell", "projection", "layers", "options", "rank", "targets", "budget")
_OF_WORDS = ("vocabulary", "min_count", "max_words")


@dataclass(frozen=True)
class StartOptions:
    """The ELMo whose training continues."""

    start: Annotated[
        tuple[Path, Path] | None,
        Option(
            "--from",
            metavar="OPTIONS WEIGHTS",
            help="ELMo whose training to continue, dense or factored, with its sizes: options.json and HDF5 weights.",
        ),
    ] = None
    start_folder: Annotated[Path | None, Option("--from-folder", help="The same for an ELMo in a folder or zip.")] = (
        None
    )
    start_softmax: Annotated[
        Path | None,
        Option(
            "--from-softmax",
            help="Folder of the softmax.hdf5 and vocabulary.txt to continue from; by default those next to the "
            "weights, or a new softmax if there are none.",
        ),
    ] = None
    new_softmax: Annotated[
        bool, Option("--new-softmax", help="Start a new softmax over the words of the text, even if the ELMo has one.")
    ] = False

    def read(self, given: Collection[str]) -> Start | None:
        """Find the files of the ELMo; None for random weights.

        Args:
            given: The names of all parameters that are given on the command line.

        Raises:
            InputError: A file is missing, or another option contradicts the ELMo.
        """
        self._check(given)
        if self.start is None and self.start_folder is None:
            return None
        options, weights = self.start or (self.start_folder, None)
        files = files_of_command(options, weights)
        from elmo_mf.pretrain import Start

        start = Start.with_softmax_beside(files.options, files.weights)
        if self.new_softmax or self.start_softmax is not None:
            start = replace(start, softmax=self.start_softmax)
        if start.softmax is not None:
            reason = f"the softmax is the one in {start.softmax}; use --new-softmax for another"
            _refuse(given, ("softmax", *_OF_WORDS), reason)
        if start.is_word_level:
            _refuse(given, _OF_WORDS, "the words are those of that word-level ELMo")
        return start

    def _check(self, given: Collection[str]) -> None:
        flags = {
            "--from": self.start is not None,
            "--from-folder": self.start_folder is not None,
            "--from-softmax": self.start_softmax is not None,
            "--new-softmax": self.new_softmax,
        }
        for one, other in (("--from", "--from-folder"), ("--from-softmax", "--new-softmax")):
            if flags[one] and flags[other]:
                raise InputError(f"{one} and {other} are mutually exclusive")
        if flags["--from"] or flags["--from-folder"]:
            _refuse(given, _OF_ELMO, "the sizes are those of the ELMo to continue from")
            return
        for flag in ("--from-softmax", "--new-softmax"):
            if flags[flag]:
                raise InputError(f"{flag} requires --from or --from-folder")


def given_names(context: Context) -> set[str]:
    """Return the names of the parameters that are given on the command line, as opposed to those with defaults."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and not source.name.startswith("DEFAULT")}


def _refuse(given: Collection[str], names: Collection[str], reason: str) -> None:
    for name in names:
        if name in given:
            raise InputError(f"--{name.replace('_', '-')} cannot be combined with --from", reason)
