"""Checkpoints of a tiny language model as a reader gives them, under the names of each release of TensorFlow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from elmo_mf.convert import Checkpoint
from tests.bilm.word_level import write_word_level
from tests.conftest import random_bilm, raw_options

WORDS = "the <S> </S> <UNK> cat sat".split()

# from the HDF5 layout to the names of each form, by the regular expressions that change them
FORMS: dict[str, list[tuple[str, str]]] = {
    "TensorFlow 1.2": [
        (r"/RNN/MultiRNNCell/Cell(\d)/LSTMCell", r"/rnn/multi_rnn_cell/cell_\1/lstm_cell"),
        ("W_P_0$", "projection/kernel"), ("W_0$", "kernel"), ("B$", "bias"), ("^", "lm/"),
    ],
    "TensorFlow 1.0": [
        (r"/RNN/MultiRNNCell/Cell(\d)/LSTMCell", r"/rnn/multi_rnn_cell/cell_\1/lstm_cell"),
        ("W_P_0$", "projection/weights"), ("W_0$", "weights"), ("B$", "biases"), ("^", "lm/"),
    ],
    "TensorFlow 0.12": [("^", "lm/")],
    "TF-Hub": [
        ("/LSTMCell", "/rnn/lstm_cell"),
        ("W_P_0$", "projection/kernel"), ("W_0$", "kernel"), ("B$", "bias"), ("^", "module/bilm/"),
    ],
    "without a scope": [],
}  # fmt: skip


class Arrays:
    """The reader of a checkpoint whose variables are arrays."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        return {name: list(array.shape) for name, array in self.arrays.items()}

    def get_tensor(self, name: str) -> np.ndarray:
        return self.arrays[name]


def renamed(arrays: Mapping[str, np.ndarray], form: str) -> dict[str, np.ndarray]:
    names = {name: name for name in arrays}
    for pattern, replacement in FORMS[form]:
        names = {name: re.sub(pattern, replacement, new) for name, new in names.items()}
    return {names[name]: array for name, array in arrays.items()}


@dataclass
class Trained:
    """A language model: its checkpoint's variables, and the files of the same encoder as this project writes it."""

    folder: Path
    options: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def checkpoint(self, form: str = "TensorFlow 1.2", **others: np.ndarray) -> Checkpoint:
        return self.of(renamed(self.arrays, form) | others)

    def of(self, arrays: Mapping[str, np.ndarray]) -> Checkpoint:
        """A checkpoint of some variables, with files of their size beside it."""
        (self.folder / "model.ckpt-7.index").write_bytes(b"")
        size = sum(array.nbytes for array in arrays.values())
        (self.folder / "model.ckpt-7.data-00000-of-00001").write_bytes(bytes(size))
        return Checkpoint(self.folder / "model.ckpt-7", Arrays(arrays))


def trained(folder: Path, **changes: Any) -> Trained:
    """Write the files of a random encoder, and return its variables with those of a softmax."""
    bilm = random_bilm(**changes)
    bilm.save(folder / "elmo")
    arrays = datasets(folder / "elmo" / "weights.hdf5")
    rng, width = np.random.default_rng(3), bilm.options.lstm.projection_dim
    arrays["softmax/W"] = rng.normal(size=(len(WORDS), width)).astype(np.float32)
    arrays["softmax/b"] = rng.normal(size=len(WORDS)).astype(np.float32)
    options = raw_options(**changes) | {"bidirectional": True, "n_tokens_vocab": len(WORDS)}
    options["char_cnn"]["n_characters"] = 261
    folder.mkdir(exist_ok=True)
    (folder / "options.json").write_text(json.dumps(options))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return Trained(folder, options, arrays)


def trained_on_words(folder: Path, shared: bool) -> Trained:
    """A word-level model, whose softmax may have no weights but those of the word table."""
    elmo = write_word_level(folder / "elmo", WORDS)
    arrays = {name: array.astype(np.float32) for name, array in datasets(elmo / "model.hdf5").items()}
    rng = np.random.default_rng(3)
    if not shared:
        arrays["softmax/W"] = rng.normal(size=arrays["embedding"].shape).astype(np.float32)
    arrays["softmax/b"] = rng.normal(size=len(WORDS)).astype(np.float32)
    options = json.loads((elmo / "options.json").read_text()) | {"share_embedding_softmax": shared}
    (folder / "options.json").write_text(json.dumps(options))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return Trained(folder, options, arrays)


def datasets(path: Path) -> dict[str, np.ndarray]:
    """All datasets of an HDF5 file by their names."""
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


@pytest.fixture
def model(tmp_path: Path) -> Trained:
    return trained(tmp_path / "bilm-tf")
