"""The embedded ELMo, and sentences that its calibration text does not have."""

from __future__ import annotations

import pytest

from elmo_mf import Bilm, Compression
from elmo_mf.compression import activation_error, compress
from elmo_mf.resources import demo_options, demo_weights
from tests.conftest import ROOT


@pytest.fixture(scope="session")
def demo() -> Bilm:
    return Bilm.from_files(demo_options(), demo_weights())


@pytest.fixture(scope="session")
def held_out() -> list[list[str]]:
    """The text of the state policy `primed`."""
    return [line.split() for line in (ROOT / "elmo_mf/bilm/priming.txt").read_text().splitlines()]


def error_of(dense: Bilm, compression: Compression, sentences: list[list[str]]) -> float:
    """The activation error of a compression."""
    compressed = Bilm(dense.options, compress(dense.weights(), dense.options, compression)).eval()
    return activation_error(dense, compressed, sentences).overall
