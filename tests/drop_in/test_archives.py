"""AllenNLP's commands with the drop-in on archives that were trained without it, and the other way round."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from allennlp.commands.train import train_model_from_file
from allennlp.data.data_loaders import MultiProcessDataLoader
from allennlp.evaluation import Evaluator
from allennlp.models.archival import load_archive
from allennlp.modules.elmo_lstm import ElmoLstm
from allennlp.predictors import Predictor

from tests.drop_in.install import drop_in
from tests.processes import in_another_process, run_allennlp

WORDS = "the a film plot actor is was not very good bad dull fine charming".split()


def _run(folder: Path, *commands: Sequence[str | Path]) -> str:
    """Run AllenNLP's commands in a folder, one after the other; returns the module that computed."""
    for command in commands:
        run_allennlp(folder, *command)
    return str(ElmoLstm._lstm_forward.__module__)


@pytest.fixture
def folder(tmp_path: Path, elmo_files: Callable[..., tuple[Path, Path]]) -> Path:
    """A config with a fine-tuned ELMo, and its data."""
    rng = random.Random(0)
    for name, size in (("train", 24), ("dev", 12)):
        lines = []
        for _ in range(size):
            words = rng.choices(WORDS, k=rng.randint(1, 7))
            lines.append(json.dumps({"text": " ".join(words), "label": str(int("good" in words or "fine" in words))}))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    sentences = [json.dumps({"sentence": " ".join(rng.choices(WORDS, k=rng.randint(1, 7)))}) for _ in range(7)]
    (tmp_path / "sentences.jsonl").write_text("\n".join(sentences))
    options, weights = elmo_files(dim=16, projection_dim=8)
    embedder = {
        "type": "elmo_token_embedder",
        "options_file": str(options),
        "weight_file": str(weights),
        "requires_grad": True,
        "projection_dim": 10,
    }
    config = {
        "dataset_reader": {
            "type": "text_classification_json",
            "tokenizer": "just_spaces",
            "token_indexers": {"tokens": "single_id", "elmo": "elmo_characters"},
        },
        "train_data_path": "train.jsonl",
        "validation_data_path": "dev.jsonl",
        "data_loader": {"batch_size": 5, "shuffle": True},
        "validation_data_loader": {"batch_size": 5},  # in order, on which the carried states depend
        "model": {
            "type": "basic_classifier",
            "text_field_embedder": {"token_embedders": {"tokens": {"embedding_dim": 2}, "elmo": embedder}},
            "seq2vec_encoder": {"type": "bag_of_embeddings", "embedding_dim": 12},
        },
        "trainer": {"optimizer": {"type": "adam", "lr": 0.01}, "num_epochs": 2, "cuda_device": -1},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def _in_process(archive: Path, folder: Path) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """The scores and predictions of an archive, on the same batches as the commands'."""
    loaded = load_archive(archive)
    reader = loaded.validation_dataset_reader
    loader = MultiProcessDataLoader(reader, str(folder / "dev.jsonl"), batch_size=5)
    loader.index_with(loaded.model.vocab)
    scores = Evaluator.by_name("simple")(cuda_device=-1)(loaded.model, loader, None)
    predictor = Predictor.from_archive(load_archive(archive))
    lines = [json.loads(line) for line in (folder / "sentences.jsonl").read_text().splitlines()]
    return scores, [predictor.predict_json(line) for line in lines]


@pytest.mark.slow
def test_commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ("--include-package", "elmo_mf.drop_in")
    monkeypatch.chdir(folder)
    train_model_from_file("config.json", "stock")
    stock, ours = folder / "stock/model.tar.gz", folder / "ours/model.tar.gz"
    train = ("train", "config.json", "-s", "ours", *package)
    evaluate = ("evaluate", stock, "dev.jsonl", "--output-file", "scores.json", "--batch-size", "5", *package)
    assert in_another_process(_run, folder, train, evaluate).startswith("elmo_mf.drop_in")

    # as many steps in either arithmetic, from the same seeds
    expected, actual = (torch.load(path.parent / "best.th") for path in (stock, ours))
    assert actual.keys() == expected.keys()
    torch.testing.assert_close(actual, expected, atol=1e-3, rtol=1e-2)

    scores, predictions = _in_process(stock, folder)
    assert json.loads((folder / "scores.json").read_text()) == pytest.approx(scores, abs=1e-5)

    (folder / ".allennlp_plugins").write_text("elmo_mf.drop_in\n")
    predict = ("predict", stock, "sentences.jsonl", "--output-file", "predictions.jsonl", "--silent")
    assert in_another_process(_run, folder, predict).startswith("elmo_mf.drop_in")
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    _assert_equal_predictions(lines, predictions)

    scores, predictions = _in_process(ours, folder)  # trained by the drop-in, and read without it
    with drop_in():
        found_scores, found_predictions = _in_process(ours, folder)
    assert found_scores == pytest.approx(scores, abs=1e-5)
    _assert_equal_predictions(found_predictions, predictions)


def _assert_equal_predictions(actual: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(actual) == len(expected) > 0
    for one, other in zip(actual, expected, strict=True):
        assert one["label"] == other["label"]
        assert one["probs"] == pytest.approx(other["probs"], abs=1e-4)
