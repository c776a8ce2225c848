"""`elmo-mf pretrain`: train a small biLM on plain text."""

from __future__ import annotations

from pathlib import Path

import typer

from elmo_mf.cli.progress import progress_bar
from elmo_mf.errors import InputError


def pretrain(
    train: Path = typer.Argument(help="Tokenised text, one sentence a line."),
    valid: Path = typer.Option(..., help="Held-out text in the same form."),
    out: Path = typer.Option(..., help="Folder for checkpoints, weights and record; continues a run that it holds."),
    cell: int = typer.Option(512, min=1, help="Memory cells a direction."),
    projection: int = typer.Option(64, min=1, help="Width of the projected state."),
    layers: int = typer.Option(2, min=1, help="LSTM layers."),
    epochs: int = typer.Option(5, min=1, help="Passes over the text."),
    batch_tokens: int = typer.Option(2048, min=16, help="Tokens a batch."),
    learning_rate: float = typer.Option(3e-3, min=0, help="Peak of the one-cycle schedule (Adam)."),
    grad_norm: float = typer.Option(1.0, min=0, help="Gradients are scaled down to this norm."),
    dropout: float = typer.Option(0.0, min=0, max=0.99, help="On the states before the softmax."),
    softmax: str = typer.Option("adaptive", help="adaptive, full or sampled."),
    min_count: int = typer.Option(3, min=1, help="Rarer words count as <UNK> in the output."),
    max_tokens: int = typer.Option(80, min=1, help="Longer sentences are cut into pieces."),
    limit: int | None = typer.Option(None, min=1, help="Read only so many lines of each file."),
    seed: int = typer.Option(13, help="Seed of weights, dropout and batch order."),
    dtype: str = typer.Option("float16", help="Of the exported weights: float16 or float32."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; the same number gives the same weights."),
) -> None:
    """Pretrain a small ELMo on plain text and export it in the official layout.

    Writes options.json, weights.hdf5, vocabulary.txt and pretrain.json (settings, held-out perplexities, versions).
    The same command, files and threads give the same weights. A run that was cut continues from its last checkpoint.

    Examples:

    \b
      elmo-mf pretrain books/train.txt --valid books/valid.txt --out my-elmo
      elmo-mf pretrain books/train.txt --valid books/valid.txt --out tiny --cell 128 --projection 32 --epochs 1
    """
    import torch
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    from elmo_mf.bilm.checkpoint import DTYPES
    from elmo_mf.pretrain.model import SOFTMAXES
    from elmo_mf.pretrain.train import Progress as Step
    from elmo_mf.pretrain.train import Settings, Trainer

    kinds = [kind for kind in SOFTMAXES if kind == softmax]
    if not kinds:
        raise InputError(f"--softmax: found {softmax}, expected one of {', '.join(SOFTMAXES)}")
    if dtype not in DTYPES:
        raise InputError(f"--dtype: found {dtype}, expected {' or '.join(DTYPES)}")
    if threads:
        torch.set_num_threads(threads)
    settings = Settings(
        cell, projection, layers, epochs, batch_tokens, learning_rate, grad_norm, dropout, kinds[0], min_count,
        max_tokens, limit, seed, dtype,
    )  # fmt: skip
    trainer = Trainer(train, valid, out, settings)
    columns = [
        "{task.completed}/{task.total} steps",
        "{task.fields[speed]} words/s",
        "perplexity {task.fields[perplexity]}",
    ]
    every = max(1, trainer.steps // 20)  # how often a line is printed where there is no terminal for a bar
    with progress_bar(BarColumn(), *map(TextColumn, columns), TimeRemainingColumn()) as bar:
        task = bar.add_task("pretrain", total=trainer.steps, speed="-", perplexity="-")
        smooth: dict[str, float] = {}

        def report(step: Step) -> None:
            for name in ("words_per_second", "perplexity"):
                value = getattr(step, name)
                smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
            speed, perplexity = f"{smooth['words_per_second']:,.0f}", f"{smooth['perplexity']:,.1f}"
            bar.update(task, completed=step.step, speed=speed, perplexity=perplexity)
            if not bar.console.is_terminal and step.step % every == 0:
                bar.console.print(f"{step.step}/{step.steps} steps, {speed} words/s, perplexity {perplexity}")

        record = trainer.run(report)
    held_out = record["held_out_perplexity"]
    typer.echo(
        f"held-out perplexity: forward {held_out['forward']:.1f}, backward {held_out['backward']:.1f}, "
        f"unigram {record['held_out_unigram_perplexity']:.1f}; wrote {out}/weights.hdf5"
    )
