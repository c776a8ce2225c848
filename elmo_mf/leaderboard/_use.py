"""The command, config or Python code that creates an encoder of a board."""

from __future__ import annotations

from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.records.command_line import compress_command
from elmo_mf.records.compression import Compression, StoredType


def use_of(row: Row, board: Board) -> str:
    """Return the command, config or Python code that creates the encoder; empty for a baseline or the dense encoder."""
    parts = []
    if row.compression is not None and board.first.run.is_language_model:
        values = row.compression.model_copy(update={"finetune": None}).to_dict()
        arguments = ", ".join(f"{name}={value!r}" for name, value in values.items())
        parts.append(f"compress_core(core, Compression({arguments}))")
    elif row.compression is not None:
        include = "" if row.identity.method_file is None else " --include FILE"  # whose path no record has
        parts.append(_compress(row.compression, row.identity.task_gradients, _dtype(row), board) + include)
    elif row.identity.precision == "int4":
        parts.append(compress_command(None, "int4"))
    if row.identity.tuning is not None:
        epochs = row.identity.tuning.epochs
        parts.append(f"then fine-tuning for {epochs} epoch{'' if epochs == 1 else 's'}")
    if row.identity.precision is not None:
        products = "int8" if row.identity.precision == "int4" else row.identity.precision
        parts.append(f"precision: '{products}'")
    return ", ".join(parts)


def _dtype(row: Row) -> StoredType:
    precision = row.identity.precision
    return precision if precision == "int8" or precision == "int4" else "float32"


def _compress(compression: Compression, task_gradients: bool, dtype: StoredType, board: Board) -> str:
    """Return the command that compresses, after the one for the gradients that a sweep computes itself."""
    if not task_gradients:
        return compress_command(compression, dtype)
    file, data = "gradients.hdf5", "" if board.first.data in ("demo", board.task) else " --data data"
    with_file = compression.model_copy(update={"gradients": file})
    first = f"elmo-mf gradients {board.task} {file}{data} --options options.json --weights weights.hdf5"
    return f"{first} && {compress_command(with_file, dtype)}"
