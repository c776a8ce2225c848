from ._activation_error import ActivationError, activation_error
from ._checkpoint_compression import COMPRESSED_FILES, CompressedCheckpoint, compress_checkpoint
from ._inspection import inspect
from ._model_card import Source, licence_on_card, write_compressed_card, write_converted_card, write_pretrained_card
from ._report import CompressionReport, compressed_matrices, compression_report, matrix_reports
from ._smaller_checkpoint import SMALLER_FILES, SOFTMAX_FILES, SmallerCheckpoint, shrink_checkpoint
from ._spectra import plot_spectra, spectra_table
from .apply import (
    CompressedElmo,
    compress,
    compress_elmo,
    compression_versions,
    encoder_identity,
    factorize,
    reads_text,
)
from .cells import remove_cells
from .check import (
    check_against_options,
    check_compression,
    check_gradients,
    needs_output_covariance,
    takes_gradients,
)
from .file_hashes import with_file_hashes, with_history
from .matrix_reference import break_even_rank, matrix_references
from .methods.base import (
    CalibrationStatistics,
    Method,
    method_hash,
    method_named,
    method_names,
    method_of,
    read_compression,
    register,
)
from .size import BYTES_PER_PARAMETER, MatrixSize, SizeReport, lstm_size, size_report

__all__ = [
    "BYTES_PER_PARAMETER",
    "COMPRESSED_FILES",
    "SMALLER_FILES",
    "SOFTMAX_FILES",
    "ActivationError",
    "CalibrationStatistics",
    "CompressedCheckpoint",
    "CompressedElmo",
    "CompressionReport",
    "MatrixSize",
    "Method",
    "SizeReport",
    "SmallerCheckpoint",
    "Source",
    "activation_error",
    "break_even_rank",
    "check_against_options",
    "check_compression",
    "check_gradients",
    "compress",
    "compress_checkpoint",
    "compress_elmo",
    "compressed_matrices",
    "compression_report",
    "compression_versions",
    "encoder_identity",
    "factorize",
    "inspect",
    "licence_on_card",
    "lstm_size",
    "matrix_references",
    "matrix_reports",
    "method_hash",
    "method_named",
    "method_names",
    "method_of",
    "needs_output_covariance",
    "plot_spectra",
    "read_compression",
    "reads_text",
    "register",
    "remove_cells",
    "shrink_checkpoint",
    "size_report",
    "spectra_table",
    "takes_gradients",
    "with_file_hashes",
    "with_history",
    "write_compressed_card",
    "write_converted_card",
    "write_pretrained_card",
]
