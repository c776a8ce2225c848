"""`elmo-mf embed`: a text file to vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from elmo_mf.cli import compression_options
from elmo_mf.cli.devices import device_named
from elmo_mf.cli.elmo_files import elmo_files
from elmo_mf.cli.progress_bar import progress_bar
from elmo_mf.cli.terminal import echo
from elmo_mf.errors import InputError
from elmo_mf.io import check_output, output_errors, staging

if TYPE_CHECKING:
    from elmo_mf.bilm import Bilm, StatePolicy
    from elmo_mf.bilm.runtime.packed_linear import Precision
    from elmo_mf.embed.job import EmbedSettings
    from elmo_mf.embed.text import TextFile


def embed(
    text: Path = typer.Argument(metavar="INPUT", help="Tokenised text, one sentence a line."),
    output: Path = typer.Argument(help="HDF5 file to write."),
    all_layers: bool = typer.Option(False, "--all", help="Keep all layers (default)."),
    top: bool = typer.Option(False, "--top", help="Keep the top layer."),
    average: bool = typer.Option(False, "--average", help="Keep the layers' average."),
    options: Path | None = typer.Option(None, help="options.json of the ELMo; the small embedded one by default."),
    weights: Path | None = typer.Option(None, help="Its weights, HDF5."),
    rank: str | None = typer.Option(None, help="Compress first, as in compress: 32 or input=32,recurrent=16."),
    budget: str | None = typer.Option(None, help="Compress first, within a budget, as in compress."),
    method: str = typer.Option("svd", help="Factorization method."),
    targets: str = typer.Option("all", help="Matrices to factorize: input, recurrent, projection joined by +, or all."),
    highway_rank: str | None = typer.Option(
        None, help="Compress the character CNN's highway layers too, as in compress, or alone."
    ),
    state: str = typer.Option("zero", help="What each line starts from: zero, or primed by a fixed text."),
    precision: str = typer.Option("float32", help="Of the encoder's weights on a CPU: float32, bfloat16 or int8."),
    batch: int = typer.Option(32, min=1, help="Sentences a batch."),
    device: str = typer.Option("cpu", help="cpu, cuda or cuda:N."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads."),
) -> None:
    """Embed a text file, in the layout of the `allennlp elmo` command that AllenNLP removed.

    OUTPUT gets a dataset for each line, named by its number from 0 on: (layers, tokens, width) with --all, (tokens,
    width) with --top and --average. `sentence_to_index` maps sentences to numbers, as JSON. The vectors of a line
    depend on nothing but the line. Memory stays bounded; the same command resumes a run that was interrupted. INPUT may
    be a pipe, such as /dev/stdin; its text is then kept beside OUTPUT until the command ends.

    Examples:

    \b
      elmo-mf embed sentences.txt vectors.hdf5 --top
      elmo-mf embed proteins.txt vectors.hdf5 --average --options options.json --weights weights.hdf5 --rank 64
    """
    import torch

    from elmo_mf.bilm import Bilm
    from elmo_mf.embed.job import KEEP, EmbedSettings, check_new
    from elmo_mf.embed.text import TextFile
    from elmo_mf.provenance import file_hash

    keep = [name for name, wanted in zip(KEEP, (all_layers, top, average), strict=True) if wanted] or ["all"]
    if len(keep) > 1:
        raise InputError(f"found --{' and --'.join(keep)}, expected one of them")
    if state not in ("zero", "primed"):
        raise InputError(f"--state: found {state!r}, expected zero or primed")
    if threads:
        torch.set_num_threads(threads)
    files = elmo_files(options, weights)
    check_output("OUTPUT", output, inputs=[text, *files])
    check_new(output)
    compression = compression_options.compression(method, rank, budget, targets, highway_rank)
    on = device_named(device)
    with output_errors(output), staging(output.absolute().parent, output.name) as scratch:
        lines = TextFile.scan(text, scratch / "text")
        bilm = Bilm.from_files(*files, compression, cast("StatePolicy", state), 64, cast("Precision", precision))
        encoder_identity = {
            "options": file_hash(files[0]),
            "weights": file_hash(files[1]),
            "compression": None if compression is None else compression.to_dict(),
            "state": state,
            "precision": precision,
        }
        there = _run(bilm.to(on), encoder_identity, lines, output, EmbedSettings(keep[0], batch))
    echo(f"wrote {output}: {lines.lines} sentences" + (f", {there} of them by an earlier run" if there else ""))


def _run(bilm: Bilm, encoder_identity: dict[str, Any], text: TextFile, output: Path, settings: EmbedSettings) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from elmo_mf.embed.job import embed_file

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]} sentences/s"), TimeRemainingColumn())
    with progress_bar(*columns) as bar:
        task = bar.add_task("embed", total=text.lines, speed="-")

        def progress(done: int) -> None:
            elapsed = bar.tasks[0].elapsed or 0
            bar.update(task, completed=done, speed=f"{done / elapsed:,.0f}" if elapsed else "-")

        def resuming(folder: Path) -> None:
            bar.console.print(f"resuming with the parts in {folder}")

        return embed_file(bilm, encoder_identity, text, output, settings, progress, resuming)
