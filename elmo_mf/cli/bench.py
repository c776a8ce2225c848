"""`elmo-mf bench`: measure the speed of the encoder on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from elmo_mf.cli import _completion
from elmo_mf.cli._compression_options import check_no_gradients
from elmo_mf.cli._device_options import DeviceOptions
from elmo_mf.cli._elmo_files import files_of_command
from elmo_mf.cli._include_option import Include, include_all
from elmo_mf.cli._lists import choices, integers, texts
from elmo_mf.cli._option_names import COMPRESSION
from elmo_mf.cli._output_options import Force, PlotOptions, check_unused
from elmo_mf.errors import check_installed
from elmo_mf.io import check_output, write_json

if TYPE_CHECKING:
    from elmo_mf.bilm.checkpoint_files import CheckpointFiles
    from elmo_mf.records import Compression


@dataclass(frozen=True)
class EncoderOptions:
    """Options for the encoders that are timed."""

    size: Annotated[
        str,
        Option(
            autocompletion=_completion.complete_one(lambda: ("small", "medium", "original")),
            help="Size of random weights: small, medium or original.",
        ),
    ] = "original"
    options: Annotated[
        Path | None, Option(help="options.json of an ELMo, or a folder or zip with all its files, instead of --size.")
    ] = None
    weights: Annotated[Path | None, Option(help="Weights of the ELMo, HDF5.")] = None
    ranks: Annotated[str, Option(help="Comma-separated ranks.")] = "128,32"
    targets: Annotated[
        str,
        Option(
            autocompletion=_completion.complete_some(_completion.targets, ",+"),
            help="Comma-separated target sets, each joined by +.",
        ),
    ] = "all"
    method: Annotated[
        str,
        Option(
            autocompletion=_completion.complete_one(_completion.methods),
            help="Factorization method: svd, whitened_svd, semi_nmf, nmf, prune or random, or a method loaded with "
            "--include.",
        ),
    ] = "svd"
    highway_rank: Annotated[
        int | None, Option(min=1, help="Rank of the character CNN's highway layers, the same at every rank.")
    ] = None
    precisions: Annotated[
        str, Option(help="Comma-separated precisions of the weights; float32 is always included.")
    ] = "float32,bfloat16,int8"
    include: Include = field(default_factory=list)

    def given(self) -> CheckpointFiles | None:
        """Find the ELMo's files, if they are given."""
        if self.options is None and self.weights is None:
            return None
        return files_of_command(self.options, self.weights)

    def option_names(self) -> Mapping[str, str]:
        """Map keys of a compression to the options that set them."""
        return COMPRESSION | {"compression.rank": "--ranks", "size": "--size"}

    def compressions(self) -> list[Compression]:
        """Return the compressions to time against the dense encoder."""
        from elmo_mf.compression import read_compression

        include_all(self.include)
        check_no_gradients(self.method)
        keys = {"method": self.method, "allow_larger": True, "highway_rank": self.highway_rank}
        return [
            read_compression(keys | {"rank": rank, "targets": target})
            for target in texts("--targets", self.targets)
            for rank in integers("--ranks", self.ranks, least=1)
        ]


@dataclass(frozen=True)
class CaseOptions:
    """Options for the cases in which each encoder is timed."""

    parts: Annotated[
        str,
        Option(
            help="Comma-separated: characters (the character CNN alone), lstm (the biLSTM alone), encoder (all of it)."
        ),
    ] = "lstm,encoder"
    batches: Annotated[str, Option(help="Comma-separated batch sizes in sentences.")] = "1,8,32"
    lengths: Annotated[str, Option(help="Comma-separated sentence lengths in tokens.")] = "20,150,500"
    ragged: Annotated[
        bool, Option(help="Add the largest batch with lengths between half the shortest length and that length.")
    ] = True
    seconds: Annotated[float, Option(min=0, help="Seconds to spend on each case; at least three rounds are run.")] = 10

    def grid(self) -> dict[str, Any]:
        """Return the arguments of `benchmark` that choose the cases."""
        from elmo_mf.bench import PARTS

        return {
            "parts": choices("--parts", self.parts, PARTS),
            "batches": integers("--batches", self.batches, least=1),
            "lengths": integers("--lengths", self.lengths, least=1),
            "ragged": self.ragged,
            "seconds": self.seconds,
        }


def bench(
    encoders: EncoderOptions,
    cases: CaseOptions,
    where: DeviceOptions,
    figure: PlotOptions,
    json_file: Annotated[Path | None, Option("--json", help="File for the results.")] = None,
    force: Force = False,
) -> None:
    """Time AllenNLP's encoder, the dense encoder and compressed ones, alternating in one process.

    Prints for each case and encoder the median time and spread of a batch, the speed relative to AllenNLP, and the
    rates at which weights are read and products computed, with their shares of the machine's measured limits.

    Examples:

    \b
      elmo-mf bench
      elmo-mf bench --size small --ranks 16,32 --batches 1 --lengths 20 --json bench.json --plot bench.svg
      elmo-mf bench --options options.json --weights weights.hdf5 --device cuda
    """
    check_installed("allennlp")
    from elmo_mf.bench import published_options
    from elmo_mf.bilm.choices import PRECISIONS
    from elmo_mf.bilm.options import BilmOptions
    from elmo_mf.compression import check_against_options

    given, compressions = encoders.given(), encoders.compressions()
    options = published_options(encoders.size) if given is None else BilmOptions.from_file(given.options)
    for compression in compressions:
        check_against_options(options, compression)
    inputs = () if given is None else given.inputs
    precisions = choices("--precisions", encoders.precisions, PRECISIONS)
    if json_file is not None:
        check_output("--json", json_file, inputs)
    figure.check(inputs)
    check_unused([json_file, figure.plot], force)
    grid = cases.grid()
    from elmo_mf.bench import bench_table, benchmark, plot_bench
    from elmo_mf.cli._console import Console

    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console = Console(soft_wrap=True, width=120)
    result = benchmark(
        encoders.options, encoders.weights, size=encoders.size, compressions=compressions, precisions=precisions,
        device=where.use(), **grid,
        done=lambda case, timings, limits: console.print(bench_table(case, timings, limits), ""),
    )  # fmt: skip
    for line in result.notes():
        console.print(line)
    if json_file is not None:
        write_json(json_file, result.to_dict())
    if figure.plot is not None:
        plot_bench(result, figure.plot, figure.theme)
