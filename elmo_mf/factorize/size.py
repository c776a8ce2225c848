"""Size and cost of a biLM, dense or factored: parameters, bytes, multiply-adds a token."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import DIRECTIONS, TARGETS, BilmWeights, Factors

BYTES_PER_PARAMETER = 4  # the encoder runs in float32


@dataclass(frozen=True)
class MatrixSize:
    """One matrix of the biLSTM; `rank` is None where it is dense."""

    direction: str
    layer: int
    target: str
    shape: tuple[int, int]
    rank: int | None
    parameters: int

    @property
    def dense_parameters(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return BYTES_PER_PARAMETER * self.parameters


@dataclass(frozen=True)
class SizeReport:
    """Sizes of all biLSTM matrices, and totals.

    `lstm_*` count the biLSTM with its biases, `encoder_*` the character CNN as well. A multiply-add is counted once for
    each weight of a product and each token.
    """

    matrices: tuple[MatrixSize, ...]
    lstm_parameters: int
    lstm_dense_parameters: int
    char_cnn_parameters: int
    lstm_multiply_adds: int
    lstm_dense_multiply_adds: int
    char_cnn_multiply_adds: int

    @property
    def encoder_parameters(self) -> int:
        return self.lstm_parameters + self.char_cnn_parameters

    @property
    def lstm_bytes(self) -> int:
        return BYTES_PER_PARAMETER * self.lstm_parameters

    @property
    def encoder_bytes(self) -> int:
        return BYTES_PER_PARAMETER * self.encoder_parameters

    @property
    def lstm_ratio(self) -> float:
        """How many times smaller the biLSTM is than when dense."""
        return self.lstm_dense_parameters / self.lstm_parameters

    @property
    def encoder_ratio(self) -> float:
        """How many times smaller the whole encoder is than when dense."""
        return (self.lstm_dense_parameters + self.char_cnn_parameters) / self.encoder_parameters

    def to_dict(self) -> dict[str, float | int]:
        """The totals, for a record."""
        names = (
            "lstm_parameters", "lstm_dense_parameters", "encoder_parameters", "lstm_bytes", "encoder_bytes",
            "lstm_ratio", "encoder_ratio", "lstm_multiply_adds", "lstm_dense_multiply_adds", "char_cnn_multiply_adds",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


def size_report(weights: BilmWeights, options: BilmOptions) -> SizeReport:
    """Count parameters and multiply-adds of `weights`."""
    rows = []
    for (direction, layer), lstm in sorted(weights.lstms.items()):
        for target in TARGETS:
            matrix = lstm.matrices[target]
            rank = matrix.rank if isinstance(matrix, Factors) else None
            rows.append(MatrixSize(DIRECTIONS[direction], layer, target, _pair(matrix.shape), rank, int(matrix.size)))
    biases = sum(lstm.bias.size for lstm in weights.lstms.values())
    used, dense = sum(row.parameters for row in rows), sum(row.dense_parameters for row in rows)
    return SizeReport(
        matrices=tuple(rows),
        lstm_parameters=used + biases,
        lstm_dense_parameters=dense + biases,
        char_cnn_parameters=sum(array.size for array in weights.char_cnn.values()),
        lstm_multiply_adds=used,
        lstm_dense_multiply_adds=dense,
        char_cnn_multiply_adds=_char_cnn_multiply_adds(options),
    )


def _char_cnn_multiply_adds(options: BilmOptions) -> int:
    cnn = options.char_cnn
    convolutions = sum(
        (cnn.max_characters_per_token - width + 1) * width * cnn.embedding_dim * number for width, number in cnn.filters
    )
    return convolutions + cnn.n_highway * 2 * cnn.n_filters**2 + cnn.n_filters * options.lstm.projection_dim


def _pair(shape: tuple[int, ...]) -> tuple[int, int]:
    m, n = shape
    return m, n
