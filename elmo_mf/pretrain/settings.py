"""What a pretraining run depends on, besides its texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from elmo_mf.bilm.config import BilmOptions
from elmo_mf.compression import read_compression
from elmo_mf.errors import InputError, one_of
from elmo_mf.pretrain.schedule import SCHEDULES, Schedule
from elmo_mf.pretrain.word_softmax import SOFTMAXES, SoftmaxKind

DEFAULT_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256))
Mixed = Literal["none", "bfloat16", "float16"]
MIXED: tuple[Mixed, ...] = ("none", "bfloat16", "float16")
_SEEDS = 2**64  # the number of seeds that PyTorch has


@dataclass(frozen=True)
class PretrainSettings:
    """The options of `elmo-mf pretrain`.

    Attributes:
        compression: keys of `Compression`, for weights that are low-rank from the start: the random weights are
            factorized, which is how factors are best initialised (spectral initialisation, Khodak et al. 2021), and the
            factors learn.
        architecture: an options file's content, in place of `cell`, `projection` and `layers`.
        accumulate: batches a step of the optimiser.
        stateful: sentences come in the text's order, many places of it at once, and each starts in the state in which
            the sentence before it ended.
        mixed: type of the products in the encoder; parameters, memory cells, softmax and losses stay in float32.
        patience: stop after so many epochs without a better held-out perplexity, and export the best; None for never.
    """

    cell: int = 512
    projection: int = 64
    layers: int = 2
    epochs: int = 5
    batch_tokens: int = 2048
    learning_rate: float = 3e-3
    grad_norm: float = 1.0
    dropout: float = 0.0
    softmax: SoftmaxKind = "adaptive"
    min_count: int = 3
    max_tokens: int = 80
    limit: int | None = None
    seed: int = 13
    dtype: str = "float16"
    max_words: int | None = None
    schedule: Schedule = "one_cycle"
    warmup: float = 0.05
    accumulate: int = 1
    stateful: bool = False
    mixed: Mixed = "none"
    patience: int | None = None
    compression: Mapping[str, Any] | None = None
    architecture: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        choices = (("softmax", SOFTMAXES), ("schedule", SCHEDULES), ("mixed", MIXED))
        for name, known in choices:
            found = getattr(self, name)
            if found not in known:
                raise InputError(f"--{name}: found {found}, {one_of(found, known)}")
        if not 0 <= self.seed < _SEEDS:
            raise InputError(f"--seed: found {self.seed}, expected an integer from 0 on and below 2^64")
        if self.compression is not None:
            read_compression(self.compression)

    def options(self) -> BilmOptions:
        """The options of the biLM that these settings train."""
        if self.architecture is not None:
            return BilmOptions.from_dict(dict(self.architecture), "--options")
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
        """JSON form."""
        return asdict(self)
