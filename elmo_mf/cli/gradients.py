"""`elmo-mf gradients`: second moments of the gradients of a loss in the encoder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elmo_mf.cli import _completion
from elmo_mf.cli._elmo_files import elmo_keys
from elmo_mf.cli._include_option import Include, include_all
from elmo_mf.cli._option_names import options_named
from elmo_mf.cli._output_options import Force, Output, check_unused, the_output
from elmo_mf.cli._progress_bar import phases_shown
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError, check_installed
from elmo_mf.io import atomic_path, check_output, exclusive, output_errors, remove_folder

if TYPE_CHECKING:
    from elmo_mf.records.run import Run
    from elmo_mf.tasks import SweepSpec


def gradients(
    task: str = typer.Argument(
        autocompletion=_completion.complete_one(_completion.tasks), help="Name of a task, see elmo-mf tasks."
    ),
    output: Path | None = typer.Argument(None, metavar="OUTPUT", help="HDF5 file to write."),
    out: Output = None,
    file: Path | None = typer.Option(None, "--sweep", help="Sweep file whose data, limits and overrides to use."),
    data: Path | None = typer.Option(None, help="Folder with one folder per task; the task's demo data by default."),
    options: Path | None = typer.Option(
        None, help="options.json of the ELMo, or a folder or zip with all its files; the small embedded one by default."
    ),
    weights: Path | None = typer.Option(None, help="Weights of the ELMo, HDF5."),
    seed: int = typer.Option(13, help="Random seed of the training."),
    limit: int | None = typer.Option(None, help="Maximum number of examples per split."),
    covariances: bool = typer.Option(
        True, help="Write output covariances too, which kfac_svd and --cells read: 16 n^2 numbers for n memory cells."
    ),
    include: Include = [],  # noqa: B006 - Typer reads it
    force: Force = False,
) -> None:
    """Write the second moments of a loss's gradients in the dense encoder, for compress, accelerate and shrink.

    The loss is that of a task's model, which is trained first; or, for wikitext2-bilm, the ELMo's own loss as a
    language model on the training text, with the softmax next to its weights. fisher_svd, kfac_svd and --cells read the
    file; the key gradients of a config names it, and a sweep creates such files itself. The same command resumes an
    interrupted run, whose data, encoder, activations and trained model are kept in OUTPUT.parts until it ends.

    Examples:

    \b
      elmo-mf gradients sst sst-gradients.hdf5 --options options.json --weights weights.hdf5
      elmo-mf compress options.json weights.hdf5 --method fisher_svd --gradients sst-gradients.hdf5 --rank 8 --out small
      elmo-mf gradients wikitext2-bilm gradients.hdf5 --data data --options options.json --weights weights.hdf5
      elmo-mf compress options.json weights.hdf5 --method kfac_svd --gradients gradients.hdf5 --rank 32 --out small
      elmo-mf compress options.json weights.hdf5 --gradients gradients.hdf5 --cells 320 --out fewer-cells
    """
    output = the_output(output, out)
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from elmo_mf.tasks import load_task

    include_all(include)
    with options_named({"tasks": "TASK"}):
        known = load_task(task)
    from elmo_mf.tasks import SweepSpec

    check_output("OUTPUT", output, (file, options, weights))
    changes = {"data": None if data is None else str(data)} | elmo_keys(options, weights)
    given = {
        f"sweep.{name}": f"--{name}" for name, value in {"limit": limit, "data": data}.items() if value is not None
    }
    with options_named({"sweep.seeds": "--seed", **given}):
        spec = SweepSpec.from_file(
            file, tasks=[task], methods=[], compressions=[], seeds=[seed], limit=limit, include=include, **changes
        )
    if known.kind in ("language-model", "probe"):
        kind = {"language-model": "a language model", "probe": "a probe"}[known.kind]
        raise InputError("TASK", f"found {task}, {kind}, expected a task whose model has an ELMo, or wikitext2-bilm")
    check_installed("allennlp")
    from elmo_mf.storage.resumable import begun
    from elmo_mf.tasks import expand

    (run,) = expand(spec)
    check_output("OUTPUT", output, (spec.data_of(known) / name for name in known.files.values()))
    folder = output.with_name(f"{output.name}.parts")
    if not folder.exists():  # otherwise the run that made it is resumed
        check_unused([output], force)
    with output_errors(output), exclusive(folder, f"the output {output}"):
        with begun(folder, {"command": "gradients"}) as resumed:
            if resumed:
                echo(f"resuming from {folder}")
            _make(spec, run, folder, output, covariances)
        remove_folder(folder)
    echo(f"wrote {output}")


def _make(spec: SweepSpec, run: Run, folder: Path, output: Path, covariances: bool) -> None:
    from elmo_mf.experiments import workspace
    from elmo_mf.tasks import bilm_gradients_of, check_needs, gradients_of, load_task

    gradients = bilm_gradients_of if load_task(run.task).kind == "bilm" else gradients_of
    check_needs(spec, [run], folder, workers=1, option="OUTPUT")
    with phases_shown() as report, workspace(folder, report=report) as work, atomic_path(output) as path:
        # a copy: if the process is killed from here on, the same command still has the original
        shutil.copyfile(gradients(spec, run, work, covariances), path)
