"""`elmo-mf shrink`: remove memory cells of an ELMo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from elmo_mf.cli._elmo_files import files_of_command
from elmo_mf.cli._option_names import options_named
from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._terminal import echo


def shrink(
    options: Annotated[
        Path, Argument(metavar="ELMO", help="options.json of the ELMo, or a folder or zip with all its files.")
    ],
    cells: Annotated[int, Option(min=1, help="Number of memory cells to keep in each direction of each layer.")],
    out: Annotated[Path, Option("--out", "--output", help="Folder for options.json, weights.hdf5 and MODEL_CARD.md.")],
    weights: Annotated[Path | None, Argument(help="Weights of the ELMo, HDF5, if ELMO is options.json.")] = None,
    calibration: Annotated[
        Path | None, Option(help="Tokenised text, one sentence per line; the text that comes with elmo-mf by default.")
    ] = None,
    gradients: Annotated[
        Path | None,
        Option(
            help="File written by elmo-mf gradients, used to choose the cells to remove: those that the loss needs "
            "least."
        ),
    ] = None,
    dtype: Annotated[str, Option(help="Type of the stored weights: float32 or float16.")] = "float32",
    licence: Annotated[
        str | None, Option(help="Licence for the model card; by default the one on the weights' own card.")
    ] = None,
    force: Force = False,
) -> None:
    """Remove memory cells of an ELMo, which makes it smaller and faster at every batch size.

    The result is a dense ELMo, in the layout that every program reads, with the softmax if there is one next to the
    weights. Compress it further for a small budget: fewer cells and low rank together lose less than low rank alone.

    Examples:

    \b
      elmo-mf shrink options.json weights.hdf5 --cells 128 --out smaller
      elmo-mf compress smaller/options.json smaller/weights.hdf5 --method whitened_svd --budget 25% --out small
    """
    from elmo_mf.compression import SMALLER_FILES, SOFTMAX_FILES, shrink_checkpoint

    with options_named({name: f"--{name}" for name in ("out", "dtype", "cells", "calibration", "gradients")}):
        files = files_of_command(options, weights)
        check_unused((out / name for name in (*SMALLER_FILES, *SOFTMAX_FILES)), force)
        result = shrink_checkpoint(
            files.options, files.weights, out=out, cells=cells, calibration=calibration, gradients=gradients,
            dtype=dtype, licence=licence,
        )  # fmt: skip
    (dense, kept), error = result.parameters, result.activation_error
    echo(f"biLSTM: {result.cells[1]:,} of {result.cells[0]:,} cells, {kept:,} of {dense:,} parameters")
    layers = ", ".join(f"layer {number} {one:.3f}" for number, one in enumerate(error.layers))
    echo(f"activation error {error.overall:.3f} ({layers}) on {error.sentences} sentences")
    echo(f"wrote {', '.join(f'{out}/{name}' if name == SMALLER_FILES[0] else name for name in SMALLER_FILES)}")
