"""Perplexity of the larger embedded ELMo, dense and at low rank, with its biLSTM rounded to few bits.

From the project's root: `python -m docs.compression.rounding TEXT CALIBRATION FOLDER RECORD`, with the texts of
`equal_bytes.py` and the folder that `fewer_cells.py` wrote. `nearest` rounds each weight; `clipped` also chooses the
scale of each group with the least squared error; `gptq` (Frantar et al. 2022) rounds one input after the other, and
corrects the weights of the inputs that follow for the error, given their covariance. Its factors are rounded from right
to left, the left one after it has been fitted to the rounded right one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from elmo_mf import Bilm
from elmo_mf.bilm import BilmOptions, BilmWeights, read_weights
from elmo_mf.bilm.weights import Array, Factors, LstmWeights
from elmo_mf.compression.calibration import InputCovariances, input_covariances
from elmo_mf.io import write_json
from elmo_mf.pretrain._evaluate import evaluate
from elmo_mf.provenance import file_hash, provenance
from elmo_mf.resources import base_elmo

SCALE_BYTES = 2  # float16
CLIPS, DAMPING, RIDGE = np.linspace(1, 0.6, 11), 1e-2, 1e-4
LARGEST = ("640 None", "640 0.25", "640 0.125")
SMALLER = ("480 None", "480 0.5", "480 0.25", "320 0.125", "240 0.0625")


@dataclass(frozen=True)
class Rounding:
    """A way to round matrices: to `bits` each, with a scale for each output and `group` of its inputs, or for all."""

    bits: int
    group: int | None
    way: Literal["nearest", "clipped", "gptq"]

    def matrix(self, matrix: Array, covariance: Array) -> Array:
        """Return a matrix (m, n) of which inputs have a covariance (n, n), rounded."""
        n = matrix.shape[1]
        group, most = self.group or n, 2 ** (self.bits - 1) - 1
        damped = covariance + DAMPING * np.trace(covariance) / n * np.eye(n)
        upper = np.linalg.cholesky(np.linalg.inv(damped)).T if self.way == "gptq" else np.eye(n)
        left, rounded = matrix.astype(np.float64), np.zeros(matrix.shape)
        for j in range(n):
            if j % group == 0:
                scales = self._scales(left[:, j : j + group], np.diag(damped)[j : j + group], most)
            rounded[:, j] = np.clip(np.rint(left[:, j] / scales), -most, most) * scales
            left[:, j:] -= np.outer((left[:, j] - rounded[:, j]) / upper[j, j], upper[j, j:])
        return rounded.astype(np.float32)

    def _scales(self, block: Array, weights: Array, most: int) -> Array:
        largest = np.maximum(np.abs(block).max(axis=1) / most, 1e-6)
        if self.way == "nearest":
            return largest.astype(np.float16).astype(np.float64)
        candidates = (CLIPS[:, None] * largest).astype(np.float16).astype(np.float64)
        wholes = np.clip(np.rint(block / candidates[..., None]), -most, most)
        errors = ((wholes * candidates[..., None] - block) ** 2 * weights).sum(axis=2)
        best: Array = np.take_along_axis(candidates, errors.argmin(axis=0)[None], axis=0)[0]
        return best

    def factors(self, factors: Factors, covariance: Array) -> Factors:
        """Return factors with both of them rounded."""
        right = self.matrix(factors.right, covariance)
        inner, left = right @ covariance @ right.T, factors.left
        if self.way == "gptq":
            ridge = RIDGE * np.trace(inner) / len(inner) * np.eye(len(inner))
            outputs = left @ (factors.right @ covariance @ right.T + ridge)
            left = np.linalg.solve(inner + ridge, outputs.T).T
        return Factors(self.matrix(left, inner), right)

    def lstm(self, lstm: LstmWeights, covariances: InputCovariances) -> LstmWeights:
        """Return an LSTM with all matrices rounded."""
        matrices = dict(lstm.matrices)
        for target, matrix in matrices.items():
            covariance = covariances.of(target)
            rounded = self.factors if isinstance(matrix, Factors) else self.matrix
            matrices[target] = rounded(matrix, covariance)  # type: ignore[operator, arg-type]
        return replace(lstm, matrices=matrices)

    def bytes(self, array: Array) -> int:
        """Count the bytes of a matrix or factor (m, n), of its numbers and its scales."""
        m, n = array.shape
        return m * n * self.bits // 8 + SCALE_BYTES * m * -(-n // (self.group or n))


def roundings(name: str) -> Iterator[Rounding]:
    """Yield the ways in which an encoder is rounded."""
    if name in LARGEST:
        yield from (Rounding(8, None, "nearest"), Rounding(8, None, "gptq"))
        yield from (Rounding(4, 64, "nearest"), Rounding(4, 64, "clipped"), Rounding(4, 64, "gptq"))
        yield Rounding(4, 32, "nearest")
    yield from (Rounding(4, 32, "clipped"), Rounding(4, 32, "gptq"), Rounding(3, 32, "gptq"))


def lstm_bytes(weights: BilmWeights, rounding: Rounding) -> int:
    """Count the bytes of the biLSTM, with biases in float16."""
    arrays = [
        array
        for lstm in weights.lstms.values()
        for matrix in lstm.matrices.values()
        for array in ((matrix.left, matrix.right) if isinstance(matrix, Factors) else (matrix,))
    ]
    biases = sum(2 * lstm.bias.size for lstm in weights.lstms.values())
    return biases + sum(rounding.bytes(array) for array in arrays if isinstance(array, np.ndarray))


def main(text: Path, calibration: Path, root: Path, record: Path) -> None:
    """Round each encoder in each way, measure it, and write the record."""
    beside = base_elmo()[1].parent
    rows = []
    for name in (*LARGEST, *SMALLER):
        cells, share = name.split()
        options = BilmOptions.from_file(root / name / "options.json")
        weights = read_weights(root / name / "weights.hdf5", options)
        covariances = input_covariances(weights, options, calibration)
        for rounding in roundings(name):
            lstms = {key: rounding.lstm(lstm, covariances[key]) for key, lstm in weights.lstms.items()}
            with tempfile.TemporaryDirectory() as folder:
                Bilm(options, replace(weights, lstms=lstms)).save(folder)
                files = Path(folder) / "options.json", Path(folder) / "weights.hdf5"
                measured = evaluate(*files, [text], beside=beside)
            facts = {"cells": int(cells), "share": None if share == "None" else float(share)}
            facts |= {"bits": rounding.bits, "group": rounding.group, "way": rounding.way}
            facts |= {"lstm_bytes": lstm_bytes(weights, rounding), "parameters": measured.parameters}
            rows.append(facts | {"forward": measured.forward, "backward": measured.backward})
            print(rows[-1], flush=True)
    write_json(record, {"rounded": rows, "calibration": file_hash(calibration), **provenance().to_dict()})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
