from ._encoder_probe import ElmoInputs, ElmoProbe, EncoderProbe
from ._gradients import Gradients
from ._highway_covariances import highway_input_covariances
from ._input_covariances import (
    CALIBRATION_TEXT,
    MAX_TOKENS,
    InputCovariances,
    PairedCovariances,
    batches,
    calibration_sentences,
    input_covariances,
)
from ._output_covariances import OutputCovariances, outputs_of, read_output_covariances
from ._row_weights import RowWeights, read_row_weights, write_row_weights

__all__ = [
    "CALIBRATION_TEXT",
    "MAX_TOKENS",
    "ElmoInputs",
    "ElmoProbe",
    "EncoderProbe",
    "Gradients",
    "InputCovariances",
    "OutputCovariances",
    "PairedCovariances",
    "RowWeights",
    "batches",
    "calibration_sentences",
    "highway_input_covariances",
    "input_covariances",
    "outputs_of",
    "read_output_covariances",
    "read_row_weights",
    "write_row_weights",
]
