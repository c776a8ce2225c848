"""Find the fastest form of a trained model whose loss is shown to be below a tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allennlp.data import Instance
from pydantic import BaseModel, ConfigDict, ValidationError

from elmo_mf.acceleration._example_scores import Goal, evaluate, goal_of
from elmo_mf.acceleration._load import LoadedModel
from elmo_mf.acceleration._write_archive import accelerated, encoder_bytes, encoder_parameters, with_precision
from elmo_mf.acceleration.model_comparison import Comparison, resolution_of
from elmo_mf.acceleration.replace_encoder import EncoderSettings
from elmo_mf.acceleration.speed import Speed, speeds
from elmo_mf.bilm.runtime import Precision, supports
from elmo_mf.errors import InputError
from elmo_mf.io import read_bytes, write_text
from elmo_mf.records import Compression, Distillation
from elmo_mf.records.identity import stored_type
from elmo_mf.tabular import Tabular

if TYPE_CHECKING:
    import pandas as pd

SHARES = (0.5, 0.25, 0.125, 0.0625)
"""Budgets of the compressed candidates, mild to harsh, as shares of the dense biLSTM's parameters."""
ORIGINAL = "original"
_GIVEN = "given"
_MOST_ROW = 1_000_000  # bytes


@dataclass(frozen=True)
class Candidate:
    """A form in which the encoders of a model can run, in one or several precisions.

    Attributes:
        name: Its name.
        settings: How the encoders run, in float32.
        precisions: The precisions to try, in this order. Defaults to float32 alone.
        optional: Whether to leave it out, and all that follow, if the encoder is too small for it. Defaults to False.
    """

    name: str
    settings: EncoderSettings
    precisions: tuple[Precision, ...] = ("float32",)
    optional: bool = False
    """Whether to leave it out, and all that follow, if the encoder is too small for it."""


class Row(BaseModel):
    """Measurements of a form of the model.

    Attributes:
        name: Its name.
        candidate: Name of its candidate.
        precision: Its precision.
        score: Its score.
        loss: What it loses in points, and the ends of the 95 % interval.
        encoder_parameters: Parameters of all encoders.
        encoder_bytes: Bytes of these parameters in an archive of this form.
        speeds: Its speed by batch size; empty for the original.
        verdict: "within" the tolerance, "worse", or "undecided"; see `in_sequence`.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    candidate: str
    precision: Precision
    score: float
    loss: tuple[float, float, float]
    encoder_parameters: int
    encoder_bytes: int
    speeds: tuple[Speed, ...]
    verdict: str

    def ratio(self, batch: int) -> float:
        """Return how many times as fast as the original the model is at a batch size, measured in turns with it."""
        return next(speed.model_ratio or 0.0 for speed in self.speeds if speed.batch == batch)


@dataclass(frozen=True, repr=False)
class SearchResult(Tabular):
    """Result of a search, which is shown as a table of the forms that were measured.

    Attributes:
        goal: The metric.
        tolerance: The largest loss that is tolerated, in points.
        examples: Number of examples.
        resolution: The loss in points that this number of examples cannot exclude.
        rows: The original, and every form that was measured.
        winner: The fastest row whose loss is shown to be within the tolerance; without one, the dense encoder's.
        settings: The winner's settings.
    """

    goal: Goal
    tolerance: float
    examples: int
    resolution: float
    rows: list[Row]
    winner: Row
    settings: EncoderSettings

    @property
    def is_shown(self) -> bool:
        """Whether the winner's loss is shown to be within the tolerance.

        Where nothing is, the winner is the dense encoder in float32, which computes what the original does.
        """
        return self.winner.verdict == "within"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "metric": self.goal.name,
            "tolerance": self.tolerance,
            "examples": self.examples,
            "resolution": self.resolution,
            "written": self.winner.name,
            "shown": self.is_shown,
            "rows": [row.model_dump() for row in self.rows],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each form and batch size, with its loss in points; the original's has no speeds."""
        import pandas as pd

        rows = []
        for row in self.rows:
            loss, low, high = row.loss
            measured = {
                "form": row.name, self.goal.name: row.score, "loss": loss, "loss_low": low, "loss_high": high,
                "verdict": row.verdict, "encoder_parameters": row.encoder_parameters,
                "encoder_bytes": row.encoder_bytes,
            }  # fmt: skip
            rows += [measured | speed.model_dump() for speed in row.speeds] or [measured]
        return pd.DataFrame(rows)

    def notes(self) -> list[str]:
        """Return what the losses are, and what the search shows."""
        name, examples = self.goal.name, f"{self.examples:,} examples"
        return [f"loss: points of {name} lost against the original on the same {examples}", self.conclusion()]

    def conclusion(self) -> str:
        """State in a sentence what the search shows."""
        tolerance = f"{self.tolerance:g} point{'' if self.tolerance == 1 else 's'}"
        name = self.winner.name
        if self.is_shown:
            return f"{name}: the fastest form shown to lose at most {tolerance} of {self.goal.name}"
        few = ""
        if self.resolution > self.tolerance:
            few = (
                f"; {self.examples:,} examples are too few to show this for any form: they cannot exclude a loss of "
                f"{self.resolution:.2f} points"
            )
        return (
            f"no form is shown to lose at most {tolerance}{few}; {name}, whose predictions are the original's, is "
            "written"
        )


def candidates(settings: EncoderSettings, text: Path | None = None, calibration: Path | None = None) -> list[Candidate]:
    """List the forms to try, from mild to harsh: dense, and within ever smaller budgets.

    Args:
        settings: State policy and word cache of all candidates.
        text: Text on which the compressed ones are distilled; None for no distillation.
        calibration: Text to which they are fitted. Defaults to `text`, or else to the one of this package.

    Returns:
        The dense encoder, then one candidate for each of `SHARES`.
    """
    fitted_to = calibration or text
    known: tuple[Precision, ...] = ("int8", "bfloat16")
    precisions: tuple[Precision, ...] = ("float32", *[name for name in known if supports(name)][:1])
    tried = [Candidate("dense", settings, precisions)]
    for share in SHARES:
        compression = Compression(
            method="whitened_svd",
            targets="joint+projection",
            budget={"share": share},
            highway_rank="budget",
            calibration=None if fitted_to is None else str(fitted_to),
            distill=None if text is None else Distillation(text=str(text)),
        )
        name = f"{100 * share:g} %" + (" distilled" if text is not None else "")
        tried.append(Candidate(name, replace(settings, compression=compression), precisions, optional=True))
    return tried


def given_forms(settings: EncoderSettings, precisions: tuple[Precision, ...]) -> list[Candidate]:
    """List the forms of one compression, to try instead of those of `candidates`.

    Args:
        settings: How the encoders run, with the compression.
        precisions: The precisions to try.

    Returns:
        A candidate for all precisions; with a budget in bytes one for each precision, in whose type they are counted,
        the larger ranks first.
    """
    compression = settings.compression
    assert compression is not None
    budget = compression.budget
    if budget is None or budget.kind != "bytes":
        return [Candidate(_GIVEN, settings, precisions)]
    forms = []
    for precision in sorted(precisions, key=("int8", "bfloat16", "float32").index):
        counted = budget.model_copy(update={"dtype": stored_type(precision)})
        within = replace(settings, compression=compression.model_copy(update={"budget": counted}))
        forms.append(Candidate(_GIVEN, within, (precision,)))
    return forms


def search(
    original: LoadedModel,
    instances: Sequence[Instance],
    tolerance: float,
    metric: str | None,
    validation_metric: Any,
    tried: Sequence[Candidate],
    folder: Path,
    batch: int = 1,
    seconds: float = 2.0,
) -> SearchResult:
    """Score the original and the candidates on the same examples, and choose the fastest that is shown to be as good.

    Candidates are measured from mild to harsh, until one is shown to be worse than the tolerance in every precision. Of
    those within the tolerance, one can be chosen only if all milder ones of its precision are, see `in_sequence`.

    Args:
        original: The model.
        instances: The examples, which are scored one at a time.
        tolerance: The largest loss that is tolerated, in points.
        metric: See `goal_of`.
        validation_metric: See `goal_of`.
        tried: The candidates; the first is the dense encoder, in float32 first.
        folder: Folder in which results are kept, so that an interrupted search is resumed.
        batch: Batch size whose speed decides. Defaults to 1.
        seconds: See `speeds`. Defaults to 2.

    Returns:
        What was measured, and the winner.

    Raises:
        InputError: As in `evaluate`, `goal_of` and `fast_encoder`.
    """
    evaluation, counters = evaluate(original.model, instances, ORIGINAL)
    goal = goal_of(metric, validation_metric, list(evaluation.scores))
    comparison = Comparison(evaluation, counters, goal)
    rows = [_original_row(original, evaluation.scores[goal.name])]
    for candidate in tried:
        measured = _Measured(original, candidate, instances, comparison, goal, tolerance, folder, seconds)
        try:
            measured_rows = [measured.row(precision) for precision in candidate.precisions]
        except InputError:
            if candidate.optional:
                break
            raise
        rows += measured_rows
        if all(row.verdict == "worse" for row in measured_rows):
            break
    rows = in_sequence(rows)
    winner = fastest(rows, batch)
    settings = next(
        one.settings for one in tried if one.name == winner.candidate and winner.precision in one.precisions
    )
    return SearchResult(
        goal, tolerance, len(instances), resolution_of(len(instances)), rows, winner,
        replace(settings, precision=winner.precision),
    )  # fmt: skip


def in_sequence(rows: Sequence[Row]) -> list[Row]:
    """Mark a form as undecided if it is within the tolerance but a milder one of the same precision is not.

    Forms are tested in a fixed order, each at the full level, until one fails (Maurer, Hothorn and Lehmacher 1995).
    The probability that any form of a precision is wrongly accepted is then that of a single test, 2.5 %, regardless of
    the number of forms. Without an order, the harshest of many forms could be accepted by chance.

    Args:
        rows: Rows from mild to harsh.

    Returns:
        The rows in the same order.
    """
    marked, failed = list[Row](), set[str]()
    for row in rows:
        if row.verdict == "within" and row.precision in failed:
            row = row.model_copy(update={"verdict": "undecided"})
        if row.verdict in ("worse", "undecided"):
            failed.add(row.precision)
        marked.append(row)
    return marked


def fastest(rows: Sequence[Row], batch: int) -> Row:
    """Return the fastest form within the tolerance; if there is none, the first after the original.

    Args:
        rows: The row of the original, followed by those of the forms.
        batch: Batch size whose speed decides.
    """
    within = [row for row in rows if row.verdict == "within"]
    return max(within, key=lambda row: row.ratio(batch)) if within else rows[1]


def _original_row(original: LoadedModel, score: float) -> Row:
    return Row(
        name=ORIGINAL, candidate=ORIGINAL, precision="float32", score=score, loss=(0.0, 0.0, 0.0),
        encoder_parameters=encoder_parameters(original), encoder_bytes=encoder_bytes(original), speeds=(),
        verdict=ORIGINAL,
    )  # fmt: skip


class _Measured:
    """Measurements of a candidate, which is compressed when the first of them is not kept from an earlier search."""

    def __init__(
        self,
        original: LoadedModel,
        candidate: Candidate,
        instances: Sequence[Instance],
        comparison: Comparison,
        goal: Goal,
        tolerance: float,
        folder: Path,
        seconds: float,
    ) -> None:
        self._original, self._candidate, self._instances = original, candidate, instances
        self._comparison, self._goal, self._tolerance = comparison, goal, tolerance
        self._folder, self._seconds = folder, seconds
        self._model: LoadedModel | None = None

    def row(self, precision: Precision) -> Row:
        """Return the measurements of the candidate in a precision, kept ones if there are any."""
        name = self._candidate.name + ("" if precision == "float32" else f" {precision}")
        path = self._folder / f"{name.replace(' ', '-').replace('%', 'percent')}.json"
        kept = _read_row(path)
        if kept is not None:
            return kept
        if self._model is None:
            self._model = accelerated(self._original, self._candidate.settings)
        row = self._measure(name, with_precision(self._model, precision), precision)
        write_text(path, row.model_dump_json(indent=2) + "\n")
        return row

    def _measure(self, name: str, model: LoadedModel, precision: Precision) -> Row:
        evaluation, _ = evaluate(model.model, self._instances, name)
        loss = self._comparison.loss(evaluation)
        return Row(
            name=name,
            candidate=self._candidate.name,
            precision=precision,
            score=evaluation.scores[self._goal.name],
            loss=(loss.estimate, loss.low, loss.high),
            encoder_parameters=encoder_parameters(model),
            encoder_bytes=encoder_bytes(model),
            speeds=tuple(speeds(self._original, model, self._instances, self._seconds)),
            verdict=loss.verdict(self._tolerance),
        )


def _read_row(path: Path) -> Row | None:
    if not path.exists():
        return None
    try:
        return Row.model_validate_json(read_bytes(path, "result", "one of this search", most=_MOST_ROW))
    except (InputError, ValidationError):  # damaged; it is measured again
        return None
