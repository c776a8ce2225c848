"""What a run leaves behind: the fields of a result record, and reading one with care."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from elmo_mf.errors import InputError
from elmo_mf.io.reading import MOST_DEPTH, read_bytes
from elmo_mf.records.compressions import compression_of, plain_form
from elmo_mf.tasks.config import Task, load_task
from elmo_mf.tasks.grid import dense_finetune, digest

FORMAT: Literal[2] = 2
MOST_BYTES = 1_000_000
MOST_INT = 2**53 - 1
"""Integers that are the same in every program that reads JSON."""
_MOST_TEXT = 10_000  # characters of a text in a config

_Int = Annotated[int, Field(ge=-MOST_INT, le=MOST_INT)]
_Count = Annotated[int, Field(ge=0, le=MOST_INT)]
_Some = Annotated[int, Field(ge=1, le=MOST_INT)]
_Number = Annotated[float, Field(ge=-1e30, le=1e30)]
_Positive = Annotated[float, Field(ge=1e-12, le=1e30)]
_Text = Annotated[str, Field(max_length=1000)]
_Key = Annotated[str, Field(max_length=200)]
_Many = Field(max_length=10_000)


def _within_bounds(tree: dict[str, Any]) -> dict[str, Any]:
    """Check what no schema describes, an AllenNLP config for one: its depth, and every number and text in it."""
    level: list[tuple[str, Any]] = [("", tree)]
    for _ in range(MOST_DEPTH):
        level = [inner for where, value in level for inner in _children(where, value)]
        for where, value in level:
            if (expected := _unlike(value)) is not None:
                raise _out_of_bounds(where, value, expected)
    if level:
        raise _out_of_bounds(level[0][0], level[0][1], f"at most {MOST_DEPTH} levels")
    return tree


def _children(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if len(key) > 200:
                raise _out_of_bounds(where, key, "a key of at most 200 characters")
            yield f"{where}.{key}", inner
    elif isinstance(value, list):
        yield from ((f"{where}.{index}", inner) for index, inner in enumerate(value))


def _unlike(value: Any) -> str | None:
    """What was expected in place of a value that no report can show."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, int) and abs(value) > MOST_INT:
        return f"an integer of at most {MOST_INT}"
    if isinstance(value, str) and len(value) > _MOST_TEXT:
        return f"at most {_MOST_TEXT} characters"
    return None


def _out_of_bounds(where: str, value: Any, expected: str) -> PydanticCustomError:
    about = {"where": where, "found": _shown(value), "expected": expected}
    return PydanticCustomError("bounds", "{where}: found {found}, expected {expected}", about)


_Tree = Annotated[dict[_Key, Any], AfterValidator(_within_bounds)]
_closed = with_config(ConfigDict(allow_inf_nan=False, strict=True, use_attribute_docstrings=True))


@_closed
class FileIdentity(TypedDict):
    """A data file, and how many of its examples were used; None for all."""

    sha256: _Text
    """Of the whole file."""
    limit: _Count | None
    """Examples of it that were used; null for all."""


@_closed
class DataFiles(TypedDict):
    """The splits' files."""

    train: FileIdentity
    """What the model is trained on."""
    validation: FileIdentity
    """What chooses its best epoch."""
    test: NotRequired[FileIdentity]
    """Where the task has one."""


@_closed
class ElmoFiles(TypedDict):
    """SHA-256 of an ELMo's two files."""

    options: _Text
    """Of options.json."""
    weights: _Text
    """Of the weights."""


@_closed
class Tuning(TypedDict):
    """See `FineTuning`."""

    epochs: _Some
    """Passes over the text."""
    learning_rate: _Positive
    """At most."""


@_closed
class RunIdentity(TypedDict):
    """All that a score depends on, see `Run`."""

    task: _Text
    """Its name."""
    card: _Tree
    """What of the task's card a score depends on."""
    compression: _Tree | None
    """The keys of `Compression`, files by their SHA-256; null for the dense encoder."""
    finetune: NotRequired[Tuning]
    """How a dense language model is trained again; a compressed one has this in `compression`."""
    seed: _Count
    """Of initial weights, dropout and the order of batches."""
    elmo: ElmoFiles | None
    """SHA-256 of the ELMo's two files; null for a language model."""
    words: _Text | None
    """SHA-256 of the word vectors, if there are any."""
    data: DataFiles
    """By split."""
    config: _Tree
    """AllenNLP's, with OPTIONS, WEIGHTS, DATA and SEED in place of what this run has there."""
    code: Annotated[dict[_Key, _Count], _Many]
    """Numbers of the code that computes the encoder, the factors and the training."""


@_closed
class Times(TypedDict):
    """Milliseconds a batch, of the run's encoder, the dense one and AllenNLP's in turns, and medians of ratios."""

    median_ms: _Positive
    """Milliseconds a batch of the run's encoder."""
    p95_ms: _Positive
    """Their 95th percentile."""
    dense_median_ms: _Positive
    """Of the dense encoder."""
    dense_p95_ms: _Positive
    """Of the dense encoder."""
    speed_up: _Positive
    """Median over rounds of the dense encoder's time over the run's."""
    allennlp_median_ms: NotRequired[_Positive]
    """Of AllenNLP's dense encoder, where it was timed."""
    allennlp_speed_up: NotRequired[_Positive]
    """As `speed_up`, of AllenNLP's time over the run's."""


Batches = TypedDict(
    "Batches",
    {
        "1": Annotated[Times, Field(description="Of one text, or for a language model of one step.")],
        "32": Annotated[Times, Field(description="Of 32 texts.")],
    },
)
_closed(Batches)


@_closed
class Latency(TypedDict):
    """Of the encoder and of the whole model, by batch size."""

    encoder: Batches
    """From characters; of a language model, its core."""
    model: Batches
    """The task's, with the encoder in it."""


@_closed
class Size(TypedDict):
    """Numbers of the biLSTM and of the encoder around it, see `SizeReport`."""

    lstm_parameters: _Some
    """Numbers in the LSTMs, compressed."""
    lstm_dense_parameters: _Some
    """Before compression."""
    encoder_parameters: _Some
    """Of the encoder with its character CNN, or of a language model with its embedding."""
    lstm_bytes: _Some
    """As they are run."""
    encoder_bytes: _Some
    """As they are run."""
    lstm_ratio: _Positive
    """Dense parameters over own."""
    encoder_ratio: _Positive
    """Dense parameters over own."""
    lstm_multiply_adds: _Some
    """For a token."""
    lstm_dense_multiply_adds: _Some
    """For a token."""
    char_cnn_multiply_adds: _Count
    """For a token that has not been seen; 0 for a language model."""


@_closed
class ActivationError(TypedDict):
    """|own - dense| / |dense| of each biLSTM layer, and of all."""

    layers: Annotated[list[_Number], _Many]
    """Of each layer."""
    all: _Number
    """Of all layers together."""


@_closed
class NormsOf(TypedDict):
    """Of a matrix before compression, see `Norms`."""

    l1: _Number
    """Sum of absolute values."""
    frobenius: _Number
    """Root of the sum of squares."""
    spectral: _Number
    """Largest singular value."""
    nuclear: _Number
    """Sum of the singular values."""
    std: _Number
    """Standard deviation of the entries."""
    effective_rank: _Number
    """See `Norms`."""


@_closed
class MatrixError(TypedDict):
    """One compressed matrix, see `compression_report`."""

    direction: Literal["forward", "backward"]
    """Of its LSTM."""
    layer: _Count
    """From 0 on."""
    target: Literal["input", "recurrent", "projection", "joint"]
    """Of its LSTM too; `joint` is the first two as one."""
    shape: Annotated[list[_Count], Field(min_length=2, max_length=2)]
    """Rows and columns."""
    rank: _Count | None
    """Of its factors; null if it is not factored."""
    parameters: _Count
    """Numbers kept."""
    energy: _Number
    """Share of the squared Frobenius norm that is kept."""
    error: _Number
    """Frobenius norm of the difference over that of the matrix."""
    input_error: _Number
    """The same of the products with the matrix's inputs."""
    norms: NormsOf
    """Before compression."""


@_closed
class HighwayError(TypedDict):
    """One compressed highway layer of the character CNN, both gates as one matrix; otherwise as `MatrixError`."""

    layer: _Count
    """From 0 on."""
    shape: Annotated[list[_Count], Field(min_length=2, max_length=2)]
    """Rows and columns."""
    rank: _Count
    """Of its factors."""
    parameters: _Count
    """Numbers kept."""
    energy: _Number
    """Share of the squared Frobenius norm that is kept."""
    error: _Number
    """Frobenius norm of the difference over that of the matrix."""
    input_error: _Number
    """The same of the products with the matrix's inputs."""
    norms: NormsOf
    """Before compression."""


@_closed
class ElmoFacts(TypedDict):
    """The checkpoint's name and sizes."""

    name: _Text
    """Folder and file."""
    layers: _Count
    """LSTM layers."""
    cell: _Count
    """Memory cells a direction, n."""
    projection: _Count
    """Width of the projected state, p."""


@_closed
class Machine(TypedDict):
    """Where it ran."""

    cpu: _Text
    """The processor's name."""
    cores: _Count | None
    """That the process may use."""
    threads: _Count
    """That it used."""
    instructions: _Text
    """The widest that PyTorch uses."""
    system: _Text
    """Kernel and architecture."""
    gpu: NotRequired[_Text]
    """The GPU's name, where it ran on one."""
    environment: NotRequired[Annotated[dict[_Key, _Text], _Many]]
    """`ELMO_MF_NATIVE` and `ELMO_MF_CUDA_GRAPHS`, where they were set."""


@_closed
class Timed(TypedDict):
    """What times were measured with, where not with the rest of their record."""

    versions: Annotated[dict[_Key, _Text | None], _Many]
    """Of Python and of packages."""
    machine: Machine
    """The processor, and the threads."""


@_closed
class Examples(TypedDict):
    """How many examples each split has."""

    train: _Count
    """Of the training."""
    validation: _Count
    """Of the validation split."""
    test: NotRequired[_Count]
    """Where the task has one."""


@_closed
class Record(TypedDict):
    """One run's result; the file holds these keys and no others."""

    format: Literal[2]
    """Of this file."""
    id: _Text
    """SHA-256 of `run`."""
    run: RunIdentity
    """What was run."""
    scores: Annotated[dict[_Key, _Number], _Many]
    """The task's metrics on the scored split."""
    validation: Annotated[dict[_Key, _Number], _Many]
    """And on the validation split."""
    best_epoch: _Int
    """Whose weights were scored, by the validation split."""
    epochs: _Count
    """That were trained."""
    examples: Examples
    """Of each split."""
    chance: _Number
    """The primary metric's value for a model that knows nothing."""
    size: Size
    """Parameters, bytes and multiply-adds."""
    activation_error: ActivationError | None
    """Of the outputs on sentences of the scored split; null for the dense encoder."""
    matrices: Annotated[list[MatrixError], _Many]
    """Each compressed matrix."""
    highways: NotRequired[Annotated[list[HighwayError], _Many]]
    """Each compressed highway layer, where there are any; older records leave them out."""
    factorization_seconds: _Number | None
    """Null for the dense encoder."""
    latency: Latency
    """Times, measured while nothing else of the sweep ran."""
    timed: NotRequired[Timed]
    """What they were measured with, where `elmo-mf sweep --retime` has measured them."""
    elmo: ElmoFacts | None
    """Null for a language model."""
    data: _Text
    """`demo`, or the name of the data folder."""
    seconds: _Positive
    """The whole run."""
    phases: NotRequired[Annotated[dict[_Key, _Number], _Many]]
    """Seconds by phase."""
    versions: Annotated[dict[_Key, _Text | None], _Many]
    """Of Python and of packages."""
    machine: Machine
    """The processor, and the threads that it ran on."""


RECORD = TypeAdapter(Record)


def read_record(path: Path, task_named: Callable[[str], Task] = load_task) -> dict[str, Any]:
    """One record, every field checked, and its identity against its `id`.

    Raises:
        InputError: the file is unreadable, not a record, of another format, altered, or of a task that is not known
            here.
    """
    return check_record(read_bytes(path, "record", "a result record", most=MOST_BYTES), str(path), task_named)


def check_record(raw: bytes, where: str, task_named: Callable[[str], Task] = load_task) -> dict[str, Any]:
    """A record from its JSON, see `read_record`."""
    try:
        record: dict[str, Any] = dict(RECORD.validate_json(raw.removeprefix(codecs.BOM_UTF8)))
    except ValidationError as error:
        raise InputError(f"{where}: {_first(error)}") from None
    run = record["run"]
    if record["id"] != digest(run):
        raise InputError(f"{where}: id: found {record['id'][:20]!r}, expected {digest(run)[:20]!r}, its run's hash")
    if (record["elmo"] is None) != (run["elmo"] is None):
        raise InputError(f"{where}: elmo: found {_shown(record['elmo'])}, expected what run.elmo has: both or neither")
    try:
        if run["compression"] is not None:
            compression_of(run["compression"])
        dense_finetune(run)
        task = task_named(run["task"])
    except InputError as error:
        raise InputError(f"{where}: run: {error}") from None
    _check_scored(record, task, where)
    return record


def _check_scored(record: dict[str, Any], task: Task, where: str) -> None:
    """That there are the numbers which the board ranks by."""
    for key, field in ((task.primary, "scores"), (task.scored, "examples")):
        if key not in record[field]:
            raise InputError(f"{where}: {field}.{key}: found nothing, expected the number of {task.name}")
    if record["examples"][task.scored] == 0:
        raise InputError(f"{where}: examples.{task.scored}: found 0, expected the examples that the score is of")
    score = record["scores"][task.primary]
    if task.metrics[task.primary] == "lower" and score <= 0:
        raise InputError(f"{where}: scores.{task.primary}: found {score}, expected a number above 0")


def run_key(record: dict[str, Any]) -> str:
    """The same for records of one run, however its compression is written."""
    run = record["run"]
    if run["compression"] is None:
        return str(record["id"])
    plain = plain_form(run["compression"])
    return str(record["id"]) if plain == run["compression"] else digest(run | {"compression": plain})


def timed(record: dict[str, Any]) -> dict[str, Any]:
    """The `versions` and the `machine` that a record's times were measured with."""
    about = record.get("timed", record)
    return {"versions": about["versions"], "machine": about["machine"]}


def known_tasks() -> Callable[[str], Task]:
    """`load_task` that reads each card once, for many records."""
    return cache(load_task)


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in one line."""
    detail = error.errors(include_url=False, include_context=False)[0]
    if detail["type"] == "json_invalid":
        return f"found something that is not JSON ({detail['msg'][:100]}), expected a result record"
    where = ".".join(str(part)[:60] for part in detail["loc"]) or "it"
    if detail["type"] == "bounds":
        return f"{where}{detail['msg']}"
    found = "nothing" if detail["type"] == "missing" else _shown(detail["input"])
    return f"{where}: found {found}, expected a result record ({detail['msg']})"


def _shown(value: Any) -> str:
    """A value as it would be written, at most so much of it as tells what it is."""
    return " ".join(repr(value).split())[:60]
