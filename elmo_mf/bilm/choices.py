"""Valid precisions and states of the encoder; the command line checks both before PyTorch is imported."""

from typing import Literal

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
StatePolicy = Literal["zero", "carried", "primed"]
STATE_POLICIES: tuple[StatePolicy, ...] = ("zero", "carried", "primed")
