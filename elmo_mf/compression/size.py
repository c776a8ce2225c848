"""Size and cost of a model, dense or compressed: parameters, bytes and multiply-adds per token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from elmo_mf.bilm.checkpoint import stored_bytes
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import (
    DIRECTIONS,
    STORED_TARGETS,
    BilmWeights,
    Factors,
    Matrix,
    Pruned,
    Target,
    highway_matrices,
)
from elmo_mf.compression.matrix_reference import MatrixPlace

BYTES_PER_PARAMETER = 4  # in float32


@dataclass(frozen=True)
class MatrixSize(MatrixPlace):
    """Size of one matrix of the LSTMs.

    Attributes:
        shape: Rows and columns.
        rank: Rank of the factors; None for a dense or pruned matrix.
        parameters: Parameters without pruned ones.
        stored: Numbers in memory, each of which takes one multiply-add a token.
    """

    shape: tuple[int, int]
    rank: int | None
    parameters: int
    stored: int

    @property
    def dense_parameters(self) -> int:
        """Parameters of the dense matrix."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes in float32."""
        return BYTES_PER_PARAMETER * self.stored


@dataclass(frozen=True)
class SizeReport:
    """Sizes of all matrices of the LSTMs, and totals.

    Totals named `lstm_*` count the LSTMs with their biases, `encoder_*` also what is around them: the token layer, or
    a language model's embedding. Each weight of a product takes one multiply-add a token. Pruned matrices have fewer
    parameters than dense ones, but as many bytes and multiply-adds. Bytes are those of a type of stored numbers.

    Attributes:
        matrices: Each matrix.
        lstm_parameters: Parameters of the LSTMs.
        lstm_dense_parameters: The same before compression, with all memory cells.
        lstm_bytes: Bytes of the LSTMs.
        encoder_bytes: Bytes of the whole encoder.
        around_parameters: Parameters around the LSTMs.
        lstm_multiply_adds: Multiply-adds per token.
        lstm_dense_multiply_adds: The same before compression.
        around_multiply_adds: Multiply-adds per token around the LSTMs.
        around_saved: Parameters, and multiply-adds, that factors of the highway layers save.
    """

    matrices: tuple[MatrixSize, ...]
    lstm_parameters: int
    lstm_dense_parameters: int
    lstm_bytes: int
    encoder_bytes: int
    around_parameters: int
    lstm_multiply_adds: int
    lstm_dense_multiply_adds: int
    around_multiply_adds: int
    around_saved: int

    @property
    def encoder_parameters(self) -> int:
        """Parameters of the whole encoder."""
        return self.lstm_parameters + self.around_parameters

    @property
    def lstm_ratio(self) -> float:
        """Dense parameters of the LSTMs over compressed ones."""
        return self.lstm_dense_parameters / self.lstm_parameters

    @property
    def encoder_ratio(self) -> float:
        """Dense parameters of the whole encoder over compressed ones."""
        return (self.lstm_dense_parameters + self.around_parameters + self.around_saved) / self.encoder_parameters

    def to_dict(self) -> dict[str, float | int]:
        """Return the totals in JSON form, as in a record."""
        names = (
            "lstm_parameters", "lstm_dense_parameters", "encoder_parameters", "lstm_bytes", "encoder_bytes",
            "lstm_ratio", "encoder_ratio", "lstm_multiply_adds", "lstm_dense_multiply_adds",
        )  # fmt: skip
        # records use this key for language models as well
        return {name: getattr(self, name) for name in names} | {"char_cnn_multiply_adds": self.around_multiply_adds}


def size_report(
    weights: BilmWeights, options: BilmOptions, cells: int | None = None, dtype: str = "float32"
) -> SizeReport:
    """Count the parameters, bytes and multiply-adds of an ELMo.

    Args:
        weights: Weights of the ELMo, dense or compressed.
        options: Its options.
        cells: Number of its memory cells before compression. Defaults to those that it has.
        dtype: Type in which the numbers are stored, see `elmo_mf.bilm.checkpoint.write_weights`. Defaults to float32.

    Returns:
        Sizes of its matrices, and totals.

    Examples:
        >>> from elmo_mf.bilm import BilmOptions, read_weights
        >>> from elmo_mf.resources import demo_options, demo_weights
        >>> options = BilmOptions.from_file(demo_options())
        >>> size_report(read_weights(demo_weights(), options), options).lstm_ratio
        1.0
    """
    around = sum(array.size for array in weights.token_layer.values())
    saved = sum(prod(matrix.shape) - matrix.size for matrix in highway_matrices(weights.token_layer))
    projection = options.lstm.projection_dim if "CNN_proj/W_proj" in weights.token_layer else None
    size = lstm_size(weights, around, options.token_layer.multiply_adds(projection) - saved, saved)
    if dtype != "float32":
        lstm_bytes, encoder_bytes = stored_bytes(weights, dtype)
        size = replace(size, lstm_bytes=lstm_bytes, encoder_bytes=encoder_bytes)
    return size if cells is None else _relative_to(size, cells, weights.cells)


def _relative_to(size: SizeReport, cells: int, left: int) -> SizeReport:
    """Relate sizes to an ELMo with more memory cells, each of which has as many parameters."""
    return replace(
        size,
        lstm_dense_parameters=size.lstm_dense_parameters // left * cells,
        lstm_dense_multiply_adds=size.lstm_dense_multiply_adds // left * cells,
    )


def lstm_size(
    weights: BilmWeights, around_parameters: int, around_multiply_adds: int, around_saved: int = 0
) -> SizeReport:
    """Count the LSTMs, and add what is around them; bytes are those of float32.

    Args:
        weights: Weights of the model.
        around_parameters: Parameters around the LSTMs.
        around_multiply_adds: Multiply-adds per token around the LSTMs.
        around_saved: See `SizeReport`. Defaults to 0.

    Returns:
        Sizes of the matrices, and totals.
    """
    rows = [
        _matrix_size(direction, layer, target, matrix)
        for (direction, layer), lstm in sorted(weights.lstms.items())
        for target, matrix in sorted(lstm.matrices.items(), key=lambda item: STORED_TARGETS.index(item[0]))
    ]
    biases = sum(lstm.bias.size for lstm in weights.lstms.values())
    stored, dense = sum(row.stored for row in rows), sum(row.dense_parameters for row in rows)
    return SizeReport(
        matrices=tuple(rows),
        lstm_parameters=sum(row.parameters for row in rows) + biases,
        lstm_dense_parameters=dense + biases,
        lstm_bytes=BYTES_PER_PARAMETER * (stored + biases),
        encoder_bytes=BYTES_PER_PARAMETER * (stored + biases + around_parameters),
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
