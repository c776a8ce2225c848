"""Size and cost of a biLM, dense or factored: parameters, bytes, multiply-adds a token."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.weights import (
    DIRECTIONS,
    JOINT,
    TARGETS,
    BilmWeights,
    Factors,
    Matrix,
    Pruned,
    Target,
    highway_matrices,
)

BYTES_PER_PARAMETER = 4  # the encoder runs in float32
_ORDER: tuple[Target, ...] = (JOINT, *TARGETS)


@dataclass(frozen=True)
class MatrixSize:
    """One matrix of the biLSTM, or a joint one; `rank` is None where it is dense or pruned.

    `parameters` are those that are not zero for good; `stored` are the numbers in memory, each of one multiply-add.
    """

    direction: str
    layer: int
    target: Target
    shape: tuple[int, int]
    rank: int | None
    parameters: int
    stored: int

    @property
    def dense_parameters(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return BYTES_PER_PARAMETER * self.stored


@dataclass(frozen=True)
class SizeReport:
    """Sizes of all biLSTM matrices, and totals.

    `lstm_*` count the biLSTM with its biases, `encoder_*` what is around it as well: the character CNN, or a language
    model's embedding. A multiply-add is counted once for each weight of a product and each token. Pruned matrices have
    fewer parameters than dense ones, but as many bytes and multiply-adds. `around_saved` is how many more parameters,
    and as many multiply-adds, the character CNN has with dense highway layers.
    """

    matrices: tuple[MatrixSize, ...]
    lstm_parameters: int
    lstm_dense_parameters: int
    lstm_stored: int
    around_parameters: int
    lstm_multiply_adds: int
    lstm_dense_multiply_adds: int
    around_multiply_adds: int
    around_saved: int

    @property
    def encoder_parameters(self) -> int:
        return self.lstm_parameters + self.around_parameters

    @property
    def lstm_bytes(self) -> int:
        return BYTES_PER_PARAMETER * self.lstm_stored

    @property
    def encoder_bytes(self) -> int:
        return BYTES_PER_PARAMETER * (self.lstm_stored + self.around_parameters)

    @property
    def lstm_ratio(self) -> float:
        """How many times smaller the biLSTM is than when dense."""
        return self.lstm_dense_parameters / self.lstm_parameters

    @property
    def encoder_ratio(self) -> float:
        """How many times smaller the whole encoder is than when dense."""
        return (self.lstm_dense_parameters + self.around_parameters + self.around_saved) / self.encoder_parameters

    def to_dict(self) -> dict[str, float | int]:
        """The totals, for a record."""
        names = (
            "lstm_parameters", "lstm_dense_parameters", "encoder_parameters", "lstm_bytes", "encoder_bytes",
            "lstm_ratio", "encoder_ratio", "lstm_multiply_adds", "lstm_dense_multiply_adds",
        )  # fmt: skip
        # the record's key is from when there were ELMos only
        return {name: getattr(self, name) for name in names} | {"char_cnn_multiply_adds": self.around_multiply_adds}


def size_report(weights: BilmWeights, options: BilmOptions) -> SizeReport:
    """Count parameters and multiply-adds of `weights`."""
    char_cnn = sum(array.size for array in weights.char_cnn.values())
    saved = sum(prod(matrix.shape) - matrix.size for matrix in highway_matrices(weights.char_cnn))
    projected = "CNN_proj/W_proj" in weights.char_cnn
    return lstm_size(weights, char_cnn, _char_cnn_multiply_adds(options, projected) - saved, saved)


def lstm_size(
    weights: BilmWeights, around_parameters: int, around_multiply_adds: int, around_saved: int = 0
) -> SizeReport:
    """Count the LSTMs; what is around them is as given."""
    rows = [
        _matrix_size(direction, layer, target, matrix)
        for (direction, layer), lstm in sorted(weights.lstms.items())
        for target, matrix in sorted(lstm.matrices.items(), key=lambda item: _ORDER.index(item[0]))
    ]
    biases = sum(lstm.bias.size for lstm in weights.lstms.values())
    stored, dense = sum(row.stored for row in rows), sum(row.dense_parameters for row in rows)
    return SizeReport(
        matrices=tuple(rows),
        lstm_parameters=sum(row.parameters for row in rows) + biases,
        lstm_dense_parameters=dense + biases,
        lstm_stored=stored + biases,
        around_parameters=around_parameters,
        lstm_multiply_adds=stored,
        lstm_dense_multiply_adds=dense,
        around_multiply_adds=around_multiply_adds,
        around_saved=around_saved,
    )


def _matrix_size(direction: int, layer: int, target: Target, matrix: Matrix) -> MatrixSize:
    m, n = matrix.shape
    rank = matrix.rank if isinstance(matrix, Factors) else None
    stored = m * n if isinstance(matrix, Pruned) else int(matrix.size)
    return MatrixSize(DIRECTIONS[direction], layer, target, (m, n), rank, int(matrix.size), stored)


def _char_cnn_multiply_adds(options: BilmOptions, projected: bool) -> int:
    """With dense highway layers."""
    cnn = options.char_cnn
    convolutions = sum(
        (cnn.max_characters_per_token - width + 1) * width * cnn.embedding_dim * number for width, number in cnn.filters
    )
    projection = cnn.n_filters * options.lstm.projection_dim if projected else 0
    return convolutions + cnn.n_highway * 2 * cnn.n_filters**2 + projection
