"""Factorization of matrices in the order of their use, each fitted to the inputs that earlier factors give it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from elmo_mf.bilm.weights import BilmWeights, Target
from elmo_mf.compression._matrix_factorization import LstmFactorization
from elmo_mf.compression.allocation import MatrixFactorization
from elmo_mf.compression.calibration import EncoderProbe
from elmo_mf.progress import track

VERSION = 1
"""Version of what the fit computes, part of the identities of runs that use it."""

_ORDER: tuple[Target, ...] = ("joint", "input", "recurrent", "projection")


def factorized_in_order(
    weights: BilmWeights, ranks: Iterable[tuple[MatrixFactorization, int]], probe: EncoderProbe
) -> BilmWeights:
    """Factorize matrices one after the other, from the token layer to the last layer.

    Args:
        weights: Weights of the dense model.
        ranks: Each matrix with its rank, in any order.
        probe: Reads the model's text, once for each layer and target.

    Returns:
        Weights that share the arrays of all other matrices with the dense ones.
    """
    factored, lstms = weights, list[tuple[LstmFactorization, int]]()
    for one, rank in ranks:
        if isinstance(one, LstmFactorization):
            lstms.append((one, rank))
        else:  # a highway layer, before all LSTMs
            factored = one.factored(factored, rank)
    groups = [(place, list(group)) for place, group in groupby(sorted(lstms, key=_place), _place)]
    for (layer, _), group in track(groups, "factorization in order", "groups of matrices"):
        paired = probe.paired_covariances(factored, layer)
        for one, rank in group:
            covariances, target = paired[one.reference.key], one.reference.target
            fitted = one.fitted(covariances.compressed.of(target), covariances.cross.of(target))
            factored = fitted.factored(factored, rank)
    return factored


def _place(entry: tuple[LstmFactorization, int]) -> tuple[int, int]:
    reference = entry[0].reference
    return reference.layer, _ORDER.index(reference.target)
