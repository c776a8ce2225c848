"""The configs as a user runs them: train, evaluate, predict; and the published hyper-parameters."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from allennlp.commands import main as allennlp

from elmo_mf.errors import InputError
from elmo_mf.tasks import load_task, task_names
from elmo_mf.tasks._jsonnet import evaluate_jsonnet
from tests.conftest import ROOT, documented_method, small_data

pytestmark = pytest.mark.slow

INPUTS = {
    "sst": ("text_classifier", {"sentence": "a dull film"}, "label"),
    "snli": ("textual_entailment", {"premise": "A man sleeps.", "hypothesis": "A man rests."}, "label"),
    "squad": ("reading_comprehension", {"passage": "Ann was born in Rome.", "question": "Where?"}, "best_span_str"),
}


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["allennlp", *map(str, arguments)])
    allennlp()


@pytest.mark.parametrize("task", sorted(INPUTS))
def test_train_evaluate_predict(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task_config, data, out = load_task(task), small_data(task, tmp_path / "data"), tmp_path / "out"
    elmo = "model.text_field_embedder.token_embedders.elmo_mf"
    changes: dict[str, Any] = {"trainer.num_epochs": 2}
    changes[f"{elmo}.compression"] = {"method": "svd", "rank": 4, "targets": ["input", "recurrent"]}
    for split, file in task_config.files.items():
        changes[f"{split}_data_path"] = str(data / file)
    _run(monkeypatch, "train", f"jsonnet/{task}.jsonnet", "-s", out, "-o", json.dumps(changes))
    trained = json.loads((out / "metrics.json").read_text())
    assert trained["epoch"] == 1 and trained["training_loss"] > 0

    held_out = data / task_config.files["validation"]
    _run(monkeypatch, "evaluate", out / "model.tar.gz", held_out, "--output-file", tmp_path / "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores[task_config.score.primary] == pytest.approx(trained[f"best_validation_{task_config.score.primary}"])
    assert set(task_config.score.metrics) <= set(scores)

    predictor, example, answer = INPUTS[task]
    (tmp_path / "in.jsonl").write_text(json.dumps(example) + "\n")
    files = tmp_path / "in.jsonl", "--output-file", tmp_path / "out.jsonl"
    _run(monkeypatch, "predict", out / "model.tar.gz", *files, "--predictor", predictor, "--silent")
    assert isinstance(json.loads((tmp_path / "out.jsonl").read_text())[answer], str)


@pytest.mark.usefixtures("nothing_included")
def test_a_method_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AllenNLP's own option is enough."""
    (tmp_path / "my_methods.py").write_text(documented_method())
    monkeypatch.syspath_prepend(tmp_path)
    data, out = small_data("sst", tmp_path / "data", 8), tmp_path / "out"
    compression = {"method": "longest_columns", "rank": 4, "targets": "input"}
    changes: dict[str, Any] = {
        "trainer.num_epochs": 1, "model.text_field_embedder.token_embedders.elmo_mf.compression": compression
    }  # fmt: skip
    changes |= {f"{split}_data_path": str(data / file) for split, file in load_task("sst").files.items()}
    train: list[str | Path] = ["train", "jsonnet/sst.jsonnet", "-s", out, "-o", json.dumps(changes)]
    with pytest.raises(InputError, match="longest_columns"):
        _run(monkeypatch, *train)
    shutil.rmtree(out)
    _run(monkeypatch, *train, "--include-package", "my_methods")
    scores = tmp_path / "scores.json"
    evaluate: list[str | Path] = ["evaluate", out / "model.tar.gz", data / "dev.txt", "--output-file", scores]
    _run(monkeypatch, *evaluate, "--include-package", "my_methods")
    assert 0 <= json.loads(scores.read_text())["accuracy"] <= 1


@pytest.mark.parametrize("task", sorted(INPUTS))
def test_defaults_need_no_parameters(task: str) -> None:
    """What `allennlp train jsonnet/<task>.jsonnet` reads is there."""
    config = evaluate_jsonnet(ROOT / "jsonnet" / f"{task}.jsonnet")
    elmo = config["model"]["text_field_embedder"]["token_embedders"]["elmo_mf"]
    paths = [elmo["options_file"], elmo["weight_file"], config["train_data_path"], config["validation_data_path"]]
    assert all((ROOT / path).is_file() for path in paths)
    assert elmo["compression"] is None


LANGUAGE_MODELS = ("ptb", "wikitext2")


def test_every_task_is_tested() -> None:
    assert sorted((*INPUTS, *LANGUAGE_MODELS)) == [
        name for name in task_names() if load_task(name).config_name is not None
    ]


@pytest.mark.parametrize("task", LANGUAGE_MODELS)
def test_train_and_evaluate_a_language_model(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Low-rank from the start."""
    task_config, data, out = load_task(task), small_data(task, tmp_path / "data", 60), tmp_path / "out"
    changes: dict[str, Any] = {"trainer.num_epochs": 2, "model.embedding_dim": 16, "model.hidden_size": 24}
    changes["model.compression"] = {"method": "svd", "rank": 4, "targets": ["input", "recurrent"]}
    for split, file in task_config.files.items():
        changes[f"{split}_data_path"] = str(data / file)
    _run(monkeypatch, "train", f"jsonnet/{task}.jsonnet", "-s", out, "-o", json.dumps(changes))
    trained = json.loads((out / "metrics.json").read_text())
    held_out = data / task_config.files["validation"]
    _run(monkeypatch, "evaluate", out / "model.tar.gz", held_out, "--output-file", tmp_path / "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["perplexity"] == pytest.approx(trained["best_validation_perplexity"], rel=1e-5)


@pytest.mark.parametrize("task", LANGUAGE_MODELS)
def test_a_language_models_defaults_need_no_parameters(task: str) -> None:
    config = evaluate_jsonnet(ROOT / "jsonnet" / f"{task}.jsonnet")
    paths = [config[f"{split}_data_path"] for split in ("train", "validation", "test")]
    assert all((ROOT / path).is_file() for path in paths) and config["model"]["compression"] is None


def test_the_demo_language_model_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `allennlp train jsonnet/ptb.jsonnet` runs it, smaller: far below the perplexity of words by themselves."""
    changes = {"model.embedding_dim": 64, "model.hidden_size": 64, "trainer.num_epochs": 12}
    _run(monkeypatch, "train", "jsonnet/ptb.jsonnet", "-s", tmp_path / "out", "-o", json.dumps(changes))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["best_validation_perplexity"] < 30


@pytest.mark.parametrize(
    ("task", "dropouts", "batch_size", "epochs"),
    [("ptb", (0.1, 0.4, 0.25, 0.4, 0.5), 20, 500), ("wikitext2", (0.1, 0.65, 0.2, 0.4, 0.5), 80, 750)],
)
def test_paper_language_models(task: str, dropouts: tuple[float, ...], batch_size: int, epochs: int) -> None:
    """The options in the README of the authors' code (salesforce/awd-lstm-lm), and the defaults of its main.py."""
    config = evaluate_jsonnet(ROOT / "jsonnet" / "paper" / f"{task}.jsonnet")
    model, trainer = config["model"], config["trainer"]
    assert (model["embedding_dim"], model["hidden_size"], model["num_layers"]) == (400, 1150, 3)
    names = ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_drop")
    assert tuple(model[name] for name in names) == dropouts and "softmax_samples" not in model
    assert (model["activation_regularisation"], model["temporal_regularisation"]) == (2, 1)
    assert (config["data_loader"]["batch_size"], config["data_loader"]["steps"]) == (batch_size, 70)
    assert trainer["optimizer"] == {"type": "sgd", "lr": 30, "weight_decay": 1.2e-6}
    assert (trainer["grad_norm"], trainer["num_epochs"]) == (0.25, epochs)
    assert trainer["callbacks"] == [{"type": "nt_asgd", "patience": 5}]
