"""Preset `paper` against the published configs, key by key, and at work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.tables.page import read_json
from elmo_mf.tasks import load_task
from elmo_mf.tasks._jsonnet import evaluate_jsonnet, override, task_config
from elmo_mf.tasks._training import training_loop
from tests.conftest import ROOT, small_data

pytestmark = pytest.mark.slow

RECORD = read_json("sweeps/published.json")
PUBLISHED: dict[str, Any] = RECORD["published"]
_EMBEDDERS = "model.text_field_embedder.token_embedders"
_OURS = {
    "model.elmo.": f"{_EMBEDDERS}.elmo_mf.",
    f"{_EMBEDDERS}.elmo.": f"{_EMBEDDERS}.elmo_mf.",
    "token_indexers.elmo.": "token_indexers.elmo_mf.",
}
"""What a published key is called here."""


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _published(task: str) -> dict[str, Any]:
    configs = {}
    for key, value in PUBLISHED[task]["values"].items():
        for theirs, ours in _OURS.items():
            key = key.replace(theirs, ours)
        configs[key] = value
    return configs


def _here(task: str) -> dict[str, Any]:
    files = {"data": "DATA", "options_file": "OPTIONS", "weight_file": "WEIGHTS"}
    values = {**files, "seed": "SEED", "elmo_dim": 1024, "cache_mb": 0}
    return dict(_flat(task_config(load_task(task).config, "paper", "GLOVE", values)))


def _listed(task: str) -> dict[str, dict[str, Any]]:
    """Each key at which the preset differs by the record, and its value here, where it is there."""
    described: dict[str, dict[str, Any]] = {}
    for difference in RECORD["differences"]:
        assert difference["what"] and difference["why"]
        keys = difference["keys"].get(task, {})
        assert not keys.keys() & described.keys()
        described |= keys
    return described


@pytest.mark.parametrize("task", sorted(PUBLISHED))
def test_nothing_differs_but_what_is_listed(task: str) -> None:
    published, here, listed = _published(task), _here(task), _listed(task)
    for key in published.keys() | here.keys():
        ours = {"here": here[key]} if key in here else {}
        theirs = {"here": published[key]} if key in published else {}
        if key in listed:
            assert ours == listed[key] != theirs, key
        else:
            assert ours == theirs, key
    assert listed.keys() <= published.keys() | here.keys()


@pytest.mark.parametrize("task", ["ptb", "snli", "squad", "sst", "wikitext2"])
def test_one_epoch(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a few examples: a task's model in the published sizes on a small ELMo, a language model in small ones."""
    monkeypatch.chdir(ROOT)
    data = small_data(task, tmp_path / "data", 20 if task in ("ptb", "wikitext2") else 2)
    arguments = {"data": f'"{data}"'}
    if task in PUBLISHED:
        words = tmp_path / "words.txt"
        words.write_text(f"the {' '.join(['0.1'] * _words_dim(task))}\n")
        arguments["glove_file"] = f'"{words}"'
    config = evaluate_jsonnet(ROOT / "jsonnet" / "paper" / f"{task}.jsonnet", arguments)
    changes: dict[str, Any] = {"trainer.num_epochs": 1}
    if task not in PUBLISHED:
        changes |= {"model.embedding_dim": 16, "model.hidden_size": 24, "data_loader.batch_size": 8}
    metrics = training_loop(override(config, changes, task), str(tmp_path / "out")).run()
    assert metrics["training_loss"] > 0 and f"best_validation_{load_task(task).score.primary}" in metrics


def _words_dim(task: str) -> int:
    """How long the published word vectors are."""
    return int(PUBLISHED[task]["values"].get(f"{_EMBEDDERS}.tokens.embedding_dim", 1))
