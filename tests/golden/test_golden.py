"""What the encoder and each method compute is what they computed when `CODE` got its numbers.

A failure here is no fault by itself: whoever means the change raises the part's number in `elmo_mf/tasks/grid.py`, so
that cells recorded before are run again, and writes the new values with `python -m tests.golden.test_golden`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from elmo_mf import Bilm, Compression
from elmo_mf.compression import method_names
from elmo_mf.compression.methods.base import method_named
from elmo_mf.resources import demo_options, demo_weights
from elmo_mf.tasks.grid import CODE

_FILE = Path(__file__).with_name("vectors.json")
_SENTENCES = [["The", "film", "is", "a", "quiet", "delight", "."], ["Nobody", "laughed"], ["Unfathomably", "dull", "!"]]
_ALONE = [name for name in method_names() if not method_named(name).needs_gradients]


def _values(method: str | None) -> list[float]:
    """Mean absolute activation of each layer, and of the first sentence's first vector."""
    compression = None if method is None else Compression(method, 8, "all")
    vectors = Bilm.from_files(demo_options(), demo_weights(), compression).embed(_SENTENCES)
    layers = np.concatenate(vectors, axis=1)
    return [*np.abs(layers).mean(axis=(1, 2)).tolist(), float(np.abs(vectors[0][:, 0]).mean())]


@pytest.mark.parametrize("method", [None, *_ALONE], ids=str)
def test_values(method: str | None) -> None:
    stored = json.loads(_FILE.read_text(encoding="utf-8"))
    assert stored["code"] == {part: CODE[part] for part in ("encoder", "factorization")}, "write the new values"
    assert _values(method) == pytest.approx(stored["values"][str(method)], rel=1e-2)


if __name__ == "__main__":
    values = {str(method): [round(x, 6) for x in _values(method)] for method in (None, *_ALONE)}
    code = {part: CODE[part] for part in ("encoder", "factorization")}
    _FILE.write_text(json.dumps({"code": code, "values": values}, indent=2) + "\n", encoding="utf-8")
