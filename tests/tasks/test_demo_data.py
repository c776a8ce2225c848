"""The committed demo data equals the generators' output, and splits do not overlap."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from elmo_mf.records.identity import Split
from elmo_mf.tasks import TaskConfig, load_task, task_names


@pytest.mark.parametrize("name", task_names())
def test_the_generator_writes_the_committed_files(name: str, tmp_path: Path) -> None:
    task = load_task(name)
    spec = importlib.util.spec_from_file_location(f"generate_{name}", task.demo_data / "generate.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    generator.main(tmp_path)
    for file in task.files.values():
        assert (tmp_path / file).read_bytes() == (task.demo_data / file).read_bytes()


@pytest.mark.parametrize("name", task_names())
def test_scored_examples_are_not_trained_on(name: str) -> None:
    """In the text of a language model, an example is ten consecutive lines."""
    task = load_task(name)
    train, scored = (_examples(task, split) for split in ("train", task.score.split))
    assert len(train & scored) < 0.02 * len(scored)


def _examples(task: TaskConfig, split: Split) -> set[str]:
    raw = [str(example.raw) for example in task.format.read(task.demo_data / task.files[split])]
    if task.data.format == "text-lines":
        raw = ["\n".join(raw[start : start + 10]) for start in range(len(raw) - 9)]
    return set(raw)


def test_squad_paragraphs() -> None:
    task = load_task("squad")
    contexts = {example.raw[1] for file in task.files.values() for example in task.format.read(task.demo_data / file)}
    assert len(contexts) >= 60
