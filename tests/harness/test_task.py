"""Task cards."""

from __future__ import annotations

from pathlib import Path

import pytest

from elmo_mf.errors import InputError
from elmo_mf.harness.task import SPLITS, Task, load_task, task_names

CARD = """
title = "A task"
config = "jsonnet/a.jsonnet"
[data]
format = "ptb-trees"
train = "train.txt"
validation = "dev.txt"
source = "somewhere"
licence = "free"
[score]
split = "validation"
primary = "accuracy"
chance = "majority"
[score.metrics]
accuracy = "higher"
"""


def _card(folder: Path, text: str) -> Path:
    path = folder / "tasks" / "mine" / "task.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["ptb", "snli", "squad", "sst", "wikitext2"])
def test_cards(name: str) -> None:
    task = load_task(name)
    assert task.config.is_file() and task.primary in task.metrics and task.source and task.licence
    for split in SPLITS:
        assert split not in task.files or task.format.read(task.demo_data / task.files[split])
    assert name in task_names()


def test_sizes_of_the_demo_data() -> None:
    sizes = {
        name: [len(load_task(name).format.read(load_task(name).demo_data / file)) for file in task.files.values()]
        for name in task_names()
        for task in [load_task(name)]
    }
    assert sizes["sst"] >= [600, 200, 200] and min(sizes["sst"][1:]) >= 200
    assert sizes["snli"] >= [600, 200, 200] and min(sizes["snli"][1:]) >= 200
    assert sum(sizes["squad"]) >= 300
    assert sizes["ptb"] >= [600, 200, 200] and sizes["wikitext2"] >= [600, 200, 200]


def test_a_card(tmp_path: Path) -> None:
    task = Task.from_file(_card(tmp_path, CARD))
    assert (task.name, task.files) == ("mine", {"train": "train.txt", "validation": "dev.txt"})
    assert task.config == tmp_path / "jsonnet" / "a.jsonnet" and task.demo_data == tmp_path / "tasks" / "mine" / "demo"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "A task"', "", "title: found nothing, expected a text"),
        ('"ptb-trees"', '"csv"', "data.format: found 'csv', expected one of ptb-trees, snli-jsonl, squad-json"),
        ('split = "validation"', 'split = "test"', "score.split: found 'test', expected one of train, validation"),
        ('primary = "accuracy"', 'primary = "f1"', "score.primary: found 'f1', expected one of accuracy"),
        ('accuracy = "higher"', 'accuracy = "more"', "score.metrics.accuracy: found 'more'"),
        ('accuracy = "higher"', "", "score.metrics: found no table"),
        ('train = "train.txt"', "train = 3", "data.train: found 3, expected a text"),
        ("[score]", "[score", "found something that is not TOML"),
        ('"train.txt"', '"../../train.txt"', "data.train: found '../../train.txt', expected a file below its folder"),
        ('"train.txt"', '"/etc/passwd"', "data.train: found '/etc/passwd', expected a file below its folder"),
        ('"jsonnet/a.jsonnet"', '"../a.jsonnet"', "config: found '../a.jsonnet', expected a file below its folder"),
    ],
)
def test_errors(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = _card(tmp_path, CARD.replace(old, new))
    with pytest.raises(InputError) as error:
        Task.from_file(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


def test_unknown_task() -> None:
    with pytest.raises(InputError, match="tasks: found 'mnist', expected any of ptb, snli, squad, sst"):
        load_task("mnist")
