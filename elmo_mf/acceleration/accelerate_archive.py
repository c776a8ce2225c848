"""Put this project's encoder into the archive of a trained model, as it is or in the fastest form that is as good."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allennlp.common.plugins import import_plugins
from allennlp.common.util import import_module_and_submodules
from allennlp.data import Instance

from elmo_mf.acceleration._example_scores import evaluate
from elmo_mf.acceleration._load import LoadedModel, load_stock, read_instances
from elmo_mf.acceleration._stock import StockSettings
from elmo_mf.acceleration._write_archive import accelerated, encoder_bytes, write_accelerated, write_stock
from elmo_mf.acceleration.archive import ModelArchive, files_of_archive, open_archive
from elmo_mf.acceleration.form_search import Candidate, SearchResult, candidates, given_forms, search
from elmo_mf.acceleration.model_comparison import Comparison, Loss
from elmo_mf.acceleration.replace_encoder import EncoderSettings
from elmo_mf.acceleration.search_settings import SearchSettings, search_folder
from elmo_mf.acceleration.speed import Speed, peak_memory, speeds, vector_difference
from elmo_mf.bilm import BilmOptions
from elmo_mf.compression import encoder_identity
from elmo_mf.errors import InputError, missing, one_line
from elmo_mf.io import check_output, exclusive, remove_folder
from elmo_mf.progress import stage, track
from elmo_mf.provenance import regular_hash
from elmo_mf.storage.resumable import begun
from elmo_mf.tabular import Tabular

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TestScores:
    """Scores on held-out data, which took no part in any choice.

    Attributes:
        examples: Number of examples.
        metric: The metric that the search compared.
        original: The original model's metrics.
        result: The result's metrics.
        loss: What the result loses in `metric`.
    """

    examples: int
    metric: str
    original: dict[str, float]
    result: dict[str, float]
    loss: Loss

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON values."""
        loss = [self.loss.estimate, self.loss.low, self.loss.high]
        return {"examples": self.examples, "original": self.original, "result": self.result, "loss": loss}

    def __str__(self) -> str:
        name, loss = self.metric, self.loss
        return (
            f"test, {self.examples:,} examples: {name} {self.result[name]:.4f}, original {self.original[name]:.4f}, "
            f"loss {loss.estimate:+.2f} points ({loss.low:+.2f} to {loss.high:+.2f})"
        )


@dataclass(frozen=True, repr=False)
class AcceleratedArchive(Tabular):
    """A written archive, shown as a table of its speeds or of the forms that were compared.

    Attributes:
        path: The archive.
        settings: How its encoders run.
        elmos: The places in its config that have an ELMo.
        encoder_bytes: Bytes of the encoders' parameters as an archive stores them, of the `original` and the `result`.
        difference: Difference of its vectors from the original's, see `vector_difference`; None after a search.
        speeds: Speeds of the encoders; after a search, of the whole model too.
        search: What a search measured, if there was one.
        peak_memory_bytes: Peak memory of a process that predicts with the `original` and with the `result`, measured
            after a search; None where it is unknown.
        test: Scores on held-out data, if there was any.
    """

    path: Path
    settings: EncoderSettings
    elmos: tuple[str, ...]
    encoder_bytes: dict[str, int]
    difference: float | None
    speeds: tuple[Speed, ...]
    search: SearchResult | None = None
    peak_memory_bytes: dict[str, int | None] | None = None
    test: TestScores | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the measurements as JSON values, as `elmo-mf accelerate --json` writes them."""
        if self.search is None:
            speeds = [speed.model_dump() for speed in self.speeds]
            return {"encoder_bytes": self.encoder_bytes, "difference": self.difference, "speeds": speeds}
        content = {
            **self.search.to_dict(),
            "encoder_bytes": self.encoder_bytes,
            "peak_memory_bytes": self.peak_memory_bytes,
        }
        return content if self.test is None else content | {"test": self.test.to_dict()}

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each batch size, or for each form that was compared and batch size."""
        if self.search is not None:
            return self.search.to_pandas()
        import pandas as pd

        return pd.DataFrame([speed.model_dump(include=_ENCODER) for speed in self.speeds])

    def notes(self) -> list[str]:
        """Return what the result is, and what it computes."""
        before, after = (self.encoder_bytes[name] / 1e6 for name in ("original", "result"))
        size = f"encoder in the archive: {after:.1f} MB (original: {before:.1f} MB)"
        if self.search is not None:
            lines = [*self.search.notes(), size]
            theirs, ours = ((self.peak_memory_bytes or {}).get(name) for name in ("original", "result"))
            if ours is not None:
                known = "unknown, because its files are missing" if theirs is None else f"{theirs / 1e6:,.0f} MB"
                lines.append(f"peak memory of a process that predicts: {ours / 1e6:,.0f} MB (original: {known})")
            return lines if self.test is None else [*lines, str(self.test)]
        unchanged = self.settings.unchanged
        kind = "largest difference from the original's vectors" if unchanged else "relative error of the vectors"
        return [f"ELMo: {', '.join(self.elmos)}", size, f"{kind} on a sample of text: {self.difference:.2g}"]


_ENCODER = {"batch", "encoder_ms", "encoder_ratio"}


def accelerate_archive(
    archive: str | Path,
    out: str | Path,
    encoder: EncoderSettings | None = None,
    search: SearchSettings | None = None,
    *,
    elmo_options: str | Path | None = None,
    packages: Sequence[str] = (),
    stock: bool = False,
    seconds: float = 2.0,
    done: Callable[[AcceleratedArchive], None] = lambda result: None,
) -> AcceleratedArchive:
    """Put this project's encoder into the archive of a trained model; `elmo-mf accelerate` calls this function.

    Without a compression, predictions do not change. The weights are those in the archive; the files that its config
    names are not needed. AllenNLP loads the result with `--include-package elmo_mf.plugin`, and needs nothing else.

    Args:
        archive: AllenNLP's `model.tar.gz`, or a training output folder.
        out: Archive to write. One that exists is replaced.
        encoder: How the encoders run. Their matrices are rounded to its precision, and stored in it. Defaults to
            uncompressed ones in float32.
        search: What a search measures, which writes the fastest form of the model that is shown to be as good. With it,
            a compression of `encoder` is the only compressed form, and its precision is not used; bytes of its budget
            are counted in the type of each precision that is tried. If interrupted, the same call continues the search.
            Defaults to none: `encoder` is written.
        elmo_options: `options.json` of the ELMo, for clipping and activation. Defaults to those of all published ELMos.
        packages: Modules with the model's own classes.
        stock: Whether to write rebuilt matrices for AllenNLP's encoder, for use without elmo-mf, as large and slow as
            the original, and in float32. Defaults to False.
        seconds: Duration of each speed measurement in seconds; a search has its own. Defaults to 2.
        done: Called with the result before a search becomes one that cannot be resumed, so that an interruption loses
            nothing that is written there. Defaults to nothing.

    Returns:
        What was written, with its measurements.

    Raises:
        InputError: A file cannot be read or written, the archive has no ELMo, or the compression does not fit it.

    Examples:
        >>> from elmo_mf import accelerate_archive
        >>> from elmo_mf.acceleration import SearchSettings
        >>> fast = accelerate_archive("model.tar.gz", "fast.tar.gz")  # doctest: +SKIP
        >>> data = SearchSettings(data="dev.jsonl", tolerance=0.5, test="test.jsonl")  # doctest: +SKIP
        >>> fast = accelerate_archive("model.tar.gz", "faster.tar.gz", search=data)  # doctest: +SKIP
    """
    source, out, encoder = Path(archive), Path(out), encoder or EncoderSettings()
    named = () if search is None else (search.data, search.test, search.text, search.calibration)
    options = None if elmo_options is None else Path(elmo_options)
    read = [*files_of_archive(source), *(None if path is None else Path(path) for path in (options, *named))]
    check_output("out", out, read)
    if search is not None:
        search.check()
    elif stock and encoder.compression is None:
        raise InputError("stock", "found no compression, expected one whose matrices can be rebuilt")
    if stock:
        encoder = encoder.in_float32
    if not source.exists():
        raise missing(source, "model archive", "a model archive of AllenNLP")
    known = StockSettings() if options is None else StockSettings.of_options(BilmOptions.from_file(options))
    with open_archive(source) as opened, _stock_allennlp(packages):
        with stage("loading the model", 1, "archive"):
            original = load_stock(opened, known)
        task = _Task(opened, out, original, encoder, known, tuple(packages), stock, seconds)
        if search is not None:
            return task.search(search, done)
        done(converted := task.convert())
        return converted


@dataclass(frozen=True)
class _Task:
    archive: ModelArchive
    out: Path
    original: LoadedModel
    encoder: EncoderSettings
    known: StockSettings
    packages: tuple[str, ...]
    stock: bool
    seconds: float

    def convert(self) -> AcceleratedArchive:
        """Write the model in the given form."""
        fast = accelerated(self.original, self.encoder)
        difference = vector_difference(self.original, fast, largest=self.encoder.unchanged)
        measured = speeds(self.original, fast, seconds=self.seconds)
        self._write(fast, self.encoder)
        return AcceleratedArchive(
            self.out, self.encoder, self._elmos(), self._encoder_bytes(fast), difference, tuple(measured)
        )

    def search(self, settings: SearchSettings, done: Callable[[AcceleratedArchive], None]) -> AcceleratedArchive:
        """Find and write the fastest form, and call `done` with the result before the search is forgotten."""
        data = Path(settings.data)
        instances = read_instances(self.original, data, settings.limit)
        unseen = None if settings.test is None else read_instances(self.original, Path(settings.test))
        tried = self._candidates(settings)
        validation = self.archive.config.get("trainer", {}).get("validation_metric")
        folder = search_folder(self.out)
        with exclusive(folder, f"the output {self.out}"):
            with begun(folder, self._identity(settings, tried)):
                result = search(
                    self.original, instances, settings.tolerance, settings.metric, validation, tried, folder,
                    settings.batch, settings.seconds,
                )  # fmt: skip
            winner = accelerated(self.original, result.settings)
            self._write(winner, result.settings)
            sources = {"original": self.archive.source, "result": self.out}
            memory = {
                name: peak_memory(path, data, self.packages)
                for name, path in track(sources.items(), "peak memory", "processes")
            }
            test = None if unseen is None else self._test(winner, result, unseen)
            sizes, rates = self._encoder_bytes(winner), result.winner.speeds
            form = result.settings
            found = AcceleratedArchive(self.out, form, self._elmos(), sizes, None, rates, result, memory, test)
            done(found)
            remove_folder(folder)  # last: until here, the same call resumes
        return found

    def _encoder_bytes(self, written: LoadedModel) -> dict[str, int]:
        before = encoder_bytes(self.original)
        return {"original": before, "result": before if self.stock else encoder_bytes(written)}

    def _elmos(self) -> tuple[str, ...]:
        return tuple(".".join(map(str, place)) for place in self.original.embedders)

    def _candidates(self, settings: SearchSettings) -> list[Candidate]:
        texts = (None if text is None else Path(text) for text in (settings.text, settings.calibration))
        tried = candidates(self.encoder.dense, *texts)
        if self.stock:
            tried = [replace(one, precisions=("float32",)) for one in tried]
        if self.encoder.compression is None:
            return tried
        return [tried[0], *given_forms(self.encoder.in_float32, tried[0].precisions)]

    def _write(self, fast: LoadedModel, settings: EncoderSettings) -> None:
        if self.stock:
            write_stock(self.out, self.archive, self.original, fast)
        else:
            write_accelerated(self.out, self.archive, fast, settings)

    def _test(self, winner: LoadedModel, result: SearchResult, unseen: Sequence[Instance]) -> TestScores:
        theirs, counters = evaluate(self.original.model, unseen, "the original")
        ours, _ = evaluate(winner.model, unseen, "the result")
        loss = Comparison(theirs, counters, result.goal).loss(ours)
        return TestScores(len(unseen), result.goal.name, theirs.scores, ours.scores, loss)

    def _identity(self, settings: SearchSettings, tried: Sequence[Candidate]) -> dict[str, Any]:
        """Describe what the results of a search depend on."""
        files = {"weights": self.archive.weights, "data": settings.data, "text": settings.text}
        hashes = {
            name: regular_hash(str(path), f"file of {name}", "one that can be read")
            for name, path in files.items()
            if path is not None
        }
        kept = {name: getattr(settings, name) for name in ("tolerance", "metric", "batch", "limit")}
        how = {
            "encoders": [encoder_identity(one.settings.compression) for one in tried],
            "state": self.encoder.state,
            "word_cache": self.encoder.word_cache_mb,
            "original": asdict(self.known),
        }
        return {"command": "accelerate", **hashes, **kept, **how}


@contextmanager
def _stock_allennlp(packages: Sequence[str]) -> Iterator[None]:
    """Load AllenNLP's plugins, and let AllenNLP compute as it is installed, without its log lines, in the context."""
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


def _import(packages: Sequence[str]) -> None:
    for package in packages:
        try:
            import_module_and_submodules(package)
        except Exception as error:  # any error of the user's module
            found = f"found {package} ({one_line(error)})"
            raise InputError("packages", f"{found}, expected a module that can be imported") from None
