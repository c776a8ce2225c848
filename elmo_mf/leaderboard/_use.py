"""The command, config or Python code that creates an encoder of a board."""

from __future__ import annotations

from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.records.command_line import compress_command
from elmo_mf.records.compression import Compression


def use_of(row: Row, board: Board) -> str:
    """Return the command, config or Python code that creates the encoder; empty for a baseline or the dense encoder."""
    parts = []
    if row.compression is not None and board.first.run.is_language_model:
        values = row.compression.model_copy(update={"finetune": None}).to_dict()
        arguments = ", ".join(f"{name}={value!r}" for name, value in values.items())
        parts.append(f"compress_core(core, Compression({arguments}))")
    elif row.compression is not None:
        include = "" if row.identity.method_file is None else " --include FILE"  # whose path no record has
        rounded = " --dtype int8" if row.identity.precision == "int8" else ""
        parts.append(_compress(row.compression, row.identity.task_gradients, board) + rounded + include)
    if row.identity.tuning is not None:
        epochs = row.identity.tuning.epochs
        parts.append(f"then fine-tuning for {epochs} epoch{'' if epochs == 1 else 's'}")
    if row.identity.precision is not None:
        parts.append(f"precision: '{row.identity.precision}'")
    return ", ".join(parts)


def _compress(compression: Compression, task_gradients: bool, board: Board) -> str:
    """Return the command that compresses, after the one for the gradients that a sweep computes itself."""
    if not task_gradients:
        return compress_command(compression)
    file, data = "gradients.hdf5", "" if board.first.data in ("demo", board.task) else " --data data"
    first = f"elmo-mf gradients {board.task} {file}{data} --options options.json --weights weights.hdf5"
    return f"{first} && {compress_command(compression.model_copy(update={'gradients': file}))}"
