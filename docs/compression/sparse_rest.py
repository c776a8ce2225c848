"""Perplexity of the larger embedded ELMo at low rank plus a block-sparse rest, at equal numbers of parameters.

From the project's root: `python -m docs.compression.sparse_rest TEXT CALIBRATION GRADIENTS RECORD`, with the texts of
`equal_bytes.py` and a file of gradients for this ELMo as a language model. Each W becomes L + S, both with the least
|R^T (W - L - S) C^(1/2)| of `kfac_svd` given the other, in turns. The blocks of S are those with the largest predicted
gain over all matrices. The place of a block counts as one parameter.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from elmo_mf import Bilm
from elmo_mf.bilm import BilmOptions, BilmWeights, read_weights
from elmo_mf.bilm.weights import JOINT, Array
from elmo_mf.compression import size_report
from elmo_mf.compression._decomposition import square_root, svd
from elmo_mf.compression.allocation import Candidate, allocate_ranks
from elmo_mf.compression.calibration import input_covariances, read_output_covariances
from elmo_mf.compression.methods.kfac_svd import KfacSvd
from elmo_mf.io import write_json
from elmo_mf.io.sentences import read_with_hash
from elmo_mf.pretrain import Corpus, LanguageModel
from elmo_mf.pretrain._evaluate import read_language_model
from elmo_mf.pretrain._model import perplexities
from elmo_mf.provenance import file_hash, provenance
from elmo_mf.resources import base_elmo

Place = tuple[int, int, str]
Blocks = tuple[int, int]

TRIALS: dict[float, tuple[Blocks, ...]] = {0.25: ((16, 1), (8, 1), (16, 4), (1, 1)), 0.125: ((16, 1), (1, 1))}
"""Rows and columns of a block, by the share of the parameters."""
SPARSE = (0.1, 0.3)
"""Shares of the budget that go to the rest."""
ROUNDS, STEPS = 3, 12


@dataclass(frozen=True)
class Weighted:
    """A matrix W (m, n), with its input covariance C and the root R of its output covariance, ridges included."""

    matrix: Array
    inputs: Array
    root: Array

    @cached_property
    def outputs(self) -> Array:
        """R R^T, (m, m)."""
        return (self.root @ self.root.T).astype(np.float32)

    @cached_property
    def diagonals(self) -> Array:
        """The weight of each entry alone, (m, n)."""
        return np.outer(np.diag(self.outputs), np.diag(self.inputs)).astype(np.float32)

    @cached_property
    def _input_root(self) -> Array:
        return square_root(self.inputs, 0)

    def reductions(self) -> Array:
        """How much each rank lowers the weighted squared error."""
        return np.asarray(svd(self.root.T @ self.matrix @ self._input_root)[1] ** 2)

    def low_rank(self, rest: Array, rank: int) -> Array:
        """Return the best L of a rank for W - S."""
        u = svd(self.root.T @ (self.matrix - rest) @ self._input_root)[0][:, :rank]
        projected = (self.root @ u).T @ (self.matrix - rest)
        return np.asarray(np.linalg.solve(self.root.T, u) @ projected, dtype=np.float32)

    def gradient(self, error: Array) -> Array:
        """Half of the gradient of the weighted squared error."""
        return np.asarray(self.outputs @ error @ self.inputs.astype(np.float32))

    def gains(self, low_rank: Array, rest: Array) -> Array:
        """How much each entry of S lowers the squared error, taken alone."""
        correction = rest + self.gradient(self.matrix - low_rank - rest) / self.diagonals
        return np.asarray(correction**2 * self.diagonals)

    def rest(self, error: Array, mask: Array) -> Array:
        """Return the S with these entries closest to an error, by conjugate gradients."""
        rest, residual = np.zeros_like(error), self.gradient(error) * mask
        direction = preconditioned = residual / self.diagonals
        product = float((residual * preconditioned).sum())
        for _ in range(STEPS):
            curved = self.gradient(direction) * mask
            step = product / max(float((direction * curved).sum()), 1e-30)
            rest, residual = rest + step * direction, residual - step * curved
            preconditioned = residual / self.diagonals
            product, before = float((residual * preconditioned).sum()), product
            direction = preconditioned + product / max(before, 1e-30) * direction
        return rest


def weighted_matrices(weights: BilmWeights, options: BilmOptions, text: Path, gradients: Path) -> dict[Place, Weighted]:
    """Return the joint matrix and the projection of each LSTM, by direction, layer and name."""
    covariances, method = input_covariances(weights, options, text), KfacSvd()
    outputs = read_output_covariances(gradients, weights).covariances
    found = {}
    for key, lstm in weights.lstms.items():
        joint = np.concatenate([np.asarray(lstm.matrices["input"]), np.asarray(lstm.matrices["recurrent"])], axis=1)
        both = ((JOINT, "gates", joint), ("projection", "projection", np.asarray(lstm.matrices["projection"])))
        for target, name, matrix in both:
            inputs = covariances[key].of(target)  # type: ignore[arg-type]
            inputs = inputs + method.ridge * np.trace(inputs) / len(inputs) * np.eye(len(inputs))
            root = square_root(outputs[*key, name], method.output_ridge)
            found[*key, target] = Weighted(matrix, inputs, root)
    return found


def compressed(
    matrices: Mapping[Place, Weighted], budget: int, blocks: Blocks | None, sparse: float
) -> dict[Place, Array]:
    """Return each matrix as L + S, with a share of the budget for S."""
    costs = {place: sum(one.matrix.shape) for place, one in matrices.items()}
    ranks = allocate_ranks(
        {place: Candidate(reductions(one), costs[place]) for place, one in matrices.items()}, int((1 - sparse) * budget)
    )
    rests = {place: np.zeros_like(one.matrix) for place, one in matrices.items()}
    low_ranks = {place: one.low_rank(rests[place], ranks[place]) for place, one in matrices.items()}
    if blocks is None:
        return low_ranks
    size = blocks[0] * blocks[1]
    number = (budget - sum(ranks[place] * cost for place, cost in costs.items())) // (size + 1)
    for _ in range(ROUNDS):
        gains = {place: of_blocks(one.gains(low_ranks[place], rests[place]), blocks) for place, one in matrices.items()}
        least = np.partition(np.concatenate([gain.ravel() for gain in gains.values()]), -number)[-number]
        for place, one in matrices.items():
            mask = np.kron(gains[place] >= least, np.ones(blocks, dtype=np.float32))
            rests[place] = one.rest(one.matrix - low_ranks[place], mask)
            low_ranks[place] = one.low_rank(rests[place], ranks[place])
    return {place: low_ranks[place] + rest for place, rest in rests.items()}


def reductions(one: Weighted) -> Array:
    """How much each rank below break-even lowers the weighted squared error."""
    m, n = one.matrix.shape
    return one.reductions()[: m * n // (m + n)]


def of_blocks(entries: Array, blocks: Blocks) -> Array:
    """Return the sums over blocks."""
    (m, n), (rows, columns) = entries.shape, blocks
    return np.asarray(entries.reshape(m // rows, rows, n // columns, columns).sum(axis=(1, 3)))


def with_matrices(weights: BilmWeights, matrices: Mapping[Place, Array]) -> BilmWeights:
    """Return weights with other matrices."""
    lstms = {}
    for (direction, layer), lstm in weights.lstms.items():
        inputs, recurrent = np.split(matrices[direction, layer, JOINT], [-lstm.state_size], axis=1)
        others: dict[Any, Array] = {"input": inputs, "recurrent": recurrent}
        others["projection"] = matrices[direction, layer, "projection"]
        lstms[direction, layer] = replace(lstm, matrices=others)
    return replace(weights, lstms=lstms)


def main(text: Path, calibration: Path, gradients: Path, record: Path) -> None:
    """Compress the ELMo in each way, measure it, and write the record."""
    files = base_elmo()
    options = BilmOptions.from_file(files[0])
    weights = read_weights(files[1], options)
    softmax, vocabulary = read_language_model(*files, None, files[1].parent)
    corpus = Corpus(read_with_hash(text, 80, None)[0], vocabulary, softmax.bilm.token_layer.word_ids)
    matrices, rows = weighted_matrices(weights, options, calibration, gradients), []
    biases = sum(lstm.bias.size for lstm in weights.lstms.values())
    for share, shapes in TRIALS.items():
        budget = int(share * size_report(weights, options).lstm_parameters) - biases
        ways: list[tuple[Blocks | None, float]] = [(None, 0), *((shape, part) for shape in shapes for part in SPARSE)]
        for blocks, part in ways:
            other = with_matrices(weights, compressed(matrices, budget, blocks, part))
            model = LanguageModel(Bilm(options, other), softmax.softmax).eval()
            forward, backward = perplexities(model, corpus.batches(4096, None), corpus.characters)
            rows.append({"share": share, "blocks": blocks, "sparse": part, "forward": forward, "backward": backward})
            print(rows[-1], flush=True)
    hashes = {"calibration": file_hash(calibration), "text": file_hash(text)}
    write_json(record, {"compressed": rows, **hashes, **provenance().to_dict()})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
