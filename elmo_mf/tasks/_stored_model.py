"""A task's model that was trained on the dense encoder, in a folder, without the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from elmo_mf.errors import InputError
from elmo_mf.io import read_bytes
from elmo_mf.io.validation import validated_json
from elmo_mf.records.base_model import Count
from elmo_mf.tasks._training import Epochs

if TYPE_CHECKING:
    from allennlp.models import Model

    from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder

VOCABULARY = "vocabulary"
_WEIGHTS, _TRAINING = "model.pt", "training.json"
_MOST_BYTES = 100_000


class StoredTraining(Epochs):
    """Training of a stored model."""

    collapsed: bool
    """Whether the model learned nothing in any attempt."""
    attempts: Count
    """Number of trainings before this one, which collapsed."""


def write_model(folder: Path, model: Model, embedder: ElmoMfTokenEmbedder, training: StoredTraining) -> None:
    """Write a trained model, without its encoder.

    Args:
        folder: An empty folder.
        model: AllenNLP's model.
        embedder: Its embedder, whose encoder is left out.
        training: Its training.
    """
    model.vocab.save_to_files(str(folder / VOCABULARY))
    (folder / VOCABULARY / ".lock").unlink(missing_ok=True)
    torch.save(_without_encoder(model, embedder), folder / _WEIGHTS)
    (folder / _TRAINING).write_text(training.model_dump_json(), encoding="utf-8")


def read_model(folder: Path, model: Model, embedder: ElmoMfTokenEmbedder) -> StoredTraining:
    """Read the parameters of a model, except those of its encoder.

    Args:
        folder: Folder of the stored model.
        model: The model, whose parameters are replaced.
        embedder: Its embedder.

    Returns:
        Its training.

    Raises:
        InputError: The model is another one, or the file of its training is damaged.
    """
    state = torch.load(folder / _WEIGHTS, weights_only=True, map_location="cpu")
    known = _without_encoder(model, embedder)
    if state.keys() != known.keys() or any(state[name].shape != known[name].shape for name in state):
        raise InputError(folder / _WEIGHTS, "found the parameters of another model, expected those of the task's")
    with torch.no_grad():
        for name, value in state.items():
            known[name].copy_(value)  # which shares its memory with the model
    path, content = folder / _TRAINING, "facts of a training"
    return validated_json(StoredTraining, read_bytes(path, content, "an object", most=_MOST_BYTES), str(path), content)


def _without_encoder(model: Model, embedder: ElmoMfTokenEmbedder) -> dict[str, torch.Tensor]:
    """Return the state of a model except its encoder and what describes that."""
    from elmo_mf.plugin.stored_shapes import StoredShapes

    encoder = [module for module in embedder.modules() if module is embedder.bilm or isinstance(module, StoredShapes)]
    prefixes = tuple(f"{name}." for name, module in model.named_modules() if any(module is one for one in encoder))
    return {name: value for name, value in model.state_dict().items() if not name.startswith(prefixes)}
