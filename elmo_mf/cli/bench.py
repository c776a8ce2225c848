"""`elmo-mf bench`: how fast the encoder is here."""

from __future__ import annotations

from pathlib import Path

import typer

from elmo_mf.cli.devices import device_named
from elmo_mf.cli.lists import integers, texts
from elmo_mf.cli.outputs import check_picture
from elmo_mf.errors import InputError, any_of
from elmo_mf.io import check_output, write_json


def bench(
    size: str = typer.Option("original", help="Random weights of this size: small, medium or original."),
    options: Path | None = typer.Option(None, help="options.json of an ELMo, in place of --size."),
    weights: Path | None = typer.Option(None, help="Its weights, HDF5."),
    ranks: str = typer.Option("128,32", help="Comma-separated."),
    targets: str = typer.Option("all", help="Target sets, comma-separated, each joined by +."),
    method: str = typer.Option("svd", help="Factorization method."),
    highway_rank: int | None = typer.Option(None, min=1, help="Of the character CNN's highway layers, at every rank."),
    parts: str = typer.Option(
        "lstm,encoder", help="characters: the character CNN alone; lstm: the biLSTM alone; encoder: the whole."
    ),
    batches: str = typer.Option("1,8,32", help="Sentences a batch, comma-separated."),
    precisions: str = typer.Option("float32,bfloat16,int8", help="Of the weights; float32 is always among them."),
    lengths: str = typer.Option("20,150,500", help="Tokens a sentence, comma-separated."),
    ragged: bool = typer.Option(True, help="Also the largest batch with lengths from half the shortest to it."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads."),
    device: str = typer.Option("cpu", help="cpu, cuda or cuda:N."),
    seconds: float = typer.Option(10, min=0, help="To spend on each case, at least three rounds."),
    json_file: Path | None = typer.Option(None, "--json", help="Write the result to this file."),
    plot: Path | None = typer.Option(None, help="Write a plot to this file: .svg, .png or .pdf."),
    theme: str = typer.Option("light", help="Of the plot: light or dark."),
) -> None:
    """Time AllenNLP's encoder, ours dense and ours compressed, taking turns in one process.

    Prints for each case and encoder the median and spread of a batch, the ratio to AllenNLP, and how fast weights are
    read and products made, with the share of what a large sum and a large matrix product reach on this machine.

    Examples:

    \b
      elmo-mf bench
      elmo-mf bench --size small --ranks 16,32 --batches 1 --lengths 20 --json bench.json --plot bench.svg
      elmo-mf bench --options options.json --weights weights.hdf5 --device cuda
    """
    from contextlib import nullcontext

    import torch

    from elmo_mf.bench.benchmark import elmo_of_size, run_bench
    from elmo_mf.bench.cases import PARTS, cases
    from elmo_mf.bench.display import bench_table, plot_bench
    from elmo_mf.bilm.runtime.packed_linear import PRECISIONS
    from elmo_mf.cli.console import Console
    from elmo_mf.compression import read_compression
    from elmo_mf.provenance import gpu_name

    if threads:
        torch.set_num_threads(threads)
    if (options is None) != (weights is None):
        raise InputError("found only one of --options and --weights, expected both or neither")
    chosen = [part for part in PARTS if part in texts("--parts", parts)]
    for part in texts("--parts", parts):
        if part not in PARTS:
            raise InputError(f"--parts: found {part!r}, {any_of(part, PARTS)}")
    compressions = [
        read_compression(
            {"method": method, "rank": rank, "targets": target, "allow_larger": True, "highway_rank": highway_rank}
        )
        for target in texts("--targets", targets)
        for rank in integers("--ranks", ranks, least=1)
    ]
    found = texts("--precisions", precisions)
    for precision in found:
        if precision not in PRECISIONS:
            raise InputError(f"--precisions: found {precision!r}, {any_of(precision, PRECISIONS)}")
    if json_file is not None:
        check_output("--json", json_file, (options, weights))
    check_picture("--plot", plot, theme, (options, weights))
    wanted = cases(chosen, integers("--batches", batches, least=1), integers("--lengths", lengths, least=1), ragged)
    where = device_named(device)

    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console = Console(soft_wrap=True, width=120)
    given = nullcontext((options, weights)) if options and weights else elmo_of_size(size)
    name = str(weights) if weights else f"{size}, random weights"
    with given as files:
        result = run_bench(
            name, files, compressions, [p for p in PRECISIONS if p in found], wanted, where, seconds,
            lambda case, timings, limits: console.print(bench_table(case, timings, limits), ""),
        )  # fmt: skip
    limits = result.limits
    console.print(f"{name}; {gpu_name(where) or f'{torch.get_num_threads()} threads'}; {limits}")
    console.print("GFLOP/s: of all words and windows as AllenNLP computes them; more than 100% was left out")
    console.print("error: largest difference to AllenNLP's vectors, or to those of float32 weights")
    if json_file is not None:
        write_json(json_file, result.to_dict())
    if plot is not None:
        plot_bench(result, plot, theme)
