"""Identity of a run: all that its score depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from elmo_mf.io.validation import unexpected
from elmo_mf.records.base_model import Count, Data, JsonObject, Key, Many, MetricName, Name, Text
from elmo_mf.records.compression import Compression, FineTuning, StoredType
from elmo_mf.records.digest import digest

Split = Literal["train", "validation", "test"]
View = Literal["retrained", "swapped", "tuned"]
"""How an encoder and a task model are combined: the model is trained on the encoder (`retrained`); or was trained on
the dense encoder and is left unchanged (`swapped`), or trained for one more epoch (`tuned`)."""
Baseline = Literal["shuffled", "token-layer", "no-encoder", "words", "smaller"]
"""What an encoder is compared with: its weights `shuffled`, its `token-layer` alone, the task's model with
`no-encoder`, a linear model of `words`, or a `smaller` ELMo that was pretrained at its size."""
Precision = Literal["bfloat16", "int8", "int4"]
"""Precision of an encoder's weights, where it is not float32; those in int4 are multiplied as int8."""
ENCODER, TRAINING, PROBE, BILM, TUNING = "encoder", "training", "probe", "bilm", "tuning"
RUN_DATA, CHANCE = "run-data", "chance"
"""Names of versions that dense runs have too: of the encoder, of the training, the probe, or the scoring of an ELMo as
a language model, of the view `tuned`, of the data that a run reads, and of the chance score."""
PROBE_EXAMPLES, PROBE_FEATURES = "probe-examples", "probe-features"
"""Names of the versions of what a probe classifies, and of its features."""
LANGUAGE_TEXT, TEXT_STREAMS, SPACY_RULES, SST_PHRASES = "language_text", "text_streams", "spacy_rules", "sst_phrases"
"""Names of the versions of readers, a data loader and a tokenizer, as they are registered with AllenNLP."""
SHARED_VERSIONS = (
    ENCODER, TRAINING, PROBE, BILM, TUNING, RUN_DATA, CHANCE, PROBE_EXAMPLES, PROBE_FEATURES,
    LANGUAGE_TEXT, TEXT_STREAMS, SPACY_RULES, SST_PHRASES,
)  # fmt: skip
"""Names of all versions that dense runs share."""


def unless_first(versions: Mapping[str, int]) -> dict[str, int]:
    """Drop versions equal to 1, for parts that had no version when the first runs were recorded."""
    return {name: number for name, number in versions.items() if number != 1}


class FileIdentity(Data):
    """A data file, and how many of its examples are used."""

    sha256: Text
    """SHA-256 of the whole file."""
    limit: Count | None = None
    """Number of its examples that are used; null for all."""


class DataFiles(Data):
    """The files of a task's splits."""

    train: FileIdentity
    """What the model is trained on."""
    validation: FileIdentity
    """What selects the best epoch."""
    test: FileIdentity | None = None
    """The test split, where the task has one."""

    def items(self) -> Iterator[tuple[Split, FileIdentity]]:
        """Yield each split that there is, with its file."""
        yield "train", self.train
        yield "validation", self.validation
        if self.test is not None:
            yield "test", self.test


class ElmoFiles(Data):
    """SHA-256 of an ELMo's files."""

    options: Text
    """SHA-256 of options.json."""
    weights: Text
    """SHA-256 of the weights."""
    softmax: Text | None = None
    """SHA-256 of the softmax, where the ELMo is scored as a language model; null elsewhere."""
    vocabulary: Text | None = None
    """SHA-256 of the words of the softmax; null where there is none."""


class Scoring(Data):
    """The part of a task's config that a score depends on: how examples are read, and what counts."""

    format: Text
    """Registered name of the data format."""
    split: Split
    """The split that is scored."""
    primary: MetricName
    """The metric that the leaderboard ranks by."""
    metrics: Annotated[dict[MetricName, Literal["higher", "lower"]], Many]
    """AllenNLP's metrics, and which values of each are better."""
    chance: Text
    """How the score of a model that knows nothing is computed."""

    @model_validator(mode="after")
    def _check_primary(self) -> Scoring:
        if self.primary not in self.metrics:
            raise unexpected("primary", self.primary, "one of the metrics")
        return self

    @property
    def higher_is_better(self) -> bool:
        """Whether higher values of the primary metric are better."""
        return self.metrics[self.primary] == "higher"


STORED_TYPES: dict[Precision | None, StoredType] = {
    None: "float32", "bfloat16": "float16", "int8": "int8", "int4": "int4",
}  # fmt: skip
"""Type in which the weights of each precision are stored."""


def stored_type(precision: Precision | Literal["float32"]) -> StoredType:
    """Return the type in which the weights of a precision are stored."""
    return STORED_TYPES[None if precision == "float32" else precision]


def products_of(precision: Precision) -> Literal["bfloat16", "int8"]:
    """Return the precision of the products with weights of a precision."""
    return "int8" if precision == "int4" else precision


def precision_of(dtype: StoredType) -> Precision | None:
    """Return the precision whose weights are stored in a type; None for float32."""
    return next(precision for precision, stored in STORED_TYPES.items() if stored == dtype)


class EncoderIdentity(Data):
    """Identity of an encoder on a board, whatever its seed."""

    compression: Compression | None = None
    """How the encoder is compressed, files by their SHA-256; null for the dense encoder."""
    task_gradients: bool = False
    """Whether the method used gradients of the run's own task and seed."""
    method_file: Text | None = None
    """SHA-256 of the file of a method from outside this project; null for the methods of this project."""
    finetune: FineTuning | None = None
    """Fine-tuning of a dense language model; that of a compressed one is part of `compression`."""
    baseline: Baseline | None = None
    """What takes the encoder's place, for comparison; null for an encoder."""
    precision: Precision | None = None
    """Precision of the encoder's weights; null for float32."""
    smaller: ElmoFiles | None = None
    """The smaller ELMo of that baseline; null for others."""
    words: Text | None = None
    """SHA-256 of the word vectors: those of the task's model, or those in place of a probe's encoder; null where there
    are none."""
    versions: Annotated[dict[Key, Count], Many] = Field(default_factory=dict)
    """Versions of the parts of this project that compress and train the encoder again."""

    @property
    def tuning(self) -> FineTuning | None:
        """Fine-tuning of the language model, compressed or dense."""
        return self.finetune if self.compression is None else self.compression.finetune

    @property
    def key(self) -> str:
        """Digest of the encoder's identity, by which records are grouped."""
        return digest(self.to_dict())

    @property
    def is_dense(self) -> bool:
        """Whether the encoder is as it was trained, in float32."""
        return self.compression is None and self.finetune is None and self.baseline is None and self.precision is None

    @property
    def has_views(self) -> bool:
        """Whether the encoder can be swapped into a model trained on the dense one; others require training."""
        return self.baseline in (None, "shuffled")

    @property
    def has_elmo(self) -> bool:
        """Whether an ELMo takes part; a language model counts, as it is itself the encoder."""
        return self.baseline not in ("no-encoder", "words")

    @property
    def trained_again(self) -> bool:
        """Whether the encoder was fine-tuned or distilled."""
        return self.tuning is not None or (self.compression is not None and self.compression.distill is not None)


class RunIdentity(EncoderIdentity):
    """Everything that the score of a run depends on, without paths and times."""

    task: Name
    """Name of the task."""
    view: View = "retrained"
    """How the encoder meets the task's model."""
    scoring: Scoring
    """How the task is scored."""
    seed: Count
    """Seed of initial weights, dropout and the order of batches."""
    elmo: ElmoFiles | None = None
    """The ELMo; null for a language model, and for baselines that have none, which every ELMo is compared with."""
    data: DataFiles
    """The files of the splits."""
    config: JsonObject
    """The AllenNLP config, with OPTIONS, WEIGHTS, DATA and SEED in place of this run's values."""
    versions: Annotated[dict[Key, Count], Many]
    """Versions of the parts of this project that the score depends on: encoder, method, data format, training."""

    @property
    def encoder(self) -> EncoderIdentity:
        """Identity of the encoder among those of the same board."""
        return EncoderIdentity.model_construct(
            compression=self.compression,
            task_gradients=self.task_gradients,
            method_file=self.method_file,
            finetune=self.finetune,
            baseline=self.baseline,
            smaller=self.smaller,
            precision=self.precision,
            words=self.words if self.is_probe else None,
            versions={name: number for name, number in self.versions.items() if name not in self._shared_versions},
        )

    @property
    def is_language_model(self) -> bool:
        """Whether the task's model is itself compressed, rather than an ELMo inside it."""
        return self.elmo is None and self.has_elmo

    @property
    def is_probe(self) -> bool:
        """Whether frozen vectors are classified, and no task's model is trained."""
        return PROBE in self.versions

    @property
    def is_bilm(self) -> bool:
        """Whether an ELMo is scored as the language model that it was pretrained as."""
        return BILM in self.versions

    @property
    def trains_model(self) -> bool:
        """Whether a task's model is trained, so that seeds matter."""
        return not (self.is_probe or self.is_bilm or self.baseline == "words")

    def setting(self) -> dict[str, JsonValue]:
        """Return what the runs of one board share: everything but the encoder and the seed."""
        values = self.dense().to_dict()
        del values["seed"]
        return values

    def dense(self) -> RunIdentity:
        """Return the identity of the dense encoder's run with the same task and seed."""
        shared = {name: number for name, number in self.versions.items() if name in self._shared_versions}
        words = None if self.is_probe else self.words
        return self.model_copy(update=EncoderIdentity(versions=shared, words=words).model_dump())

    def without_elmo(self) -> RunIdentity:
        """Return the identity without its ELMo."""
        return self.model_copy(update={"elmo": None})

    def retrained(self) -> RunIdentity:
        """Return the identity of the run whose model is trained on the encoder."""
        versions = {name: number for name, number in self.versions.items() if name != TUNING}
        return self.model_copy(update={"view": "retrained", "versions": versions})

    @property
    def _shared_versions(self) -> tuple[str, ...]:
        """Names of the versions that a dense run has too."""
        return *SHARED_VERSIONS, self.scoring.format

    @property
    def encoder_versions(self) -> dict[str, int]:
        """Versions of the code that builds the encoder, excluding training and data formats."""
        others = {*SHARED_VERSIONS, self.scoring.format} - {ENCODER}
        return {name: number for name, number in self.versions.items() if name not in others}
