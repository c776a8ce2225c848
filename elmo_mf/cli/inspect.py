"""`elmo-mf inspect`: spectra and norms of an ELMo's matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from elmo_mf.cli._elmo_files import files_of_command
from elmo_mf.cli._output_options import Force, PlotOptions, check_unused
from elmo_mf.io import check_output, write_json

_WIDEST = 1000  # characters, beyond those of any terminal


def inspect(
    options: Annotated[
        Path, Argument(metavar="ELMO", help="options.json of the ELMo, or a folder or zip with all its files.")
    ],
    figure: PlotOptions,
    weights: Annotated[
        Path | None,
        Argument(help="Weights of the ELMo, HDF5, if ELMO is options.json; dense, factored or pruned."),
    ] = None,
    gates: Annotated[bool, Option(help="Also print each gate's part of each matrix.")] = True,
    json_file: Annotated[Path | None, Option("--json", help="File for all numbers, including the spectra.")] = None,
    force: Force = False,
) -> None:
    """Print the shape, effective rank and norms of every biLSTM matrix; for factored matrices, those of the product.

    The effective rank is the exponential of the entropy of the singular values (Roy and Vetterli 2007). The columns
    90 % and 99 % are the ranks that keep that share of the squared Frobenius norm.

    Examples:

    \b
      elmo-mf inspect options.json weights.hdf5
      elmo-mf inspect norwegian.zip
      elmo-mf inspect options.json weights.hdf5 --no-gates --plot spectra.svg --json spectra.json
    """
    from elmo_mf.bilm import BilmOptions, read_weights
    from elmo_mf.cli._console import Console
    from elmo_mf.compression import inspect as look
    from elmo_mf.compression import plot_spectra, spectra_table

    files = files_of_command(options, weights)
    figure.check(files.inputs)
    if json_file is not None:
        check_output("--json", json_file, files.inputs)
    check_unused([json_file, figure.plot], force)
    facts = look(read_weights(files.weights, BilmOptions.from_file(files.options), files.vocabulary), gates)
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    table = spectra_table(facts)
    if console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum <= console.width:
        console.print(table)
    else:
        console.print(spectra_table(facts, norms=False), "", spectra_table(facts, ranks=False), sep="\n")
    if json_file is not None:
        write_json(json_file, {"matrices": [one.to_dict() for one in facts]})
    if figure.plot is not None:
        plot_spectra(facts, files.weights.name, figure.plot, figure.theme)
