"""What a cell leaves behind: the fields of a result record, and reading one with care."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from elmo_mf.errors import InputError
from elmo_mf.factorize import Compression
from elmo_mf.harness.grid import dense_finetune, digest
from elmo_mf.harness.task import Task, load_task

FORMAT: Literal[2] = 2
MOST_BYTES = 10_000_000

_Count = Annotated[int, Field(ge=0)]
_Positive = Annotated[float, Field(gt=0)]
_closed = with_config(ConfigDict(allow_inf_nan=False, strict=True, use_attribute_docstrings=True))


@_closed
class FileIdentity(TypedDict):
    """A data file, and how many of its examples were used; None for all."""

    sha256: str
    """Of the whole file."""
    limit: int | None
    """Examples of it that were used; null for all."""


@_closed
class Tuning(TypedDict):
    """See `FineTuning`."""

    epochs: int
    """Passes over the text."""
    learning_rate: float
    """At most."""


@_closed
class CellIdentity(TypedDict):
    """All that a score depends on, see `Cell`."""

    task: str
    """Its name."""
    card: dict[str, Any]
    """What of the task's card a score depends on."""
    compression: dict[str, Any] | None
    """The keys of `Compression`, files by their SHA-256; null for the dense encoder."""
    finetune: NotRequired[Tuning]
    """How a dense language model is trained again; a compressed one has this in `compression`."""
    seed: int
    """Of initial weights, dropout and the order of batches."""
    elmo: dict[Literal["options", "weights"], str] | None
    """SHA-256 of the ELMo's two files; null for a language model."""
    words: str | None
    """SHA-256 of the word vectors, if there are any."""
    data: dict[str, FileIdentity]
    """By split."""
    config: dict[str, Any]
    """AllenNLP's, with OPTIONS, WEIGHTS, DATA and SEED in place of what this cell has there."""
    code: dict[str, int]
    """Numbers of the code that computes the encoder, the factors and the training."""


@_closed
class Times(TypedDict):
    """Milliseconds a batch, of the cell's encoder, the dense one and AllenNLP's in turns, and medians of ratios."""

    median_ms: _Positive
    """Milliseconds a batch of the cell's encoder."""
    p95_ms: _Positive
    """Their 95th percentile."""
    dense_median_ms: _Positive
    """Of the dense encoder."""
    dense_p95_ms: _Positive
    """Of the dense encoder."""
    speed_up: _Positive
    """Median over rounds of the dense encoder's time over the cell's."""
    allennlp_median_ms: NotRequired[_Positive]
    """Of AllenNLP's dense encoder, where it was timed."""
    allennlp_speed_up: NotRequired[_Positive]
    """As `speed_up`, of AllenNLP's time over the cell's."""


@_closed
class Latency(TypedDict):
    """Of the encoder and of the whole model, by batch size."""

    encoder: dict[Literal["1", "32"], Times]
    """From characters; of a language model, its core."""
    model: dict[Literal["1", "32"], Times]
    """The task's, with the encoder in it."""


@_closed
class Size(TypedDict):
    """Numbers of the biLSTM and of the encoder around it, see `SizeReport`."""

    lstm_parameters: _Count
    """Numbers in the LSTMs, compressed."""
    lstm_dense_parameters: _Count
    """Before compression."""
    encoder_parameters: _Count
    """Of the encoder with its character CNN, or of a language model with its embedding."""
    lstm_bytes: _Count
    """As they are run."""
    encoder_bytes: _Count
    """As they are run."""
    lstm_ratio: float
    """Dense parameters over own."""
    encoder_ratio: float
    """Dense parameters over own."""
    lstm_multiply_adds: _Count
    """For a token."""
    lstm_dense_multiply_adds: _Count
    """For a token."""
    char_cnn_multiply_adds: _Count
    """For a token that has not been seen; 0 for a language model."""


@_closed
class ActivationError(TypedDict):
    """|own - dense| / |dense| of each biLSTM layer, and of all."""

    layers: list[float]
    """Of each layer."""
    all: float
    """Of all layers together."""


@_closed
class NormsOf(TypedDict):
    """Of a matrix before compression, see `Norms`."""

    l1: float
    """Sum of absolute values."""
    frobenius: float
    """Root of the sum of squares."""
    spectral: float
    """Largest singular value."""
    nuclear: float
    """Sum of the singular values."""
    std: float
    """Standard deviation of the entries."""
    effective_rank: float
    """See `Norms`."""


@_closed
class MatrixError(TypedDict):
    """One compressed matrix, see `compression_report`."""

    direction: Literal["forward", "backward"]
    """Of its LSTM."""
    layer: _Count
    """From 0 on."""
    target: str
    """`input`, `recurrent`, `projection` or `joint`."""
    shape: list[int]
    """Rows and columns."""
    rank: int | None
    """Of its factors; null if it is not factored."""
    parameters: _Count
    """Numbers kept."""
    energy: float
    """Share of the squared Frobenius norm that is kept."""
    error: float
    """Frobenius norm of the difference over that of the matrix."""
    input_error: float
    """The same of the products with the matrix's inputs."""
    norms: NormsOf
    """Before compression."""


@_closed
class HighwayError(TypedDict):
    """One compressed highway layer of the character CNN, both gates as one matrix; otherwise as `MatrixError`."""

    layer: _Count
    """From 0 on."""
    shape: list[int]
    """Rows and columns."""
    rank: _Count
    """Of its factors."""
    parameters: _Count
    """Numbers kept."""
    energy: float
    """Share of the squared Frobenius norm that is kept."""
    error: float
    """Frobenius norm of the difference over that of the matrix."""
    input_error: float
    """The same of the products with the matrix's inputs."""
    norms: NormsOf
    """Before compression."""


@_closed
class ElmoFacts(TypedDict):
    """The checkpoint's name and sizes."""

    name: str
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

    cpu: str
    """The processor's name."""
    cores: int | None
    """That the process may use."""
    threads: int
    """That it used."""
    instructions: str
    """The widest that PyTorch uses."""
    system: str
    """Kernel and architecture."""
    gpu: NotRequired[str]
    """The GPU's name, where it ran on one."""
    environment: NotRequired[dict[str, str]]
    """`ELMO_MF_NATIVE` and `ELMO_MF_CUDA_GRAPHS`, where they were set."""


@_closed
class Timed(TypedDict):
    """What times were measured with, where not with the rest of their record."""

    versions: dict[str, str | None]
    """Of Python and of packages."""
    machine: Machine
    """The processor, and the threads."""


@_closed
class Record(TypedDict):
    """One cell's result; the file holds these keys and no others."""

    format: Literal[2]
    """Of this file."""
    id: str
    """SHA-256 of `cell`."""
    cell: CellIdentity
    """What was run."""
    scores: dict[str, float]
    """The task's metrics on the scored split."""
    validation: dict[str, float]
    """And on the validation split."""
    best_epoch: int
    """Whose weights were scored, by the validation split."""
    epochs: int
    """That were trained."""
    examples: dict[str, _Count]
    """Of each split."""
    chance: float
    """The primary metric's value for a model that knows nothing."""
    size: Size
    """Parameters, bytes and multiply-adds."""
    activation_error: ActivationError | None
    """Of the outputs on sentences of the scored split; null for the dense encoder."""
    matrices: list[MatrixError]
    """Each compressed matrix."""
    highways: NotRequired[list[HighwayError]]
    """Each compressed highway layer, where there are any; older records leave them out."""
    factorization_seconds: float | None
    """Null for the dense encoder."""
    latency: Latency
    """Times, measured while nothing else of the sweep ran."""
    timed: NotRequired[Timed]
    """What they were measured with, where `elmo-mf sweep --retime` has measured them."""
    elmo: ElmoFacts | None
    """Null for a language model."""
    data: str
    """`demo`, or the name of the data folder."""
    seconds: _Positive
    """The whole cell."""
    phases: NotRequired[dict[str, float]]
    """Seconds by phase."""
    versions: dict[str, str | None]
    """Of Python and of packages."""
    machine: Machine
    """The processor, and the threads that it ran on."""


RECORD = TypeAdapter(Record)


def read_record(path: Path, task_named: Callable[[str], Task] = load_task) -> dict[str, Any]:
    """One record, every field checked, and its identity against its `id`.

    # Raises
    InputError: the file is unreadable, not a record, of another format, altered, or of a task that is not known here.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: found {path.stat().st_size} bytes, expected a record of at most {MOST_BYTES}")
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: found an unreadable file ({error.strerror}), expected a result record") from None
    return check_record(raw, str(path), task_named)


def check_record(raw: bytes, where: str, task_named: Callable[[str], Task] = load_task) -> dict[str, Any]:
    """A record from its JSON, see `read_record`."""
    try:
        record: dict[str, Any] = dict(RECORD.validate_json(raw))
    except ValidationError as error:
        raise InputError(f"{where}: {_first(error)}") from None
    cell = record["cell"]
    if record["id"] != digest(cell):
        raise InputError(f"{where}: id: found {record['id'][:20]!r}, expected {digest(cell)[:20]!r}, its cell's hash")
    try:
        if cell["compression"] is not None:
            Compression.from_dict(cell["compression"])
        dense_finetune(cell)
        task = task_named(cell["task"])
    except InputError as error:
        raise InputError(f"{where}: cell: {error}") from None
    for key, field in ((task.primary, "scores"), (task.scored, "examples")):
        if key not in record[field]:
            raise InputError(f"{where}: {field}.{key}: found nothing, expected the number of {task.name}")
    return record


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
    where = ".".join(str(part) for part in detail["loc"]) or "it"
    found = "nothing" if detail["type"] == "missing" else " ".join(repr(detail["input"]).split())[:60]
    return f"{where}: found {found}, expected a result record ({detail['msg']})"
