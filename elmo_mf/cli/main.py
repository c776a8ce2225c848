"""The command line: subcommands, and one-line errors with exit status 2."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import typer
from typer.core import TyperCommand

from elmo_mf import __version__
from elmo_mf.cli import (
    _terminal,
    accelerate,
    bench,
    compare,
    compress,
    convert,
    embed,
    explain,
    fetch,
    gradients,
    inspect,
    leaderboard,
    perplexity,
    pretrain,
    recommend,
    setup_allennlp,
    shrink,
    sweep,
    tasks,
    upload,
)
from elmo_mf.cli._files import on_this_machine
from elmo_mf.cli._option_groups import with_groups
from elmo_mf.cli._progress_bar import Stages
from elmo_mf.errors import INSTALLATION, INTERRUPTED, InputError, not_installed
from elmo_mf.progress import reported_to

_UsageError: Any = typer.BadParameter.__base__  # of Click, or of Typer's own copy of it, depending on the release
_UNBREAKABLE = "\u2011"  # a hyphen
_RESUMABLE = frozenset({"embed", "fetch", "gradients", "pretrain", "sweep"})
_RESUMABLE_OPTIONS = ("--distill", "--data")  # of `compress` and `accelerate`
_NEEDS_NO_ADVICE = frozenset({"recommend", "setup-allennlp", "tasks", "--serve"})


class _Command(TyperCommand):
    """Command whose arguments are in capitals, as in errors and texts, and whose help breaks no line within a word."""

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)
        for one in params:
            if one.param_type_name != "argument":
                continue
            one.metavar = one.metavar or one.name.upper()
            if one.nargs != 1:  # no Python type, such as `list[Path]`
                vars(one)["display_type_rich"] = lambda ctx: None
        return params

    def get_help(self, ctx: Any) -> str:
        """Return the help, in which no line ends within a word such as elmo-mf or --highway-rank."""
        for one in (self, *self.get_params(ctx)):
            one.help = one.help and one.help.replace("-", _UNBREAKABLE)
        return super().get_help(ctx).replace(_UNBREAKABLE, "-")


app = typer.Typer(
    name="elmo-mf",
    help="Factorize ELMo's biLSTM, run it in AllenNLP, and rank the results.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Exit status: 0 success, 1 runs of a sweep failed or the disk was full, 2 bad input, 130 interrupted.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command, summary in (
    (accelerate.accelerate, "Make a trained AllenNLP model with ELMo faster."),
    (bench.bench, "Time encoders against AllenNLP's."),
    (compare.compare, "Compare two sweeps' scores, encoder by encoder."),
    (compress.compress, "Factorize the weights of an ELMo."),
    (convert.convert, "Convert an ELMo of TensorFlow or ELMoForManyLangs."),
    (embed.embed, "Turn a text file into vectors."),
    (explain.explain, "Analyse which matrices can be compressed, and why."),
    (fetch.fetch, "Download published weights, data or word vectors."),
    (gradients.gradients, "Write gradients of a loss, for compress and shrink."),
    (inspect.inspect, "Print shapes, ranks and norms of an ELMo's matrices."),
    (leaderboard.leaderboard, "Build the leaderboard of a sweep's records."),
    (perplexity.perplexity, "Score an ELMo as a language model."),
    (pretrain.pretrain, "Pretrain an ELMo on plain text."),
    (recommend.recommend, "Recommend an encoder for each task."),
    (setup_allennlp.setup_allennlp, "Install AllenNLP beside elmo-mf."),
    (shrink.shrink, "Remove memory cells of an ELMo."),
    (sweep.sweep, "Train, score and time a grid of encoders and tasks."),
    (tasks.tasks, "List the tasks."),
    (upload.upload, "Upload an ELMo to the Hugging Face Hub."),
):
    app.command(cls=_Command, short_help=summary)(on_this_machine(with_groups(command)))


def _print_version(wanted: bool) -> None:
    if wanted:
        _terminal.echo(f"elmo-mf {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Factorize ELMo's biLSTM, run it in AllenNLP, and rank the results."""


@cache
def command_line() -> Any:
    """Return the commands as a group of click, which takes a while to build from their signatures."""
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Arguments without the program's name; those of the process by default.

    Returns:
        The exit status: 0 for success, 1 for failed runs, 2 for bad input, 130 after an interruption.
    """
    _terminal.set_up()
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _check_none_empty(given)
        with reported_to(Stages()):
            status = command_line()(args=given, prog_name="elmo-mf", standalone_mode=False)
    except _UsageError as error:
        _show_usage_error(error, given)
        return 2
    except InputError as error:
        _terminal.echo(f"elmo-mf: error: {error}", err=True)
        return 2
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in INSTALLATION:
            raise
        _terminal.echo(f"elmo-mf: error: {not_installed(module)}", err=True)
        return 2
    except OSError as error:  # not converted elsewhere
        where = [error.filename] if error.filename else []
        _terminal.echo(f"elmo-mf: error: {InputError(*where, error.strerror or error)}", err=True)
        return 2
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    if status == INTERRUPTED:
        _terminal.echo(f"elmo-mf: {_interruption(given)}", err=True)
    return status if isinstance(status, int) else 0


def _show_usage_error(error: Any, arguments: Sequence[str]) -> None:
    """Print an error in the options in one line; or the help, where nothing is given."""
    if not arguments:
        error.show()
        return
    names = {one.callback.__name__.replace("_", "-") for one in app.registered_commands if one.callback is not None}
    command = f" {arguments[0]}" if arguments[0] in names else ""
    help_text = f"elmo-mf{command} --help lists the {'options' if command else 'commands'}"
    message = error.format_message()
    _terminal.echo(
        f"elmo-mf: error: {message.rstrip('.')}{' ' if message.endswith('?') else '; '}{help_text}", err=True
    )


def _check_none_empty(arguments: Sequence[str]) -> None:
    """Reject empty values, as unset shell variables leave them; an empty path would mean the current folder."""
    for before, argument in zip(("", *arguments), arguments, strict=False):
        option = before if argument == "" else argument.removesuffix("=")
        if argument == "" or (argument.startswith("--") and argument.endswith("=")):
            where = [option] if option.startswith("-") else []
            raise InputError(*where, "found an empty value, expected a name or number; is a shell variable unset?")


def _interruption(arguments: Sequence[str]) -> str:
    """Say whether the same command goes on where this one stopped."""
    if not arguments or _NEEDS_NO_ADVICE.intersection((arguments[0], *arguments)):
        return "interrupted"
    if arguments[0] in _RESUMABLE or any(one.startswith(_RESUMABLE_OPTIONS) for one in arguments):
        return "interrupted; run the same command again to resume"
    return "interrupted; the same command starts over"


def _show_warning(message: Warning | str, *_: Any) -> None:
    _terminal.echo(f"elmo-mf: warning: {message}", err=True)
