"""The classifier of a probe: logistic regression, whose strength of regularisation the validation split chooses."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from elmo_mf.errors import InputError
from elmo_mf.records.identity import Split
from elmo_mf.records.outputs import SplitOutputs

VERSION = 1
"""Version of the classifier of probes and of `probe_run`, part of a run's identity; raised when scores change."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse strengths of the L2 regularisation that are tried, from strong to weak."""
_STEPS = 200
_PATIENCE = 1  # weaker strengths that are tried without a gain

Labels = npt.NDArray[np.str_]


class Fitted(NamedTuple):
    """A fitted classifier, and the strength that was chosen.

    Attributes:
        probabilities: Function of features (examples, features) that returns probabilities (examples, classes).
        classes: The label of each class, (classes,).
        strength: Inverse strength of the regularisation, one of `STRENGTHS`.
    """

    probabilities: Callable[[Any], npt.NDArray[np.float64]]
    classes: Labels
    strength: float


def fit(train: Any, labels: Labels, validation: Any, validation_labels: Labels) -> Fitted:
    """Fit multinomial logistic regression on standardised features, by L-BFGS.

    Args:
        train: Features, (examples, features), dense or sparse.
        labels: Their labels, (examples,).
        validation: Features whose log-likelihood chooses the strength of the regularisation.
        validation_labels: Their labels.

    Returns:
        The classifier.

    Raises:
        InputError: All training examples have one label.
    """
    if len(set(labels.tolist())) < 2:
        raise InputError("training data", f"found one label, {labels[0]}, expected two or more")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler(with_mean=isinstance(train, np.ndarray)).fit(train)
    scaled, held_out = scaler.transform(train), scaler.transform(validation)
    model = LogisticRegression(max_iter=_STEPS, warm_start=True)
    best, best_loss, since = None, math.inf, 0
    for strength in STRENGTHS:
        model.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of steps is part of the probe
            model.fit(scaled, labels)
        loss = -float(log_likelihoods(model.predict_proba(held_out), model.classes_, validation_labels).mean())
        if loss < best_loss:
            best, best_loss, since = (model.coef_.copy(), model.intercept_.copy(), strength), loss, 0
        elif (since := since + 1) >= _PATIENCE:
            break
    assert best is not None
    model.coef_, model.intercept_ = best[:2]
    return Fitted(lambda features: model.predict_proba(scaler.transform(features)), model.classes_, best[2])


def outputs_of(probabilities: npt.NDArray[np.float64], classes: Labels, labels: Labels) -> SplitOutputs:
    """Return whether each label is the most probable one, and the logarithms of the labels' probabilities.

    Args:
        probabilities: (examples, classes).
        classes: The label of each class, (classes,).
        labels: The labels, (examples,).
    """
    correct = classes[probabilities.argmax(axis=1)] == labels
    return SplitOutputs(correct.astype(np.float32), log_likelihoods(probabilities, classes, labels).astype(np.float32))


def log_likelihoods(probabilities: npt.NDArray[np.float64], classes: Labels, labels: Labels) -> npt.NDArray[np.float64]:
    """Return the natural logarithm of each label's probability, which counts as at least 1e-12.

    Args:
        probabilities: (examples, classes).
        classes: The label of each class, (classes,).
        labels: The labels, (examples,); the probability of one that is no class counts as 0.
    """
    places = {label: index for index, label in enumerate(classes.tolist())}
    columns = np.array([places.get(label, -1) for label in labels.tolist()])
    likelihoods = np.where(columns < 0, 0.0, probabilities[np.arange(len(labels)), columns])
    return np.asarray(np.log(np.maximum(likelihoods, 1e-12)))


def metrics(outputs: Mapping[Split, SplitOutputs], split: Split) -> dict[str, float]:
    """Return the accuracy and the mean negative log-likelihood in nats on a split.

    Args:
        outputs: Outputs by split, with log-likelihoods.
        split: The split.
    """
    one = outputs[split]
    assert one.log_likelihood is not None
    return {"accuracy": float(one.score.mean(dtype=float)), "loss": -float(one.log_likelihood.mean(dtype=float))}
