"""TaskConfig configs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.errors import InputError
from elmo_mf.resources import share
from elmo_mf.tasks import TaskConfig, load_task, task_names
from elmo_mf.tasks.task_config import SPLITS

CONFIG = """
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


def _config_file(folder: Path, text: str) -> Path:
    path = folder / "tasks" / "mine" / "task.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["ptb", "snli", "squad", "sst", "wikitext2"])
def test_configs(name: str) -> None:
    task = load_task(name)
    assert task.config.is_file() and task.score.primary in task.score.metrics and task.data.source and task.data.licence
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


def test_a_config(tmp_path: Path) -> None:
    task = TaskConfig.from_file(_config_file(tmp_path, CONFIG))
    assert (task.name, task.files) == ("mine", {"train": "train.txt", "validation": "dev.txt"})
    assert task.config == share() / "jsonnet" / "a.jsonnet" and task.demo_data == task.folder
    (task.folder / "jsonnet").mkdir()
    (task.folder / "jsonnet" / "a.jsonnet").touch()
    (task.folder / "demo").mkdir()
    assert task.config == task.folder / "jsonnet" / "a.jsonnet" and task.demo_data == task.folder / "demo"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "A task"', "", "title: "),
        ('"ptb-trees"', '"csv"', "data.format: found 'csv'"),
        ('split = "validation"', 'split = "test"', "score.split: found 'test'"),
        ('primary = "accuracy"', 'primary = "f1"', "score.primary: found 'f1'"),
        ('accuracy = "higher"', 'accuracy = "more"', "score.metrics.accuracy: found 'more'"),
        ('accuracy = "higher"', "", "score.metrics: found {}"),
        ('train = "train.txt"', "train = 3", "data.train: found 3"),
        ("[score]", "[score", "not TOML"),
        ('"train.txt"', '"../../train.txt"', "data.train: found '../../train.txt'"),
        ('"train.txt"', '"/etc/passwd"', "data.train: found '/etc/passwd'"),
        ('"jsonnet/a.jsonnet"', '"../a.jsonnet"', "config: found '../a.jsonnet'"),
        ('"train.txt"', f'"{"x" * 300}"', "data.train: found"),
        ('"A task"', f'"{"x" * 2000}"', "title: found"),
        ('"A task"', '"A task"\nkind = 1', "kind: found 1"),
        ('"A task"', "0x" + "f" * 5000, "title: "),
        ('"A task"', "9" * 5000, "not TOML"),
        ('"A task"', "[" * 2000 + "]" * 2000, "not TOML"),
        ('"A task"', '"A task"\nz = ' + "{a=" * 400 + "1" + "}" * 400, "not TOML"),
        ('"A task"', '"A task"\n' + "a." * 400 + "b = 1", "nested"),
        ('"A task"', '"A task" # ' + "x" * 100_000, "100,000 bytes"),
        ('"A task"', '"A task" # \x00', "not TOML"),
        ("[data]", "[dates]", "data: "),
        ('chance = "majority"', "chance = [1]", "score.chance: found [1]"),
        ('primary = "accuracy"', "", "score.primary: "),
        (
            'config = "jsonnet/a.jsonnet"',
            'kind = "probe"\nprobe.examples = "pair"',
            "data.format: found 'ptb-trees', expected snli-jsonl, for the probe of a pair",
        ),
    ],
)
def test_errors(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = _config_file(tmp_path, CONFIG.replace(old, new))
    with pytest.raises(InputError) as error:
        TaskConfig.from_file(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


def test_unknown_task() -> None:
    with pytest.raises(InputError, match="tasks: found 'mnist'"):
        load_task("mnist")


def test_a_config_that_is_no_regular_file(tmp_path: Path) -> None:
    path = _config_file(tmp_path, CONFIG)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="not a regular file"):
        TaskConfig.from_file(path)


def test_keys_for_people_do_no_harm(tmp_path: Path) -> None:
    path = _config_file(tmp_path, CONFIG + '\n[demo]\nsource = "generated"\ndate = 2026-01-01\n')
    assert TaskConfig.from_file(path).title == "A task"


@given(st.binary(max_size=8), st.integers(0, len(CONFIG)), st.integers(0, 40))
def test_mutants_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, new: bytes, at: int, gone: int) -> None:
    path = tmp_path_factory.getbasetemp() / "tasks" / "mutant" / "task.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONFIG.encode()[:at] + new + CONFIG.encode()[at + gone :])
    try:
        TaskConfig.from_file(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
