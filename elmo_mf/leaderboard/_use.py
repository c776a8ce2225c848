"""The command, config or Python code that creates an encoder of a board."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.records.command_line import compress_command
from elmo_mf.records.compression import CELL_METHOD, Compression, StoredType
from elmo_mf.records.identity import products_of

_HASH = re.compile(r"[0-9a-f]{64}")
_TEXT, _GRADIENTS = "text.txt", "gradients.hdf5"
_LANGUAGE_MODEL = "wikitext2-bilm"  # the task of an ELMo's own loss


def use_of(row: Row, board: Board) -> str:
    """Return the command, config or Python code that creates the encoder; empty for a baseline or the dense encoder.

    Remarks follow a command or call as a comment, so that all of it can be pasted.
    """
    command, settings = _command(row, board), []
    if row.identity.tuning is not None:
        epochs = row.identity.tuning.epochs
        settings.append(f"fine-tuning for {epochs} epoch{'' if epochs == 1 else 's'}")
    if row.identity.precision is not None:
        settings.append(f"precision: '{products_of(row.identity.precision)}'")
    if not command or not settings:
        return command or ", ".join(settings)
    return f"{command}  # then {', '.join(settings)}"


def _command(row: Row, board: Board) -> str:
    if row.compression is not None and board.first.run.is_language_model:
        values = row.compression.model_copy(update={"finetune": None}).to_dict()
        arguments = ", ".join(f"{name}={value!r}" for name, value in values.items())
        return f"compress_core(core, Compression({arguments}))"
    if row.compression is not None:
        include = "" if row.identity.method_file is None else " --include FILE"  # whose path no record has
        return _compress(row.compression, row.identity.task_gradients, _dtype(row), board) + include
    return "" if _dtype(row) == "float32" else compress_command(None, _dtype(row))


def _dtype(row: Row) -> StoredType:
    precision = row.identity.precision
    return precision if precision == "int8" or precision == "int4" else "float32"


def _compress(compression: Compression, task_gradients: bool, dtype: StoredType, board: Board) -> str:
    """Return the command that compresses, after the one for gradients of the task or of the ELMo's own loss."""
    of_own_loss = compression.method == CELL_METHOD or compression.cells is not None
    named = compression.model_copy(update=dict(_files(compression)))
    if not task_gradients and not (of_own_loss and compression.gradients):
        return compress_command(named, dtype)
    task = board.task if task_gradients else _LANGUAGE_MODEL
    data = "" if board.first.data in ("demo", board.task) else " --data data"
    first = f"elmo-mf gradients {task} {_GRADIENTS}{data} --options options.json --weights weights.hdf5"
    return f"{first} && {compress_command(named.model_copy(update={'gradients': _GRADIENTS}), dtype)}"


def _files(compression: Compression) -> Iterator[tuple[str, Any]]:
    """Yield names for files of which a record has only the hashes."""
    for field, name in (("calibration", _TEXT), ("gradients", _GRADIENTS)):
        if _HASH.fullmatch(getattr(compression, field) or ""):
            yield field, name
    if compression.distill is not None and _HASH.fullmatch(compression.distill.text):
        yield "distill", compression.distill.model_copy(update={"text": _TEXT})
