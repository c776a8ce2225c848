"""`elmo-mf tasks`: what a sweep can run."""

from __future__ import annotations

import typer


def tasks() -> None:
    """List the tasks with their metric, files and licence.

    Examples:

    \b
      elmo-mf tasks
    """
    from elmo_mf.harness.task import load_task, task_names

    for name in task_names():
        task = load_task(name)
        typer.echo(f"{name}: {task.title}")
        typer.echo(f"  metric: {task.primary} on {task.scored}, {task.metrics[task.primary]} is better")
        typer.echo(f"  files: {', '.join(task.files.values())}; demo data in {task.demo_data}")
        typer.echo(f"  source: {task.source}; {task.licence}")
