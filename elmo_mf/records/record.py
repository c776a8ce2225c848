"""The record of a run: what was run, what it scored, how large and how fast it is."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr

from elmo_mf.errors import InputError, absent, instead_of, shown
from elmo_mf.io.reading import read_bytes
from elmo_mf.io.validation import validated_json
from elmo_mf.records.base_model import Count, Data, Int, Key, Many, Number, Positive, PositiveInt, Text
from elmo_mf.records.digest import digest
from elmo_mf.records.identity import RunIdentity, Split
from elmo_mf.records.labels import run_name
from elmo_mf.records.outputs import Outputs

FORMAT: Literal[3] = 3
MOST_BYTES = 1_000_000

Batch = Literal["1", "32"]
BATCHES: tuple[Batch, ...] = ("1", "32")
Part = Literal["encoder", "model"]
PARTS: tuple[Part, ...] = ("encoder", "model")


class TaskInfo(Data):
    """Description of a task on the leaderboard, in addition to its scores."""

    title: Text
    """Title for readers."""
    source: Text
    """Where the data comes from."""
    licence: Text
    """Licence of the data."""
    published: dict[Split, PositiveInt] | None = None
    """Number of examples of each split as the data set is published; of both splits in `validation`, where validation
    and test data are dealt out from one file."""


class Times(Data):
    """Milliseconds per batch of the run's encoder, the dense one and AllenNLP's, measured in turns; median ratios."""

    median_ms: Positive
    """Median milliseconds per batch of the run's encoder."""
    p95_ms: Positive
    """95th percentile for the run's encoder."""
    dense_median_ms: Positive
    """Median for the dense encoder."""
    dense_p95_ms: Positive
    """95th percentile for the dense encoder."""
    speed_up: Positive
    """Median over rounds of the dense encoder's time divided by the run's."""
    allennlp_median_ms: Positive | None = None
    """Median for AllenNLP's dense encoder, where it was timed."""
    allennlp_speed_up: Positive | None = None
    """Median over rounds of AllenNLP's time divided by the run's."""


Batches = Annotated[dict[Batch, Times], Field(min_length=len(BATCHES))]
"""Times by the number of texts in a batch; a language model's batch of 1 is one step of generation."""


class Latency(Data):
    """Times of the encoder and of the whole model, by batch size."""

    encoder: Batches
    """The encoder from characters; of a language model, its core."""
    model: Batches | None = None
    """The task's model with the encoder in it; null where the encoder is probed."""

    def of(self, part: Part) -> Batches | None:
        """Return the times of a part."""
        return self.encoder if part == "encoder" else self.model


class Size(Data):
    """Size of the biLSTM, and of the encoder around it."""

    lstm_parameters: PositiveInt
    """Parameters of the LSTMs."""
    lstm_dense_parameters: PositiveInt
    """Parameters of the LSTMs before compression."""
    encoder_parameters: PositiveInt
    """Parameters of the encoder with its character CNN, or of a language model with its embedding."""
    lstm_bytes: PositiveInt
    """Bytes of the LSTMs, stored in the encoder's precision."""
    encoder_bytes: PositiveInt
    """Bytes of the encoder, stored in its precision: bfloat16 takes as many as float16."""
    lstm_ratio: Positive
    """Dense parameters of the LSTMs divided by their own."""
    encoder_ratio: Positive
    """Dense parameters of the encoder divided by its own."""
    lstm_multiply_adds: PositiveInt
    """Multiply-adds of the LSTMs per token."""
    lstm_dense_multiply_adds: PositiveInt
    """Multiply-adds of the dense LSTMs per token."""
    char_cnn_multiply_adds: Count
    """Multiply-adds of the character CNN per new token; 0 for a language model."""

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the whole encoder per token."""
        return self.lstm_multiply_adds + self.char_cnn_multiply_adds


class ActivationError(Data):
    """Relative errors of the LSTM layers' outputs, |compressed - dense| / |dense|."""

    layers: Annotated[list[Number], Many]
    """Error of each layer."""
    all: Number
    """Error of all layers together."""
    sentences: Count | None = None
    """Number of sentences, for an ELMo."""


class Norms(Data):
    """Norms of a matrix before compression, see `elmo_mf.compression.norms`."""

    l1: Number
    """Sum of absolute values."""
    frobenius: Number
    """Root of the sum of squares."""
    spectral: Number
    """Largest singular value."""
    nuclear: Number
    """Sum of the singular values."""
    std: Number
    """Standard deviation of the entries."""
    effective_rank: Number
    """Effective rank."""


NORMS = tuple(Norms.model_fields)
"""Names of the norms."""


class CompressedMatrix(Data):
    """Size and errors of a compressed matrix."""

    layer: Count
    """Number of the layer, counted from 0."""
    shape: Annotated[list[Count], Field(min_length=2, max_length=2)]
    """Rows and columns."""
    rank: Count | None
    """Rank of the factors; null if the matrix is not factored."""
    parameters: Count
    """Parameters that are kept."""
    energy: Number
    """Share of the squared Frobenius norm that is kept."""
    error: Number
    """Frobenius norm of the difference divided by that of the matrix."""
    input_error: Number
    """The same ratio for the products with the matrix's inputs."""
    norms: Norms
    """Norms before compression."""


class LstmMatrix(CompressedMatrix):
    """A compressed matrix of an LSTM."""

    direction: Literal["forward", "backward"]
    """Direction of the LSTM."""
    target: Literal["input", "recurrent", "projection", "joint"]
    """Which matrix of the LSTM; `joint` is input and recurrent as one."""


class HighwayLayer(CompressedMatrix):
    """A compressed highway layer of the character CNN, both gates as one matrix."""


class ElmoInfo(Data):
    """Name and sizes of an ELMo."""

    name: Text
    """Folder and file of the weights."""
    layers: Count
    """LSTM layers."""
    cell: Count
    """Memory cells per direction, n."""
    projection: Count
    """Width of the projected state, p."""


class Machine(Data):
    """The machine that a run ran on."""

    cpu: Text
    """Name of the processor."""
    cores: Count | None
    """Cores of the machine."""
    threads: Count
    """Threads that PyTorch used."""
    instructions: Text
    """Widest instruction set that PyTorch uses."""
    system: Text
    """Kernel and architecture."""
    gpu: Text | None = None
    """Name of the GPU, where the run used one."""
    environment: Annotated[dict[Key, Text], Many] | None = None
    """`ELMO_MF_NATIVE` and `ELMO_MF_CUDA_GRAPHS`, where they were set."""


class Provenance(Data):
    """Versions and machine of a measurement."""

    versions: Annotated[dict[Key, Text | None], Many]
    """Versions of Python and of packages."""
    machine: Machine
    """The processor, and the threads that were used."""


class Examples(Data):
    """Number of examples of each split."""

    train: Count
    """Examples of the training split."""
    validation: Count
    """Examples of the validation split."""
    test: Count | None = None
    """Examples of the test split, where the task has one."""

    def of(self, split: Split) -> int | None:
        """Return the number of a split's examples; None where there is no such split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    def items(self) -> list[tuple[str, int]]:
        """Return the splits that there are, with their numbers."""
        return list(self.model_dump(exclude_none=True).items())


class OutputsFile(Data):
    """The file with what each example contributes to the scores, see `elmo_mf.records.outputs`."""

    sha256: Text
    """SHA-256 of the file."""


class Retimed(Data):
    """Times of a run that were measured again, and what with."""

    latency: Latency
    """The times."""
    timed: Provenance
    """Versions and machine of the times."""


class _Identified(Data):
    format: Literal[3]
    """Version of the file's format."""
    id: Text
    """Digest of `run`."""
    run: RunIdentity
    """What was run."""


class Measurements(Data):
    """Measurements of a run."""

    task: TaskInfo
    """The task, for readers."""
    scores: Annotated[dict[Key, Number], Many]
    """The task's metrics on the scored split."""
    validation: Annotated[dict[Key, Number], Many]
    """The same metrics on the validation split."""
    best_epoch: Int
    """The epoch whose weights were scored, chosen by the validation split."""
    epochs: Count
    """Number of epochs that were trained."""
    examples: Examples
    """How many examples each split has."""
    chance: Number
    """Primary metric of a model that knows nothing."""
    outputs: OutputsFile | None = None
    """The outputs for each example, where they were kept."""
    collapsed: bool = False
    """Whether the model learned nothing from its inputs in any attempt: its validation loss is the prior's."""
    collapsed_attempts: Count = 0
    """Number of trainings that collapsed before this one, which was run with another seed and a lower learning rate."""
    size: Size | None
    """Parameters, bytes and multiply-adds; null for a baseline without an encoder."""
    activation_error: ActivationError | None
    """Errors of the layers' outputs on sentences of the scored split; null for the dense encoder."""
    matrices: Annotated[list[LstmMatrix], Many]
    """Each compressed matrix."""
    highways: Annotated[list[HighwayLayer], Many] | None = None
    """Each compressed highway layer, where there are any."""
    factorization_seconds: Number | None
    """Seconds of the compression; null for the dense encoder."""
    latency: Latency | None
    """Times, measured while nothing else of the sweep ran; null for a baseline without an encoder."""
    timed: Provenance | None = None
    """What the times were measured with, where `elmo-mf sweep --retime` measured them again."""
    elmo: ElmoInfo | None
    """The ELMo; null for a language model."""
    data: Text
    """`demo`, or the name of the data folder."""
    seconds: Positive
    """Duration of the whole run."""
    phases: Annotated[dict[Key, Number], Many] | None = None
    """Seconds by phase."""
    versions: Annotated[dict[Key, Text | None], Many]
    """Versions of Python and of packages."""
    machine: Machine
    """The machine that scores are from."""

    _by_example: Outputs | None = PrivateAttr(None)

    @property
    def by_example(self) -> Outputs | None:
        """The outputs for each example, until they are stored in a file of their own."""
        return self._by_example

    def with_outputs(self, outputs: Outputs) -> Self:
        """Return these measurements together with the outputs for each example."""
        copy = self.model_copy()
        copy._by_example = outputs
        return copy

    @property
    def timing(self) -> Provenance:
        """Versions and machine of the times."""
        return self.timed or Provenance.model_construct(versions=self.versions, machine=self.machine)


class Record(Measurements, _Identified):
    """The result of one run; its file holds these keys and no others."""

    @property
    def score(self) -> float:
        """The primary metric."""
        return self.scores[self.run.scoring.primary]

    @property
    def is_dense(self) -> bool:
        """Whether the encoder is as it was trained, without fine-tuning."""
        return self.run.is_dense

    @property
    def file_name(self) -> str:
        """The name of the file that a sweep writes the record to."""
        return f"{run_name(self.run, self.id)}.json"


def read_record(path: Path) -> Record:
    """Read one record; every field is checked, and its id against its run.

    Args:
        path: The JSON file.

    Returns:
        The record.

    Raises:
        InputError: The file is unreadable, not a record, of another format, or altered.

    Examples:
        >>> from pathlib import Path
        >>> from elmo_mf.records import read_record
        >>> [file] = Path("leaderboard/records").glob("sst-swapped-svd-all-rank-32-seed-1-*.json")
        >>> record = read_record(file)
        >>> record.run.task, record.run.compression.rank
        ('sst', 32)
    """
    return parse_record(read_bytes(path, "record", "a result record", most=MOST_BYTES), str(path))


def parse_record(raw: bytes, where: str) -> Record:
    """Check a record's JSON, as `read_record` does.

    Args:
        raw: The content of the file.
        where: What is read, for errors.

    Returns:
        The record.

    Raises:
        InputError: See `read_record`.
    """
    record = validated_json(Record, raw.removeprefix(codecs.BOM_UTF8), where, "a result record")
    check_record(record, where)
    return record


def check_record(record: Record, where: str) -> None:
    """Check that the parts of a record agree.

    Args:
        record: The record.
        where: What is read, for errors.

    Raises:
        InputError: The id is not that of the run; the record and its run disagree about having an ELMo; or the score to
            rank by, or the number of its examples, is missing or impossible.
    """
    run, scoring = record.run, record.run.scoring
    expected = digest(run.to_dict())
    if record.id != expected:
        raise InputError(where, "id", f"found {record.id[:20]!r}, expected {expected[:20]!r}, the digest of its run")
    if (record.elmo is None) != (run.elmo is None):
        found = shown(record.elmo and record.elmo.to_dict())
        raise InputError(where, "elmo", f"found {found}, expected what run.elmo has: both or neither")
    if scoring.primary not in record.scores:
        raise InputError(where, f"scores.{scoring.primary}", absent("the primary metric"))
    examples = record.examples.of(scoring.split)
    if not examples:
        problem = instead_of("the examples that are scored", None if examples is None else "0")
        raise InputError(where, f"examples.{scoring.split}", problem)
    if not scoring.higher_is_better and record.score <= 0:
        raise InputError(where, f"scores.{scoring.primary}", f"found {record.score}, expected a number above 0")
