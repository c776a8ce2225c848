"""Sigmoid and tanh with one exponential each, as the numerators and denominators of fractions that are joined later.

With m(x) = exp(x) - 1: sigmoid(x) = 1 / (2 + m(-x)) and tanh(x) = m(2x) / (2 + m(2x)). m is exact to a few units in the
last place near 0 too, where computing exp(x) - 1 would lose them.
"""

from __future__ import annotations

from math import factorial, log

from elmo_mf.bilm.runtime.kernel._emitter import Emitter, Vector

_LN2_HIGH = 0.693359375  # log 2 in two parts; the first times a small whole number is exact
_LN2_LOW = log(2) - _LN2_HIGH
_ORDER = 7  # of Taylor's series for |x| < log(2) / 2: the rest is below 6e-9

SIGMOID_BOUND = 30.0  # beyond it sigmoid is 1 in float32, or below 1e-13
TANH_BOUND = 10.0  # beyond it tanh is 1 in float32


def expm1(code: Emitter, x: Vector) -> Vector:
    """Emit exp(x) - 1, for |x| up to 87."""
    power = code.rounded(code.product(x, code.splat(1 / log(2))))
    x = code.multiply_add(power, code.splat(-_LN2_HIGH), x)
    x = code.multiply_add(power, code.splat(-_LN2_LOW), x)
    series = code.splat(1 / factorial(_ORDER))
    for order in range(_ORDER - 1, 1, -1):
        series = code.multiply_add(series, x, code.splat(1 / factorial(order)))
    series = code.multiply_add(code.product(series, x), x, x)
    scale = code.power_of_two(power)
    return code.multiply_add(scale, series, code.difference(scale, code.splat(1.0)))


def sigmoid_denominator(code: Emitter, x: Vector) -> Vector:
    """Emit d with sigmoid(x) = 1 / d."""
    negated = code.clipped(code.negative(x), SIGMOID_BOUND)
    return code.sum(expm1(code, negated), code.splat(2.0))


def tanh_fraction(code: Emitter, x: Vector) -> tuple[Vector, Vector]:
    """Emit m and d with tanh(x) = m / d."""
    x = code.clipped(x, TANH_BOUND)
    numerator = expm1(code, code.sum(x, x))
    return numerator, code.sum(numerator, code.splat(2.0))
