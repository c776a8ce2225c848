"""`elmo-mf accelerate`: put this project's encoder into a trained AllenNLP model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from typer import Argument, Option

from elmo_mf.acceleration import SearchSettings, search_folder
from elmo_mf.cli._compression_options import AllCompressionOptions, budget_help
from elmo_mf.cli._output_options import Force, PlotOptions, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError, check_installed, missing, one_of
from elmo_mf.io import check_output, write_json
from elmo_mf.progress import stage

if TYPE_CHECKING:
    from elmo_mf.acceleration import AcceleratedArchive, EncoderSettings
    from elmo_mf.bilm.encoder import StatePolicy
    from elmo_mf.bilm.runtime import Precision
    from elmo_mf.records import Compression
    from elmo_mf.records.compression import StoredType


@dataclass(frozen=True)
class RunOptions:
    """Options for how the encoders run."""

    precision: Annotated[
        str, Option(help="Precision in which the encoder's matrices are stored and run: float32, bfloat16 or int8.")
    ] = "float32"
    state: Annotated[
        str,
        Option(
            help="carried: the LSTMs keep their state from batch to batch, as in AllenNLP; zero: they start from zeros."
        ),
    ] = "carried"
    word_cache: Annotated[float, Option(min=0, help="Memory for the vectors of words, in MB.")] = 64
    elmo_options: Annotated[
        Path | None,
        Option(help="options.json of the ELMo, for clipping and activation; those of all published ELMos by default."),
    ] = None
    include_package: Annotated[
        list[str] | None, Option(metavar="MODULE", help="Module with the model's own classes; can be repeated.")
    ] = None

    def option_names(self) -> Mapping[str, str]:
        """Map arguments of `accelerate_archive` to the options that set them."""
        return {"packages": "--include-package"}

    @property
    def dtype(self) -> StoredType:
        """Type in which the encoder's matrices are stored."""
        from elmo_mf.records.identity import stored_type

        return stored_type(cast("Precision", self.precision))

    def settings(self, compression: Compression | None) -> EncoderSettings:
        """Return how the encoders run."""
        from elmo_mf.acceleration import EncoderSettings

        precision, state = cast("Precision", self.precision), cast("StatePolicy", self.state)
        return EncoderSettings(compression, precision, state, self.word_cache)


@dataclass(frozen=True)
class ArchiveCompressionOptions(AllCompressionOptions):
    """Options of a compression whose result is stored in the type of `--precision`."""

    budget: Annotated[
        str | None, Option(help=budget_help("in the type of --precision; with --data, in that of each form"))
    ] = None


@dataclass(frozen=True)
class SearchOptions:
    """Options of the search for the fastest form."""

    data: Annotated[
        Path | None,
        Option(
            help="Labelled data in the training data's format, on which to search for the fastest form. --calibration "
            "with text like the model's own makes small forms lose less."
        ),
    ] = None
    tolerance: Annotated[float, Option(min=0, help="Largest acceptable loss in points: hundredths of the metric.")] = (
        0.5
    )
    metric: Annotated[
        str | None,
        Option(help="Metric to compare, prefixed with - if lower is better; that of the training by default."),
    ] = None
    text: Annotated[
        Path | None, Option(help="Tokenised text on which to distil the compressed forms; none by default.")
    ] = None
    test: Annotated[Path | None, Option(help="Held-out labelled data on which to score the result once.")] = None
    batch: Annotated[int, Option(help="Batch size at which the forms' speeds are compared: 1 or 32.")] = 1
    seconds: Annotated[float, Option(min=0, help="Duration of each speed measurement in seconds.")] = 2.0
    limit: Annotated[int | None, Option(min=1, help="Number of examples of --data to use; all by default.")] = None

    def option_names(self) -> Mapping[str, str]:
        """Map settings of a search to the options that set them."""
        return {name: f"--{name}" for name in ("data", "test", "text", "batch", "metric", "calibration")}

    def settings(self, calibration: Path | None) -> SearchSettings | None:
        """Return what to measure, if there are data.

        Args:
            calibration: Text to which the compressed forms are fitted; None for the default.
        """
        if self.data is None:
            return None
        return SearchSettings(
            self.data,
            self.tolerance,
            self.metric,
            self.text,
            self.test,
            self.batch,
            self.seconds,
            self.limit,
            calibration,
        )


def accelerate(
    model: Annotated[Path, Argument(help="AllenNLP's model.tar.gz, or a training output folder.")],
    out: Annotated[Path, Option("--out", "--output", help="Archive to write.")],
    run: RunOptions,
    how: ArchiveCompressionOptions,
    searched: SearchOptions,
    figure: PlotOptions,
    stock: Annotated[
        bool,
        Option("--stock", help="Write rebuilt matrices, for use without elmo-mf: as large and slow as the original."),
    ] = False,
    json_file: Annotated[Path | None, Option("--json", help="File for the measurements.")] = None,
    force: Force = False,
) -> None:
    """Make a trained AllenNLP model that contains an ELMo several times faster, without training.

    Without a compression, predictions do not change. The weights are read from the archive; the files that its config
    names are not needed. AllenNLP loads the result with --include-package elmo_mf.plugin, and needs nothing else.

    With --data, the original and smaller and smaller forms are scored on the same examples, and the fastest form whose
    loss is shown to be below the tolerance is written: the upper end of the 95 % interval of the loss, paired over
    examples, must lie below it. The same command resumes an interrupted search.

    Examples:

    \b
      elmo-mf accelerate model.tar.gz --out fast.tar.gz
      elmo-mf accelerate model.tar.gz --data dev.jsonl --tolerance 0.5 --test test.jsonl --out fast.tar.gz
      elmo-mf accelerate model.tar.gz --method whitened_svd --budget 25% --highway-rank budget --out fast.tar.gz
    """
    from elmo_mf.acceleration import files_of_archive

    texts = (run.elmo_options, searched.data, searched.test, searched.text, how.calibration, how.distill)
    inputs = (*files_of_archive(model), *texts)
    check_output("--out", out, inputs)
    if json_file is not None:
        check_output("--json", json_file, (*inputs, out))
    figure.check((*inputs, out))
    resumed = searched.data is not None and search_folder(out).exists()
    check_unused([None if resumed else out, json_file, figure.plot], force)  # a search may have written `out` already
    _check(model, searched, how.calibration, figure, run)
    if stock and how.cells is not None:
        raise InputError("--stock", "found --cells, expected all cells, because AllenNLP's config keeps its sizes")
    compression = how.compression("float32" if stock else run.dtype, () if searched.data is None else ("calibration",))
    if stock and compression is None and searched.data is None:
        raise InputError("--stock requires one of --rank, --budget or --highway-rank")
    os.environ.setdefault("TQDM_DISABLE", "1")
    from elmo_mf.cli._accelerate_report import print_result

    with stage("loading AllenNLP", 1, "package"):
        from elmo_mf.acceleration import accelerate_archive, plot_search

    if resumed:
        echo(f"resuming from {search_folder(out)}")

    def report(result: AcceleratedArchive) -> None:
        print_result(result)
        if result.search is not None and figure.plot is not None:
            plot_search(result.search, figure.plot, figure.theme, searched.batch)
        if json_file is not None:
            write_json(json_file, result.to_dict())

    accelerate_archive(
        model, out, run.settings(compression), searched.settings(how.calibration), elmo_options=run.elmo_options,
        packages=run.include_package or (), stock=stock, seconds=searched.seconds, done=report,
    )  # fmt: skip
    before = f"; the original: {model.stat().st_size / 1e6:.1f} MB" if model.is_file() else ""
    echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB{before})")
    if not stock:
        echo("use it with: allennlp predict --include-package elmo_mf.plugin " + str(out) + " ...")


def _check(
    model: Path, searched: SearchOptions, calibration: Path | None, figure: PlotOptions, run: RunOptions
) -> None:
    """Check options and files, those first that need not wait for an import."""
    for option, given in (("--test", searched.test), ("--text", searched.text), ("--plot", figure.plot)):
        if given is not None and searched.data is None:
            raise InputError(f"{option} requires --data")
    measured = searched.settings(calibration)
    if measured is not None:
        measured.check()
    if not model.exists():
        raise missing(model, "model archive", "a model archive of AllenNLP")
    from elmo_mf.acceleration import check_archive
    from elmo_mf.bilm.choices import PRECISIONS, STATE_POLICIES

    for option, value, known in (("precision", run.precision, PRECISIONS), ("state", run.state, STATE_POLICIES)):
        if value not in known:
            raise InputError(f"--{option}", f"found {value}, {one_of(value, known)}")
    check_installed("allennlp")
    check_archive(model)
