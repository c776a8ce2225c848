"""Models of AllenNLP's own classes with its own ELMo, trained on a few examples."""

from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path
from typing import Any

from allennlp.commands.train import train_model
from allennlp.common import Params
from allennlp.common.plugins import import_plugins

from elmo_mf.tasks import load_task
from elmo_mf.tasks._jsonnet import task_config
from tests.conftest import small_data

Files = tuple[Path, Path]
TAGGER = "tagger"
_WORDS = {"D": ["the", "a"], "N": ["cat", "dog", "ELMo"], "V": ["sees", "hears"]}


def stock_config(task: str, files: Files, folder: Path, **embedder: Any) -> dict[str, Any]:
    """Return a task's config with `elmo_token_embedder`; `embedder` are more of its keys."""
    elmo = {"type": "elmo_token_embedder", "options_file": str(files[0]), "weight_file": str(files[1]), **embedder}
    if task == TAGGER:
        return _tagger_config(elmo, folder)
    values = {"options_file": str(files[0]), "weight_file": str(files[1]), "data": str(small_data(task, folder))}
    width = embedder.get("projection_dim", 12)
    config = task_config(load_task(task).config, "demo", None, {**values, "elmo_dim": width, "cache_mb": 0, "seed": 1})
    config["model"]["text_field_embedder"]["token_embedders"]["elmo_mf"] = elmo
    config["trainer"]["num_epochs"] = 1
    return config


def _tagger_config(elmo: dict[str, Any], folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True)
    sentences = itertools.product(_WORDS["D"], _WORDS["N"], _WORDS["V"], _WORDS["D"], _WORDS["N"])
    lines = ["\t".join(f"{word}###B-{tag}" for word, tag in zip(s, "DNVDN", strict=True)) for s in sentences]
    (folder / "train.tsv").write_text("\n".join(lines[::2]) + "\n")
    (folder / "dev.tsv").write_text("\n".join(lines[1::2]) + "\n")
    width = elmo.get("projection_dim", 12)
    return {
        "dataset_reader": {"type": "sequence_tagging", "token_indexers": {"elmo": {"type": "elmo_characters"}}},
        "train_data_path": str(folder / "train.tsv"),
        "validation_data_path": str(folder / "dev.tsv"),
        "model": {
            "type": "crf_tagger",
            "label_encoding": "BIO",
            "text_field_embedder": {"token_embedders": {"elmo": elmo}},
            "encoder": {"type": "lstm", "input_size": width, "hidden_size": 8, "bidirectional": True},
        },
        "data_loader": {"batch_size": 4},
        "trainer": {"num_epochs": 2, "optimizer": {"type": "adam", "lr": 0.02}},
    }


def trained(config: dict[str, Any], folder: Path) -> Path:
    """Train a model and return its archive; handlers of logs that AllenNLP adds are removed."""
    import_plugins()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        train_model(Params(json.loads(json.dumps(config))), str(folder))
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return folder / "model.tar.gz"
