"""`elmo-mf sweep`: run a grid of compressions over the tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elmo_mf.cli.lists import integers, texts
from elmo_mf.cli.progress import progress_bar
from elmo_mf.errors import InputError

if TYPE_CHECKING:
    from elmo_mf.harness.grid import Cell, SweepSpec
    from elmo_mf.harness.sweep import Outcome


def sweep(
    file: Path | None = typer.Argument(None, help="Sweep file (jsonnet); options given here replace its keys."),
    tasks: str | None = typer.Option(None, help="Comma-separated; all by default. See elmo-mf tasks."),
    methods: str | None = typer.Option(None, help="Comma-separated; svd by default."),
    targets: str | None = typer.Option(
        None, help="Target sets, comma-separated, each joined by +; all (three) by default."
    ),
    ranks: str | None = typer.Option(None, help="Comma-separated; 4,16,32 by default."),
    seeds: str | None = typer.Option(None, help="Comma-separated; 13 by default."),
    limit: int | None = typer.Option(None, help="Use at most so many examples of each split."),
    data: Path | None = typer.Option(None, help="Folder with sst/, snli/, squad/; each task's demo data by default."),
    options: Path | None = typer.Option(None, help="options.json of the ELMo; the embedded one by default."),
    weights: Path | None = typer.Option(None, help="Its weights, HDF5."),
    output: Path = typer.Option(Path("runs/sweep"), help="Folder of the records; cells recorded there are skipped."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads."),
    dry_run: bool = typer.Option(False, "--dry-run", help="List the cells and stop."),
) -> None:
    """Train, score and time every combination of task, method, targets, rank and seed; dense is always among them.

    Each cell leaves one record in OUTPUT/records as soon as it is done. Cells that are recorded already are skipped, so
    that a sweep which was cut goes on where it stopped.

    Examples:

    \b
      elmo-mf sweep --dry-run
      elmo-mf sweep --tasks sst --ranks 4,16 --targets input,input+recurrent --output runs/sst
      elmo-mf sweep jsonnet/sweeps/published/methods.jsonnet --data data --output leaderboard
      elmo-mf sweep --options options.json --weights weights.hdf5 --ranks 64,128 --seeds 1,2,3
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # AllenNLP's bars; read when tqdm is imported
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    from elmo_mf.harness.grid import SweepSpec, expand
    from elmo_mf.harness.store import ResultStore

    if threads:
        torch.set_num_threads(threads)
    if output.exists() and not output.is_dir():
        raise InputError(f"--output: found the file {output}, expected a folder")
    spec = SweepSpec.from_file(
        file,
        tasks=tasks and texts("--tasks", tasks), methods=methods and texts("--methods", methods),
        targets=targets and texts("--targets", targets), ranks=ranks and integers("--ranks", ranks),
        seeds=seeds and integers("--seeds", seeds), limit=limit, data=_text(data), options=_text(options),
        weights=_text(weights),
    )  # fmt: skip
    cells = expand(spec)
    store = ResultStore(output)
    left = [cell for cell in cells if not store.has(cell)]
    if dry_run:
        for cell in cells:
            typer.echo(f"{cell}{'' if cell in left else '  (recorded)'}")
    typer.echo(f"{len(cells)} cells, {len(cells) - len(left)} recorded, {len(left)} to run")
    if not dry_run and left:
        _run(spec, left, output)


def _run(spec: SweepSpec, cells: list[Cell], output: Path) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    from elmo_mf.harness.sweep import run_sweep

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with progress_bar(*columns) as bar:
        row = bar.add_task("", total=len(cells))

        def done(outcome: Outcome) -> None:
            bar.advance(row)
            bar.console.print(_line(outcome), markup=False)

        outcomes = run_sweep(spec, cells, output, lambda cell: bar.update(row, description=str(cell)), done)
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        typer.echo(f"{len(failed)} of {len(cells)} cells failed; their logs are in {output / 'failed'}", err=True)
        raise typer.Exit(1)


def _line(outcome: Outcome) -> str:
    if outcome.record is None:
        return f"{outcome.cell}: FAILED {outcome.error}"
    primary = outcome.cell.task.primary
    score, speed = outcome.record["scores"][primary], outcome.record["latency"]["encoder"]["1"]["speed_up"]
    return f"{outcome.cell}: {primary} {score:.4f}, encoder {speed:.2f}x, {outcome.record['seconds']:.0f} s"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
