"""Tests that each of AllenNLP's commands runs, or reports in one line why it does not."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from allennlp.commands import Subcommand, main
from allennlp.commands.train import train_model
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.common.plugins import import_plugins

pytestmark = pytest.mark.slow

TESTED_ELSEWHERE = {"train", "evaluate", "predict"}
Run = Callable[..., str]


@pytest.fixture
def config(tmp_path: Path, elmo_files: Callable[..., tuple[Path, Path]]) -> dict[str, Any]:
    import_plugins()
    options, weights = map(str, elmo_files())
    (tmp_path / "data.jsonl").write_text('{"text": "a b c", "label": "x"}\n{"text": "b c", "label": "y"}\n' * 4)
    elmo = {"type": "elmo_mf", "options_file": options, "weight_file": weights}
    return {
        "dataset_reader": {
            "type": "text_classification_json",
            "tokenizer": "just_spaces",
            "token_indexers": {"tokens": "single_id", "elmo_mf": "elmo_characters"},
        },
        "train_data_path": str(tmp_path / "data.jsonl"),
        "model": {
            "type": "basic_classifier",
            "text_field_embedder": {
                "token_embedders": {"tokens": {"type": "embedding", "embedding_dim": 4}, "elmo_mf": elmo}
            },
            "seq2vec_encoder": {"type": "boe", "embedding_dim": 16},
        },
        "data_loader": {"batch_size": 2},
        "trainer": {"num_epochs": 1, "cuda_device": -1, "optimizer": {"type": "adam", "lr": 0.001}},
    }


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Function that runs `allennlp` in this process and returns its output."""

    def command(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["allennlp", *map(str, arguments)])
        capsys.readouterr()
        main()
        return capsys.readouterr().out

    return command


@pytest.fixture
def archive(config: dict[str, Any], tmp_path: Path) -> Path:
    train_model(Params(json.loads(json.dumps(config))), str(tmp_path / "out"))
    return tmp_path / "out" / "model.tar.gz"


def test_nothing_is_left_out() -> None:
    known = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    assert set(Subcommand.list_available()) <= known | TESTED_ELSEWHERE


def test_find_lr(config: dict[str, Any], tmp_path: Path, run: Run) -> None:
    """The command also plots the losses with matplotlib."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    run("find-lr", file, "-s", tmp_path / "rates", "--num-batches", 12, "--linear")
    assert (tmp_path / "rates" / "lr-losses.png").stat().st_size > 1000


def test_build_vocab(config: dict[str, Any], tmp_path: Path, run: Run) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    run("build-vocab", file, tmp_path / "vocabulary.tar.gz")
    assert (tmp_path / "vocabulary.tar.gz").stat().st_size > 100


def test_count_instances(config: dict[str, Any], tmp_path: Path, run: Run) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    assert "8" in run("count-instances", file)


def test_print_results(archive: Path, run: Run) -> None:
    output = run(
        "print-results", archive.parent.parent, "--keys", "training_accuracy", "--metrics-filename", "metrics.json"
    )
    assert "training_accuracy" in output and "out" in output


def test_diff(archive: Path, run: Run) -> None:
    weights = archive.parent / "best.th"
    output = run("diff", weights, weights)
    assert "token_embedder_elmo_mf" in output


def test_cached_path(tmp_path: Path, run: Run) -> None:
    (tmp_path / "file.txt").write_text("a")
    assert str(tmp_path / "file.txt") in run("cached-path", tmp_path / "file.txt")


def test_test_install(run: Run) -> None:
    with pytest.raises(SystemExit):
        run("test-install", "--help")


def test_checklist(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """The command's package is not installed, because it requires packages that cannot be installed."""
    with caplog.at_level("INFO"):
        run("checklist")
    assert "allennlp[checklist]" in caplog.text


def test_push_to_hf(archive: Path, tmp_path: Path, run: Run) -> None:
    with pytest.raises((ImportError, ConfigurationError), match=r"huggingface_hub\.[\w.]+ "):
        run("push-to-hf", "-n", "mine", "-a", archive, "-l", tmp_path / "repo")


CALLBACKS: list[Any] = [
    "tensorboard", "console_logger", "track_epoch_callback", "confidence_checks", "null",
    {"type": "should_validate_callback", "validation_start": 1, "validation_interval": 1},
]  # fmt: skip


@pytest.mark.parametrize(
    "sampler", [{"type": "bucket", "batch_size": 2}, {"type": "max_tokens_sampler", "max_tokens": 9}]
)
@pytest.mark.parametrize("settings", [{"grad_norm": True}, {"moving_average": {"type": "exponential"}}])
def test_trainers_parts(sampler: Any, settings: Any, config: dict[str, Any], tmp_path: Path) -> None:
    """Training runs with callbacks, samplers, loaders, moving averages and checkpoints by step."""
    config["validation_data_path"] = config["train_data_path"]
    config["data_loader"] = {"type": "multiprocess", "max_instances_in_memory": 4, "batch_sampler": sampler}
    config["validation_data_loader"] = {"type": "simple", "batch_size": 3}
    config["evaluation"] = {"type": "simple"}
    checkpointer = {"save_every_num_batches": 1, "keep_most_recent_by_count": 2}
    more = {"callbacks": CALLBACKS, "checkpointer": checkpointer, "num_gradient_accumulation_steps": 2}
    config["trainer"] |= {**more, **settings, "num_epochs": 2}
    train_model(Params(json.loads(json.dumps(config))), str(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["validation_loss"] < 1.1 * math.log(2)
    assert list((tmp_path / "out" / "log" / "train").iterdir())
