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
from elmo_mf.harness.grid import digest
from elmo_mf.harness.task import Task, load_task

FORMAT: Literal[2] = 2
MOST_BYTES = 10_000_000

_Count = Annotated[int, Field(ge=0)]
_Positive = Annotated[float, Field(gt=0)]
_closed = with_config(ConfigDict(allow_inf_nan=False, strict=True))


@_closed
class FileIdentity(TypedDict):
    """A data file, and how many of its examples were used; None for all."""

    sha256: str
    limit: int | None


@_closed
class CellIdentity(TypedDict):
    """All that a score depends on, see `Cell`."""

    task: str
    card: dict[str, Any]
    compression: dict[str, Any] | None
    seed: int
    elmo: dict[Literal["options", "weights"], str] | None
    words: str | None
    data: dict[str, FileIdentity]
    config: dict[str, Any]
    code: dict[str, int]


@_closed
class Times(TypedDict):
    """Milliseconds a batch, of the cell's encoder, the dense one and AllenNLP's in turns, and medians of ratios."""

    median_ms: _Positive
    p95_ms: _Positive
    dense_median_ms: _Positive
    dense_p95_ms: _Positive
    speed_up: _Positive
    allennlp_median_ms: NotRequired[_Positive]
    allennlp_speed_up: NotRequired[_Positive]


@_closed
class Latency(TypedDict):
    """Of the encoder and of the whole model, by batch size."""

    encoder: dict[Literal["1", "32"], Times]
    model: dict[Literal["1", "32"], Times]


@_closed
class Size(TypedDict):
    """Numbers of the biLSTM and of the encoder around it, see `SizeReport`."""

    lstm_parameters: _Count
    lstm_dense_parameters: _Count
    encoder_parameters: _Count
    lstm_bytes: _Count
    encoder_bytes: _Count
    lstm_ratio: float
    encoder_ratio: float
    lstm_multiply_adds: _Count
    lstm_dense_multiply_adds: _Count
    char_cnn_multiply_adds: _Count


@_closed
class ActivationError(TypedDict):
    """|own - dense| / |dense| of each biLSTM layer, and of all."""

    layers: list[float]
    all: float


@_closed
class NormsOf(TypedDict):
    """Of a matrix before compression, see `Norms`."""

    l1: float
    frobenius: float
    spectral: float
    nuclear: float
    std: float
    effective_rank: float


@_closed
class MatrixError(TypedDict):
    """One compressed matrix, see `compression_report`."""

    direction: Literal["forward", "backward"]
    layer: _Count
    target: str
    shape: list[int]
    rank: int | None
    parameters: _Count
    energy: float
    error: float
    input_error: float
    norms: NormsOf


@_closed
class ElmoFacts(TypedDict):
    """The checkpoint's name and sizes."""

    name: str
    layers: _Count
    cell: _Count
    projection: _Count


@_closed
class Machine(TypedDict):
    """Where it ran."""

    cpu: str
    cores: int | None
    threads: int
    instructions: str
    system: str


@_closed
class Record(TypedDict):
    """One cell's result; the file holds these keys and no others."""

    format: Literal[2]
    id: str
    cell: CellIdentity
    scores: dict[str, float]
    validation: dict[str, float]
    best_epoch: int
    epochs: int
    examples: dict[str, _Count]
    chance: float
    size: Size
    activation_error: ActivationError | None
    matrices: list[MatrixError]
    factorization_seconds: float | None
    latency: Latency
    elmo: ElmoFacts | None
    data: str
    seconds: _Positive
    phases: NotRequired[dict[str, float]]
    versions: dict[str, str | None]
    machine: Machine


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
        task = task_named(cell["task"])
    except InputError as error:
        raise InputError(f"{where}: cell: {error}") from None
    for key, field in ((task.primary, "scores"), (task.scored, "examples")):
        if key not in record[field]:
            raise InputError(f"{where}: {field}.{key}: found nothing, expected the number of {task.name}")
    return record


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
