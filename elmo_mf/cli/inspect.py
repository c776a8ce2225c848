"""`elmo-mf inspect`: spectra and norms of an ELMo's matrices."""

from __future__ import annotations

from pathlib import Path

import typer

from elmo_mf.cli.outputs import check_picture
from elmo_mf.io import check_output, write_json


def inspect(
    options: Path = typer.Argument(help="options.json of the ELMo."),
    weights: Path = typer.Argument(help="Its weights, HDF5; dense, factored or pruned."),
    gates: bool = typer.Option(True, help="Each gate's part of a matrix too."),
    json_file: Path | None = typer.Option(None, "--json", help="Write it all to this file, spectra included."),
    plot: Path | None = typer.Option(None, help="Picture of the spectra: .svg, .png or .pdf."),
    theme: str = typer.Option("light", help="Of the picture: light or dark."),
) -> None:
    """Shapes, effective ranks, and norms of every biLSTM matrix; of factored ones, of the product.

    Effective rank is the exponential of the entropy of the singular values (Roy and Vetterli 2007); 90 % and 99 % are
    the ranks that keep so much of the squared Frobenius norm.

    Examples:

    \b
      elmo-mf inspect options.json weights.hdf5
      elmo-mf inspect options.json weights.hdf5 --no-gates --plot spectra.svg --json spectra.json
    """
    from elmo_mf.bilm import BilmOptions, read_weights
    from elmo_mf.cli.console import Console
    from elmo_mf.compression.inspection import inspect as look
    from elmo_mf.compression.spectra import plot_spectra, spectra_table

    check_picture("--plot", plot, theme, (options, weights))
    if json_file is not None:
        check_output("--json", json_file, (options, weights))
    facts = look(read_weights(weights, BilmOptions.from_file(options)), gates)
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(spectra_table(facts))
    if json_file is not None:
        write_json(json_file, {"matrices": [one.to_dict() for one in facts]})
    if plot is not None:
        plot_spectra(facts, weights.name, plot, theme)
