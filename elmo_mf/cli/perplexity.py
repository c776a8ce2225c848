"""`elmo-mf perplexity`: an ELMo as the language model that it was."""

from __future__ import annotations

from pathlib import Path

import typer

from elmo_mf.cli import compression_options
from elmo_mf.cli.devices import device_named
from elmo_mf.cli.elmo_files import elmo_files
from elmo_mf.cli.terminal import echo
from elmo_mf.io import check_output, write_json


def perplexity(
    texts: list[Path] = typer.Argument(metavar="TEXT...", help="Held-out text, tokenised, one sentence a line."),
    options: Path | None = typer.Option(None, help="options.json of the ELMo; the larger embedded one by default."),
    weights: Path | None = typer.Option(None, help="Its weights, HDF5, dense or factored."),
    softmax: Path | None = typer.Option(None, help="Folder of softmax.hdf5 and vocabulary.txt; the weights' own."),
    rank: str | None = typer.Option(None, help="Compress too, as in compress: 32 or input=32,recurrent=16."),
    budget: str | None = typer.Option(None, help="Compress too, within a budget, as in compress."),
    allocation: str = typer.Option("outputs", help="Of a budget, as in compress: by outputs, or matrices."),
    method: str = typer.Option("svd", help="Factorization method."),
    targets: str = typer.Option("all", help="Matrices to factorize: input, recurrent, projection joined by +, or all."),
    highway_rank: str | None = typer.Option(
        None, help="Compress the character CNN's highway layers too, as in compress, or alone."
    ),
    max_tokens: int = typer.Option(80, min=1, help="Longer sentences are cut into pieces."),
    limit: int | None = typer.Option(None, min=1, help="Read only so many lines of each file."),
    json_file: Path | None = typer.Option(None, "--json", help="Write the numbers and what made them to this file."),
    device: str = typer.Option("cpu", help="cpu, cuda or cuda:N."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads."),
) -> None:
    """Perplexity of both directions on held-out text, dense and compressed; lower is better.

    The softmax is that of `elmo-mf pretrain`, softmax.hdf5 and vocabulary.txt, which lie beside its weights. Every
    sentence is read from its own beginning and end. Words that the vocabulary lacks count as <UNK>: perplexities are
    comparable between encoders of one vocabulary only.

    Examples:

    \b
      elmo-mf perplexity valid.txt --method whitened_svd --rank 32
      elmo-mf perplexity valid.txt --options my-elmo/options.json --weights my-elmo/weights.hdf5
      elmo-mf perplexity valid.txt --options my-elmo/options.json --weights my-elmo/weights.hdf5 --rank 16
      elmo-mf perplexity valid.txt --options small/options.json --weights small/weights.hdf5 --softmax my-elmo
    """
    import torch

    from elmo_mf.pretrain.evaluate import VOCABULARY_FILE, evaluate_each
    from elmo_mf.pretrain.word_softmax import SOFTMAX_FILE
    from elmo_mf.provenance import provenance
    from elmo_mf.resources import base_elmo

    files = elmo_files(options, weights, base_elmo())
    if json_file is not None:
        beside = softmax or files[1].parent
        check_output("--json", json_file, (*texts, *files, beside / SOFTMAX_FILE, beside / VOCABULARY_FILE))
    if threads:
        torch.set_num_threads(threads)
    on = device_named(device)
    compressed = compression_options.compression(method, rank, budget, targets, highway_rank, allocation=allocation)
    evaluations = []
    wanted = [None] if compressed is None else [None, compressed]
    for one in evaluate_each(*files, texts, wanted, softmax, on, max_tokens, limit):
        evaluations.append(one)
        echo(
            f"{one.encoder}: forward {one.forward:.2f}, backward {one.backward:.2f} on {one.words:,} words "
            f"({one.unknown:.1%} unknown), {one.parameters:,} biLSTM parameters"
        )
    if json_file is not None:
        write_json(json_file, {"perplexities": [one.to_dict() for one in evaluations], **provenance(on)})
