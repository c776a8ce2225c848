"""The encoder against vectors that the original TensorFlow biLM computed."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from elmo_mf import Bilm


def test_fixture(shared_data: Path) -> None:
    folder = shared_data / "elmo_fixture"
    sentences = json.loads((folder / "sentences.json").read_text())
    bilm = Bilm.from_files(folder / "options.json", folder / "lm_weights.hdf5", state="carried")
    with h5py.File(folder / "lm_embeddings_0.hdf5") as first, h5py.File(folder / "lm_embeddings_1.hdf5") as second:
        for index in range(10):
            batch = [s[index] if isinstance(s[index], list) else s[index].split() for s in sentences]
            for vectors, file in zip(bilm.embed(batch), (first, second), strict=False):
                forward, backward = file[str(index)][...]
                np.testing.assert_allclose(vectors[2], np.concatenate([forward, backward], axis=1), atol=1e-5)
