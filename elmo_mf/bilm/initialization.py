"""Random weights of any size, for pretraining, tests and benchmarks."""

from __future__ import annotations

import numpy as np

from elmo_mf.bilm.checkpoint import char_cnn_shapes
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import Array, BilmWeights, LstmWeights


def random_weights(options: BilmOptions, seed: int) -> BilmWeights:
    """Draw weights with about the distributions of bilm-tf: Glorot's for matrices; carry gates start nearly closed.

    The biases of the LSTM are zero; TensorFlow's forget bias of 1 is added when it runs.

    Args:
        options: Sizes.
        seed: Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    char_cnn = {name: _initial(rng, name, shape) for name, shape in char_cnn_shapes(options).items()}
    n, p = options.lstm.dim, options.lstm.projection_dim

    def lstm() -> LstmWeights:
        w_0 = _glorot(rng, (4 * n, 2 * p))
        w_p = _glorot(rng, (p, n))
        return LstmWeights(
            {"input": w_0[:, :p].copy(), "recurrent": w_0[:, p:].copy(), "projection": w_p}, np.zeros(4 * n, np.float32)
        )

    lstms = {(direction, layer): lstm() for direction in (0, 1) for layer in range(options.lstm.n_layers)}
    return BilmWeights(char_cnn, lstms)


def _initial(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    if name == "char_embed":
        return rng.uniform(-1, 1, shape).astype(np.float32)
    if name.endswith("b_carry"):
        return np.full(shape, -2, np.float32)
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    return _glorot(rng, shape)


def _glorot(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    fan_in = int(np.prod(shape[:-1]))
    bound = np.sqrt(6 / (fan_in + shape[-1]))
    return rng.uniform(-bound, bound, shape).astype(np.float32)
