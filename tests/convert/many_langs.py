"""A random folder in the format of ELMoForManyLangs, and the formulas of its vectors in plain PyTorch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CHARACTERS = ["<oov>", "<bow>", "<eow>", "<pad>", "<bos>", "<eos>", *"abcdehlort", "é", "漢", "字", "\u3000"]
WORDS = ["<oov>", "<pad>", "<bos>", "<eos>", "hello", "cat", "漢字", "the hat", "\u3000", "decorated"]
SENTENCES = [
    ["hello", "cat", "漢字"], ["dog"], ["the hat", "decorated", "\u3000", "Zoë", "é"],
    ["a" * 40, "x", "hello", "<eos>", "tochter"], ["decorated" * 3],
]  # fmt: skip
SIZES: dict[str, Any] = {
    "encoder": {"name": "elmo", "projection_dim": 6, "cell_clip": 3, "proj_clip": 3, "dim": 10, "n_layers": 2},
    "token_embedder": {
        "name": "cnn", "activation": "relu", "filters": [[1, 3], [2, 4], [3, 5]], "n_highway": 2, "word_dim": 5,
        "char_dim": 4, "max_characters_per_token": 12,
    },
    "classifier": {"name": "sampled_softmax", "n_samples": 8192},
    "dropout": 0.1,
}  # fmt: skip


def write_folder(folder: Path, words: Sequence[str] = WORDS, characters: Sequence[str] = CHARACTERS) -> Path:
    """Write a folder, with dictionaries in another order than that of their ids."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sizes.json").write_text(json.dumps(SIZES))
    (folder / "config.json").write_text(json.dumps({"config_path": "/where/it/was/trained/sizes.json", "seed": 1}))
    for name, entries in (("char.dic", characters), ("word.dic", words)):
        lines = [f"{entry}\t{number}\n" for number, entry in enumerate(entries)]
        (folder / name).write_text("".join(reversed(lines)), encoding="utf-8")
    torch.manual_seed(5)
    torch.save(_scaled(token_embedder(len(words), len(characters))), folder / "token_embedder.pkl")
    torch.save(
        _scaled(encoder(), 0.8), folder / "encoder.pkl", _use_new_zipfile_serialization=False
    )  # as they are published
    return folder


def _scaled(state: dict[str, Tensor], factor: float = 0.5) -> dict[str, Tensor]:
    """Shrink weights so far that some of what is clipped reaches the bounds and most does not."""
    return {name: factor * values for name, values in state.items()}


def token_embedder(n_words: int, n_characters: int) -> dict[str, Tensor]:
    sizes, p = SIZES["token_embedder"], SIZES["encoder"]["projection_dim"]
    d, n = sizes["char_dim"], sum(number for _, number in sizes["filters"])
    state = {
        "word_emb_layer.embedding.weight": torch.randn(n_words, sizes["word_dim"]),
        "char_emb_layer.embedding.weight": torch.randn(n_characters, d),
        "projection.weight": torch.randn(p, sizes["word_dim"] + n),
        "projection.bias": torch.randn(p),
    }
    for index, (width, number) in enumerate(sizes["filters"]):
        state |= {f"convolutions.{index}.weight": torch.randn(number, d, width)}
        state |= {f"convolutions.{index}.bias": torch.randn(number)}
    for index in range(sizes["n_highway"]):
        state |= {f"highways._layers.{index}.weight": torch.randn(2 * n, n)}
        state |= {f"highways._layers.{index}.bias": torch.randn(2 * n)}
    return state


def encoder() -> dict[str, Tensor]:
    sizes = SIZES["encoder"]
    n, p = sizes["dim"], sizes["projection_dim"]
    shapes = {
        "input_linearity.weight": (4 * n, p), "state_linearity.weight": (4 * n, p), "state_linearity.bias": (4 * n,),
        "state_projection.weight": (p, n),
    }  # fmt: skip
    modules = [f"{name}_layer_{layer}" for layer in range(sizes["n_layers"]) for name in ("forward", "backward")]
    return {f"{module}.{name}": torch.randn(shape) for module in modules for name, shape in shapes.items()}


class Formulas:
    """What the package computes for one sentence, in PyTorch's own modules and a loop over steps."""

    def __init__(self, folder: Path) -> None:
        self.tokens = torch.load(folder / "token_embedder.pkl", weights_only=True)
        self.lstms = torch.load(folder / "encoder.pkl", weights_only=True)
        self.words, self.characters = (_dictionary(folder / name) for name in ("word.dic", "char.dic"))

    @torch.no_grad()
    def vectors(self, sentence: Sequence[str]) -> np.ndarray:
        """The vectors (layers + 1, tokens, 2p)."""
        tokens = torch.cat([self.token(word) for word in ("<bos>", *sentence, "<eos>")])
        layers = [torch.cat([tokens, tokens], dim=1)]
        inputs = [tokens, tokens.flip(0)]
        for layer in range(SIZES["encoder"]["n_layers"]):
            names = [f"{name}_layer_{layer}" for name in ("forward", "backward")]
            outputs = [self.lstm(name, x) for name, x in zip(names, inputs, strict=True)]
            inputs = outputs if layer == 0 else [y + x for y, x in zip(outputs, inputs, strict=True)]
            layers.append(torch.cat([inputs[0], inputs[1].flip(0)], dim=1))
        return torch.stack(layers)[:, 1:-1].numpy()

    def token(self, word: str) -> Tensor:
        most = SIZES["token_embedder"]["max_characters_per_token"]
        ends = word in ("<bos>", "<eos>")
        word = word if ends else word[: most - 2]
        spelling = [word] if ends else list(word)
        names = ["<eow>", *spelling, "<bow>"]  # exchanged, as in the package
        names += ["<pad>"] * (most - len(names))
        ids = [self.characters.get(name, self.characters["<oov>"]) for name in names]
        x = self.tokens["char_emb_layer.embedding.weight"][ids].T.unsqueeze(0)
        maxima = []
        for index in range(len(SIZES["token_embedder"]["filters"])):
            weight, bias = (self.tokens[f"convolutions.{index}.{name}"] for name in ("weight", "bias"))
            maxima.append(nn.functional.conv1d(x, weight, bias).amax(dim=2))
        y = torch.cat(maxima, dim=1).relu()
        for index in range(SIZES["token_embedder"]["n_highway"]):
            weight, bias = (self.tokens[f"highways._layers.{index}.{name}"] for name in ("weight", "bias"))
            new, gate = nn.functional.linear(y, weight, bias).chunk(2, dim=1)
            y = gate.sigmoid() * y + (1 - gate.sigmoid()) * new.relu()
        row = self.words.get(word, self.words["<oov>"])
        both = torch.cat([self.tokens["word_emb_layer.embedding.weight"][[row]], y], dim=1)
        return nn.functional.linear(both, self.tokens["projection.weight"], self.tokens["projection.bias"])

    def lstm(self, module: str, inputs: Tensor) -> Tensor:
        names = ("input_linearity.weight", "state_linearity.weight", "state_linearity.bias", "state_projection.weight")
        w_x, w_h, bias, w_p = (self.lstms[f"{module}.{name}"] for name in names)
        h, c = torch.zeros(len(w_p)), torch.zeros(w_p.shape[1])
        outputs = []
        for x in inputs:
            i, f, g, o = (w_x @ x + w_h @ h + bias).chunk(4)
            c = (i.sigmoid() * g.tanh() + f.sigmoid() * c).clamp(-3, 3)
            h = (w_p @ (o.sigmoid() * c.tanh())).clamp(-3, 3)
            outputs.append(h)
        return torch.stack(outputs)


def _dictionary(path: Path) -> dict[str, int]:
    pairs = [line.rstrip("\n").split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return {entry: int(number) for entry, number in pairs}
