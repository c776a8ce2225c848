"""`elmo-mf tasks`: list the tasks that a sweep can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from elmo_mf.cli.terminal import echo
from elmo_mf.io import check_output, write_json

if TYPE_CHECKING:
    from elmo_mf.tasks.config import Task


def tasks(
    json_file: Path | None = typer.Option(None, "--json", help="Write the list to this file too."),
) -> None:
    """List the tasks with their metric, files and licence.

    Examples:

    \b
      elmo-mf tasks
      elmo-mf tasks --json tasks.json
    """
    if json_file is not None:
        check_output("--json", json_file)
    from elmo_mf.tasks.config import load_task, task_names

    known = [load_task(name) for name in task_names()]
    for task in known:
        echo(f"{task.name}: {task.title}")
        echo(f"  metric: {task.primary} on {task.scored}, {task.metrics[task.primary]} is better")
        echo(f"  files: {', '.join(task.files.values())}; demo data in {task.demo_data}")
        echo(f"  source: {task.source}; {task.licence}")
    if json_file is not None:
        write_json(json_file, {task.name: _as_json(task) for task in known})


def _as_json(task: Task) -> dict[str, Any]:
    names = ("title", "kind", "files", "scored", "primary", "metrics", "chance", "source", "licence")
    return {name: getattr(task, name) for name in names}
