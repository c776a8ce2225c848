"""State dictionaries that `torch.save` wrote, read without running code."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from elmo_mf.errors import InputError, one_line
from elmo_mf.io import open_regular


def read_state_dict(path: Path, where: str, expected: str = "those of a trained model") -> dict[str, Any]:
    """Read a model's parameters; the file may hold numbers and texts, but no code.

    Args:
        path: The file.
        where: Its place, for errors.
        expected: Expected content, for errors.

    Raises:
        InputError: The file cannot be read, or holds something else than a dictionary.
    """
    with open_regular(path, "weight file", expected) as file:
        mapped = file.read(2) == b"PK"  # the zip format that torch 1.6 introduced
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle protocol, before the error
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises many types
        problem = f"found weights that cannot be read ({one_line(error)})"
        raise InputError(where, f"{problem}, expected {expected}") from None
    if not isinstance(state, dict):
        raise InputError(where, f"found {type(state).__name__}, expected {expected}")
    return state
