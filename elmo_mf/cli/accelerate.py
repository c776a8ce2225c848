"""`elmo-mf accelerate`: put this project's encoder into a trained AllenNLP model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from typer import Argument, Option

from elmo_mf.cli._compression_options import AllCompressionOptions
from elmo_mf.cli._output_options import Force, PlotOptions, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError, check_installed, missing, one_line, one_of
from elmo_mf.io import check_output, exclusive, remove_folder, write_json

if TYPE_CHECKING:
    from elmo_mf.acceleration import Candidate, EncoderSettings, LoadedModel, ModelArchive, StockSettings
    from elmo_mf.records import Compression


@dataclass(frozen=True)
class RunOptions:
    """How the encoders run."""

    precision: Annotated[str, Option(help="Precision of the encoder's products: float32, bfloat16 or int8.")] = (
        "float32"
    )
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


@dataclass(frozen=True)
class SearchOptions:
    """What the search for the fastest form measures."""

    data: Annotated[
        Path | None,
        Option(help="Labelled data in the training data's format, on which to search for the fastest form."),
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


def accelerate(
    model: Annotated[Path, Argument(help="AllenNLP's model.tar.gz, or a training output folder.")],
    out: Annotated[Path, Option("--out", "--output", help="Archive to write.")],
    run: RunOptions,
    how: AllCompressionOptions,
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
    inputs = (model, run.elmo_options, searched.data, searched.test, searched.text, how.calibration, how.distill)
    check_output("--out", out, inputs)
    if json_file is not None:
        check_output("--json", json_file, (*inputs, out))
    figure.check((*inputs, out))
    if not _parts(out).exists():  # otherwise an interrupted search is resumed
        check_unused([out, json_file, figure.plot], force)
    _check(model, searched, figure, run)
    compression = how.compression()
    if stock and compression is None and searched.data is None:
        raise InputError("--stock requires one of --rank, --budget or --highway-rank")
    check_installed("allennlp")
    from elmo_mf.acceleration import open_archive

    with open_archive(model) as archive, _stock_allennlp(run.include_package or []):
        content = _accelerate(archive, out, run, compression, searched, figure, stock)
    if json_file is not None:
        write_json(json_file, content)
    before = f"; the original: {model.stat().st_size / 1e6:.1f} MB" if model.is_file() else ""
    echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB{before})")
    if not stock:
        echo("use it with: allennlp predict --include-package elmo_mf.plugin " + str(out) + " ...")


def _accelerate(
    archive: ModelArchive,
    out: Path,
    run: RunOptions,
    compression: Compression | None,
    searched: SearchOptions,
    figure: PlotOptions,
    stock: bool,
) -> dict[str, Any]:
    from elmo_mf.acceleration import EncoderSettings, StockSettings, load_stock
    from elmo_mf.bilm import BilmOptions

    known = StockSettings()
    if run.elmo_options is not None:
        known = StockSettings.of_options(BilmOptions.from_file(run.elmo_options))
    settings = EncoderSettings(compression, cast(Any, run.precision), cast(Any, run.state), run.word_cache)
    original = load_stock(archive, known)
    if searched.data is None:
        return _convert(out, archive, original, settings, stock)
    return _search(out, archive, original, known, settings, searched, figure, stock)


def _check(model: Path, searched: SearchOptions, figure: PlotOptions, run: RunOptions) -> None:
    """Check options and files, those first that need not wait for an import."""
    if searched.batch not in (1, 32):
        raise InputError(f"--batch: found {searched.batch}, expected 1 or 32")
    for option, given in (("--test", searched.test), ("--text", searched.text), ("--plot", figure.plot)):
        if given is not None and searched.data is None:
            raise InputError(f"{option} requires --data")
    for option, path in (("--data", searched.data), ("--test", searched.test), ("--text", searched.text)):
        if path is not None and not path.exists():
            raise InputError(f"{option}: found {path}, which does not exist, expected a file")
    if not model.exists():
        raise missing(model, "model archive", "a model archive of AllenNLP")
    from elmo_mf.bilm.choices import PRECISIONS, STATE_POLICIES

    for option, value, known in (("precision", run.precision, PRECISIONS), ("state", run.state, STATE_POLICIES)):
        if value not in known:
            raise InputError(f"--{option}: found {value}, {one_of(value, known)}")


@contextmanager
def _stock_allennlp(packages: list[str]) -> Iterator[None]:
    """Load AllenNLP's plugins, and let AllenNLP compute as it is installed, without its log lines, in the context."""
    import logging
    import os
    import sys
    import warnings

    os.environ.setdefault("TQDM_DISABLE", "1")
    from allennlp.common.plugins import import_plugins

    logger = logging.getLogger("allennlp")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="allennlp")
        logger.setLevel(logging.ERROR)
        try:
            import_plugins()
            _import(packages)
            drop_in = sys.modules.get("elmo_mf.drop_in")  # named in .allennlp_plugins, for example
            with nullcontext() if drop_in is None else drop_in.uninstalled():
                yield
        finally:
            logger.setLevel(level)


def _import(packages: list[str]) -> None:
    from allennlp.common.util import import_module_and_submodules

    for package in packages:
        try:
            import_module_and_submodules(package)
        except Exception as error:  # any error of the user's module
            found = f"found {package} ({one_line(error)})"
            raise InputError(f"--include-package: {found}, expected a module that can be imported") from None


def _convert(
    out: Path, archive: ModelArchive, original: LoadedModel, settings: EncoderSettings, stock: bool
) -> dict[str, Any]:
    """Write a model in one given form."""
    from elmo_mf.acceleration import accelerated, speeds, vector_difference

    fast = accelerated(original, settings)
    difference = vector_difference(original, fast, largest=settings.unchanged)
    measured = speeds(original, fast)
    _write(out, archive, original, fast, settings, stock)
    places = ", ".join(".".join(map(str, place)) for place in original.embedders)
    echo(f"ELMo: {places}")
    kind = "largest difference from the original's vectors" if settings.unchanged else "relative error of the vectors"
    echo(f"{kind} on a sample of text: {difference:.2g}")
    for speed in measured:
        echo(
            f"encoder, {speed.batch} sentence{'s' if speed.batch > 1 else ''}: {speed.encoder_ms:.1f} ms, "
            f"{speed.encoder_ratio:.1f} times as fast as AllenNLP's"
        )
    return {"difference": difference, "speeds": [speed.model_dump() for speed in measured]}


def _write(
    out: Path, archive: ModelArchive, original: LoadedModel, fast: LoadedModel, settings: EncoderSettings, stock: bool
) -> None:
    from elmo_mf.acceleration import write_accelerated, write_stock

    if stock:
        write_stock(out, archive, original, fast)
    else:
        write_accelerated(out, archive, fast, settings)


def _search(
    out: Path,
    archive: ModelArchive,
    original: LoadedModel,
    known: StockSettings,
    settings: EncoderSettings,
    searched: SearchOptions,
    figure: PlotOptions,
    stock: bool,
) -> dict[str, Any]:
    """Find and write the fastest form."""
    from elmo_mf.acceleration import (
        Candidate,
        accelerated,
        candidates,
        peak_memory,
        plot_search,
        read_instances,
        search,
    )
    from elmo_mf.cli import _accelerate_report as report
    from elmo_mf.storage.resumable import mark_folder

    assert searched.data is not None
    instances = read_instances(original, searched.data, searched.limit)
    unseen = None if searched.test is None else read_instances(original, searched.test)
    tried = candidates(settings.dense, searched.text)
    if settings.compression is not None:
        tried = [tried[0], Candidate("given", settings.in_float32, tried[0].precisions)]
    validation = archive.config.get("trainer", {}).get("validation_metric")
    folder = _parts(out)
    with exclusive(folder, f"the output {out}"):
        mark_folder(folder, _identity(archive, known, settings, searched, tried))
        result = search(
            original, instances, searched.tolerance, searched.metric, validation, tried, folder, searched.batch,
            searched.seconds,
        )  # fmt: skip
        winner = accelerated(original, result.settings)
        _write(out, archive, original, winner, result.settings, stock)
        remove_folder(folder)
    report.print_result(result)
    memory = peak_memory(archive.source, searched.data), peak_memory(out, searched.data)
    report.print_memory(*memory)
    content = report.content(result) | {"peak_memory_bytes": dict(zip(("original", "result"), memory, strict=True))}
    if unseen is not None:
        content["test"] = report.print_test(original, winner, result, unseen)
    if figure.plot is not None:
        plot_search(result, figure.plot, figure.theme, searched.batch)
    return content


def _parts(out: Path) -> Path:
    return out.with_name(f"{out.name}.parts")


def _identity(
    archive: ModelArchive,
    known: StockSettings,
    settings: EncoderSettings,
    searched: SearchOptions,
    tried: Sequence[Candidate],
) -> dict[str, Any]:
    """Describe what the results of a search depend on."""
    from elmo_mf.compression import encoder_identity
    from elmo_mf.provenance import regular_hash

    files = {"weights": archive.weights, "data": searched.data, "text": searched.text}
    hashes = {
        name: regular_hash(str(path), f"file of --{name}", "one that can be read")
        for name, path in files.items()
        if path is not None
    }
    encoders = [encoder_identity(one.settings.compression) for one in tried]
    kept = {name: getattr(searched, name) for name in ("tolerance", "metric", "batch", "limit")}
    how = {
        "encoders": encoders,
        "state": settings.state,
        "word_cache": settings.word_cache_mb,
        "original": asdict(known),
    }
    return {"command": "accelerate", **hashes, **kept, **how}
