"""Data of a run: files cut to the limits, counts of examples and chance scores, each computed once for all runs."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from elmo_mf.errors import InputError
from elmo_mf.experiments import MAX_JSON_BYTES, Workspace
from elmo_mf.io.reading import read_bytes
from elmo_mf.io.validation import validated_json
from elmo_mf.records.base_model import Data, Number
from elmo_mf.records.digest import digest
from elmo_mf.records.identity import Split
from elmo_mf.records.record import Examples
from elmo_mf.records.run import Run
from elmo_mf.tasks import _chance
from elmo_mf.tasks._chance import CHANCES
from elmo_mf.tasks.formats import Example
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import TaskConfig, load_task

VERSION = 1
"""Version of how data is dealt out to splits and cut, part of a run's identity; raised when a run's data changes."""


class DataFacts(Data):
    """Facts about the data that the scores of a run are compared with."""

    examples: Examples
    """Number of examples of each split."""
    chance: Number
    """Primary metric of a model that knows nothing."""


def limited_data(spec: SweepSpec, run: Run, workspace: Workspace) -> Path:
    """Return the data folder of a run.

    This is the sweep's own folder, unless its files have to be dealt out to splits, cut to the limits or rewritten for
    AllenNLP's readers.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.

    Raises:
        InputError: A file does not have the format of its task, or too few documents.
    """
    task = load_task(run.task)
    source = spec.data_of(task)
    limits = {split: spec.limit_of(task.name, split) for split in task.files}

    def make(folder: Path) -> None:
        contents = {split: task.format.contents(source / name) for split, name in task.files.items()}
        examples = {split: one.examples for split, one in contents.items()}
        if task.shares_file:
            examples |= _dealt(task, examples["validation"], source / task.files["validation"])
        if task.shares_file or any(limits.values()) or not all(one.plain for one in contents.values()):
            for split, name in task.run_files.items():
                task.format.write(examples[split], folder / name, limits[split])

    limited = workspace.cache.get("data", f"{task.name}-{digest(_sources(run, task))[:16]}", make)
    return limited if all((limited / name).exists() for name in task.run_files.values()) else source


def _sources(run: Run, task: TaskConfig) -> dict[str, JsonValue]:
    """Return what the data of a run depends on."""
    versions: dict[str, JsonValue] = {"run-data": VERSION, task.format.NAME: task.format.VERSION}
    return {"data": run.identity.data.to_dict(), "columns": {**task.columns}, "versions": versions}


def _dealt(task: TaskConfig, examples: list[Example], path: Path) -> dict[Split, list[Example]]:
    """Deal documents out to the splits `validation` and `test`, in turn."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(map(task.format.document, examples)))}
    if len(numbers) < 2:
        raise InputError(path, "found 1 document, expected at least 2, for the splits validation and test")
    parts: dict[Split, list[Example]] = {"validation": [], "test": []}
    for example in examples:
        parts["test" if numbers[task.format.document(example)] % 2 else "validation"].append(example)
    return parts


def data_facts(run: Run, data: Path, workspace: Workspace) -> DataFacts:
    """Return the number of examples of each split and the chance score.

    Args:
        run: The run.
        data: Its data folder.
        workspace: Workspace of the run.
    """
    task = load_task(run.task)

    def make(folder: Path) -> None:
        examples = {split: task.format.read(data / name) for split, name in task.run_files.items()}
        facts = DataFacts(
            examples=Examples(**{split: len(read) for split, read in examples.items()}),
            chance=CHANCES[task.score.chance](examples["train"], examples[task.score.split]),
        )
        (folder / "facts.json").write_text(facts.model_dump_json(), encoding="utf-8")

    sources = _sources(run, task) | {"scoring": run.identity.scoring.to_dict(), "chance": _chance.VERSION}

    def read(folder: Path) -> DataFacts:
        path, content = folder / "facts.json", "examples and chance"
        raw = read_bytes(path, "cached facts", content, most=MAX_JSON_BYTES)
        return validated_json(DataFacts, raw, str(path), content)

    return workspace.cache.load("facts", f"{task.name}-{digest(sources)[:16]}", make, read)
