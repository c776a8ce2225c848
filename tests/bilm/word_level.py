"""Word-level ELMos as bilm-tf writes them, and what AllenNLP's biLSTM gives for the rows of their table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from allennlp.modules.elmo_lstm import ElmoLstm

WORDS = ("</S>", "<S>", "<UNK>", "the", "cat", "sat", "é漢", "on", "mat", ".")
SENTENCES = [["the", "cat", "sat", "."], ["dog"], [], ["é漢", "The", "mat", "<S>", "cat", "</S>", "<UNK>"]]


def write_word_level(folder: Path, words: Sequence[str] = WORDS, dim: int = 12, p: int = 6, seed: int = 0) -> Path:
    """Write a random word-level ELMo by hand, with bilm-tf's names."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lstm = {
        "dim": dim, "projection_dim": p, "n_layers": 2, "cell_clip": 3, "proj_clip": 3, "use_skip_connections": True
    }  # fmt: skip
    options = {"bidirectional": True, "dropout": 0.1, "lstm": lstm, "n_tokens_vocab": len(words), "unroll_steps": 20}
    (folder / "options.json").write_text(json.dumps(options))
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    with h5py.File(folder / "model.hdf5", "w") as file:
        file["embedding"] = rng.normal(size=(len(words), p)).astype("f4")
        for direction in (0, 1):
            for layer in (0, 1):
                group = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
                file[f"{group}/W_0"] = rng.normal(size=(2 * p, 4 * dim), scale=0.5).astype("f4")
                file[f"{group}/B"] = rng.normal(size=4 * dim).astype("f4")
                file[f"{group}/W_P_0"] = rng.normal(size=(dim, p), scale=0.5).astype("f4")
    return folder


class Theirs:
    """AllenNLP's biLSTM on the rows of the table, one sentence at a time from a state of zeros."""

    def __init__(self, folder: Path) -> None:
        lstm: dict[str, Any] = json.loads((folder / "options.json").read_text())["lstm"]
        p, clips = lstm["projection_dim"], {"memory_cell_clip_value": 3.0, "state_projection_clip_value": 3.0}
        self.lstm = ElmoLstm(p, p, lstm["dim"], lstm["n_layers"], **clips)
        self.lstm.load_weights(str(folder / "model.hdf5"))
        self.words = (folder / "vocab.txt").read_text().split()
        with h5py.File(folder / "model.hdf5") as file:
            self.table = torch.tensor(file["embedding"][...])

    def vectors(self, sentence: Sequence[str]) -> np.ndarray:
        """The vectors (layers + 1, tokens, 2p) of one sentence."""
        return self.with_bounds(sentence)[:, 1:-1]

    def with_bounds(self, sentence: Sequence[str]) -> np.ndarray:
        """The same with its beginning and end, (layers + 1, tokens + 2, 2p)."""
        places = {word: index for index, word in enumerate(self.words)}
        rows = [places.get(word, places["<UNK>"]) for word in ("<S>", *sentence, "</S>")]
        tokens = self.table[rows].unsqueeze(0)
        with torch.no_grad():
            self.lstm.reset_states()
            outputs = self.lstm(tokens, torch.ones(1, len(rows), dtype=torch.bool))
        layers = torch.cat([torch.cat([tokens, tokens], dim=2).unsqueeze(0), outputs])
        return np.asarray(layers[:, 0])
