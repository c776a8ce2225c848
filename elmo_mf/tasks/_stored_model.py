"""A task's model that was trained on the dense encoder, in a folder, without the encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from elmo_mf.errors import InputError
from elmo_mf.io import read_json
from elmo_mf.plugin.stored_shapes import StoredShapes
from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder

if TYPE_CHECKING:
    from allennlp.models import Model

VOCABULARY = "vocabulary"
_WEIGHTS, _TRAINING = "model.pt", "training.json"
_MOST_BYTES = 100_000


def write_model(folder: Path, model: Model, embedder: ElmoMfTokenEmbedder, training: dict[str, Any]) -> None:
    """Write a trained model, without its encoder.

    Args:
        folder: An empty folder.
        model: AllenNLP's model.
        embedder: Its embedder, whose encoder is left out.
        training: Facts of the training, as JSON values.
    """
    model.vocab.save_to_files(str(folder / VOCABULARY))
    (folder / VOCABULARY / ".lock").unlink(missing_ok=True)
    torch.save(_without_encoder(model, embedder), folder / _WEIGHTS)
    (folder / _TRAINING).write_text(json.dumps(training), encoding="utf-8")


def read_model(folder: Path, model: Model, embedder: ElmoMfTokenEmbedder) -> dict[str, Any]:
    """Read the parameters of a model, except those of its encoder.

    Args:
        folder: Folder of the stored model.
        model: The model, whose parameters are replaced.
        embedder: Its embedder.

    Returns:
        The facts of its training.

    Raises:
        InputError: The model is another one.
    """
    state = torch.load(folder / _WEIGHTS, weights_only=True)
    known = _without_encoder(model, embedder)
    if state.keys() != known.keys() or any(state[name].shape != known[name].shape for name in state):
        raise InputError(f"{folder / _WEIGHTS}: found the parameters of another model, expected those of the task's")
    model.load_state_dict(state, strict=False)
    training = read_json(folder / _TRAINING, "facts of a training", "an object", most=_MOST_BYTES)
    assert isinstance(training, dict)
    return training


def _without_encoder(model: Model, embedder: ElmoMfTokenEmbedder) -> dict[str, torch.Tensor]:
    """Return the state of a model except its encoder and what describes that."""
    encoder = [module for module in embedder.modules() if module is embedder.bilm or isinstance(module, StoredShapes)]
    prefixes = tuple(f"{name}." for name, module in model.named_modules() if any(module is one for one in encoder))
    return {name: value for name, value in model.state_dict().items() if not name.startswith(prefixes)}
