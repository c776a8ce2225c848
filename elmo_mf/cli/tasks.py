"""`elmo-mf tasks`: list the tasks that a sweep can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from elmo_mf.cli._include_option import Include, include_all
from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.io import check_output, write_json

if TYPE_CHECKING:
    from elmo_mf.tasks import TaskConfig


def tasks(
    json_file: Path | None = typer.Option(None, "--json", help="Also write the list to this file."),
    include: Include = [],  # noqa: B006 - Typer reads it
    force: Force = False,
) -> None:
    """List the tasks with their metric, files and licence.

    Examples:

    \b
      elmo-mf tasks
      elmo-mf tasks --json tasks.json
    """
    if json_file is not None:
        check_output("--json", json_file)
        check_unused([json_file], force)
    from elmo_mf.tasks import load_task, task_names

    include_all(include)
    known = [load_task(name) for name in task_names()]
    for task in known:
        echo(f"{task.name}: {task.title}")
        better = task.score.metrics[task.score.primary]
        echo(f"  metric: {task.score.primary} on {task.score.split}, {better} is better")
        echo(f"  files: {', '.join(task.files.values())}; demo data in {task.demo_data}")
        echo(f"  source: {task.data.source}; {task.data.licence}")
    if json_file is not None:
        write_json(json_file, {task.name: _as_json(task) for task in known})


def _as_json(task: TaskConfig) -> dict[str, Any]:
    score = task.score
    return {
        "title": task.title, "kind": task.kind, "files": task.files, "scored": score.split, "primary": score.primary,
        "metrics": score.metrics, "chance": score.chance, "source": task.data.source, "licence": task.data.licence,
    }  # fmt: skip
