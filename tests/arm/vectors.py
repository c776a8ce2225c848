"""Computes vectors in every form that runs on this processor: `python -m tests.arm.vectors ELMOS OUTPUT`.

ELMOS has a folder for each ELMo. OUTPUT is a file of NumPy's, in which a form's vectors are named after the ELMo, the
precision, and `machine code` or `PyTorch`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np

from elmo_mf.bilm import Bilm
from elmo_mf.bilm.runtime import PRECISIONS, Precision
from elmo_mf.bilm.runtime._machine_code import MachineCodeLstm
from elmo_mf.bilm.runtime._packed_linear import supports
from elmo_mf.bilm.runtime_settings import use_settings

SENTENCES = [["The", "cat", "sat", "on", "the", "mat"], ["A", "dog"], ["one"], ["The", "dog", "sat"], ["A", "cat"]]


def vectors(folder: Path, precision: Precision, machine_code: bool) -> np.ndarray:
    """The vectors of sentences alone and together, (numbers,)."""
    call = MachineCodeLstm.__call__
    with (
        use_settings(machine_code=machine_code, quantized_numbers=1),
        patch.object(MachineCodeLstm, "__call__", autospec=True, side_effect=call) as calls,
    ):
        bilm = Bilm.from_files(folder, precision=precision)
        numbers = [sentence.ravel() for batch in (1, 5) for sentence in bilm.embed(SENTENCES, batch)]
    if calls.called != (machine_code and not (precision == "int8" and "dense" in folder.name)):
        raise AssertionError(f"{folder.name}, {precision}: machine code ran {calls.call_count} times")
    return np.concatenate(numbers)


def main(elmos: Path, output: Path) -> None:
    """Compute and write all forms."""
    forms = {
        f"{folder.name}, {precision}, {'machine code' if machine_code else 'PyTorch'}": vectors(
            folder, precision, machine_code
        )
        for folder in sorted(elmos.iterdir())
        for precision in PRECISIONS
        if supports(precision)
        for machine_code in (True, False)
    }
    np.savez(output, allow_pickle=False, **forms)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
