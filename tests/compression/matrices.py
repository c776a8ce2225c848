"""Matrices and input covariances for property tests, degenerate ones included."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

SCALES = (1e-12, 1e-3, 1.0, 1e3, 1e12)


@st.composite
def matrices(draw: Any, least: int = 1, most: int = 12) -> np.ndarray:
    """Random, rank-deficient, constant, zero, with zero rows or with one huge entry; at scales from tiny to huge."""
    m, n = draw(st.integers(least, most)), draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    kind = draw(st.sampled_from(["random", "deficient", "constant", "zero", "rows", "spike", "positive"]))
    matrix = rng.normal(size=(m, n))
    if kind == "deficient":
        matrix = np.outer(rng.normal(size=m), rng.normal(size=n))
    elif kind in ("constant", "zero"):
        matrix = np.full((m, n), 1.5 if kind == "constant" else 0.0)
    elif kind == "rows":
        matrix[rng.random(m) < 0.5] = 0
    elif kind == "spike":
        matrix[rng.integers(m), rng.integers(n)] = 1e4
    elif kind == "positive":
        matrix = np.abs(matrix)
    return np.asarray(matrix * draw(st.sampled_from(SCALES)), dtype=np.float32)


@st.composite
def covariances(draw: Any, n: int) -> np.ndarray:
    """Input covariances E[x x^T], singular where there are few inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    inputs = rng.normal(size=(draw(st.integers(0, 3 * n)), n)) * rng.exponential(size=n) ** 2 + rng.normal(size=n)
    return np.asarray(inputs.T @ inputs / max(1, len(inputs)) * draw(st.sampled_from([1e-6, 1.0, 1e6])))
