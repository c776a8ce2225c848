"""The settings of a pretraining run: everything that its result depends on, except the texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from elmo_mf.bilm.options import BilmOptions

Schedule = Literal["one_cycle", "constant", "linear", "cosine"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
SoftmaxKind = Literal["adaptive", "full", "sampled"]
SOFTMAXES: tuple[SoftmaxKind, ...] = get_args(SoftmaxKind)
Mixed = Literal["none", "bfloat16", "float16"]
Dtype = Literal["float16", "float32"]
DEFAULT_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256))
_SEEDS = 2**64  # the number of seeds that PyTorch has


class PretrainSettings(BaseModel):
    """The settings of `elmo-mf pretrain`; the descriptions of the fields are its help.

    Attributes:
        compression: Keys of `Compression`, for weights that are low-rank from the start: the random weights are
            factorized (spectral initialization, Khodak et al. 2021) and the factors are trained.
        architecture: The content of an options file, which replaces `cell`, `projection` and `layers`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Annotated[int, Field(ge=1, description="Number of memory cells per direction.")] = 512
    projection: Annotated[int, Field(ge=1, description="Width of the projected state.")] = 64
    layers: Annotated[int, Field(ge=1, description="Number of LSTM layers.")] = 2
    epochs: Annotated[int, Field(ge=1, description="Number of passes over the text.")] = 5
    batch_tokens: Annotated[int, Field(ge=16, description="Number of tokens per batch.")] = 2048
    learning_rate: Annotated[float, Field(ge=0, description="Peak learning rate of the schedule (Adam).")] = 3e-3
    grad_norm: Annotated[float, Field(ge=0, description="Norm to which larger gradients are clipped.")] = 1.0
    dropout: Annotated[float, Field(ge=0, le=0.99, description="Dropout on the states before the softmax.")] = 0.0
    softmax: Annotated[SoftmaxKind, Field(description="adaptive, full or sampled.")] = "adaptive"
    min_count: Annotated[int, Field(ge=1, description="Words that are rarer count as <UNK> in the output.")] = 3
    max_tokens: Annotated[int, Field(ge=1, description="Number of tokens at which longer sentences are split.")] = 80
    limit: Annotated[int | None, Field(ge=1, description="Number of lines of each file to read; all by default.")] = (
        None
    )
    seed: Annotated[int, Field(ge=0, lt=_SEEDS, description="Seed of weights, dropout and batch order.")] = 13
    dtype: Annotated[Dtype, Field(description="Type of the exported weights: float16 or float32.")] = "float16"
    max_words: Annotated[int | None, Field(ge=1, description="Largest size of a counted vocabulary.")] = None
    schedule: Annotated[
        Schedule, Field(description="Learning-rate schedule: one_cycle, constant, linear or cosine.")
    ] = "one_cycle"
    warmup: Annotated[
        float, Field(ge=0, le=1, description="Fraction of the steps in which the learning rate rises.")
    ] = 0.05
    accumulate: Annotated[int, Field(ge=1, description="Number of batches per step of the optimizer.")] = 1
    stateful: Annotated[
        bool, Field(description="Read the text in its order and carry the state from each sentence to the next.")
    ] = False
    mixed: Annotated[
        Mixed,
        Field(
            description="Mixed precision of products: none; bfloat16, faster where the processor has it, at about the "
            "same perplexity; or float16 on a GPU."
        ),
    ] = "none"
    patience: Annotated[
        int | None,
        Field(ge=1, description="Stop after this many epochs without a better held-out perplexity; export the best."),
    ] = None
    compression: dict[str, Any] | None = None
    architecture: dict[str, Any] | None = None

    @field_validator("compression")
    @classmethod
    def _check_compression(cls, keys: dict[str, Any] | None) -> dict[str, Any] | None:
        from elmo_mf.compression import read_compression

        if keys is not None:
            read_compression(keys)
        return keys

    def options(self) -> BilmOptions:
        """Return the options of the biLM that these settings train.

        Raises:
            InputError: The architecture is not that of an `options.json`.
        """
        from elmo_mf.bilm.options import BilmOptions

        if self.architecture is not None:
            return BilmOptions.from_dict(dict(self.architecture), "architecture")
        return BilmOptions.from_dict(
            {
                "lstm": {
                    "dim": self.cell,
                    "projection_dim": self.projection,
                    "n_layers": self.layers,
                    "cell_clip": 3,
                    "proj_clip": 3,
                    "use_skip_connections": True,
                },
                "char_cnn": {
                    "embedding": {"dim": 16},
                    "filters": [list(pair) for pair in DEFAULT_FILTERS],
                    "n_highway": 1,
                    "activation": "relu",
                    "n_characters": 262,
                    "max_characters_per_token": 50,
                },
            },
            "pretrain settings",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return self.model_dump()
