"""`elmo-mf pretrain`: train an ELMo on plain text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from elmo_mf.cli import compression_options
from elmo_mf.cli.devices import device_named
from elmo_mf.cli.progress_bar import progress_bar
from elmo_mf.cli.terminal import echo
from elmo_mf.errors import InputError
from elmo_mf.io import check_folder, check_space, exclusive

if TYPE_CHECKING:
    from elmo_mf.pretrain.progress import StepMetrics
    from elmo_mf.pretrain.train import Trainer

_FILES = (
    "options.json",
    "weights.hdf5",
    "softmax.hdf5",
    "vocabulary.txt",
    "pretrain.json",
    "MODEL_CARD.md",
    "checkpoint.pt",
)


def pretrain(
    train: list[Path] = typer.Argument(help="Tokenised text, one sentence a line; several files are read in turn."),
    valid: list[Path] = typer.Option(..., help="Held-out text in the same form; may be given several times."),
    out: Path = typer.Option(..., help="Folder for checkpoints, weights and record; a run that it holds is resumed."),
    options: Path | None = typer.Option(None, help="options.json of the sizes, in place of the next three."),
    cell: int = typer.Option(512, min=1, help="Memory cells a direction."),
    projection: int = typer.Option(64, min=1, help="Width of the projected state."),
    layers: int = typer.Option(2, min=1, help="LSTM layers."),
    rank: str | None = typer.Option(None, help="Low-rank from the start: as in compress, 32 or input=32,recurrent=16."),
    targets: str = typer.Option("all", help="With --rank or --budget: which matrices are low-rank."),
    budget: str | None = typer.Option(None, help="Low-rank from the start, ranks within a budget, as in compress."),
    epochs: int = typer.Option(5, min=1, help="Passes over the text."),
    batch_tokens: int = typer.Option(2048, min=16, help="Tokens a batch."),
    accumulate: int = typer.Option(1, min=1, help="Batches a step of the optimiser."),
    stateful: bool = typer.Option(False, "--stateful", help="In the text's order, each sentence after the one before."),
    learning_rate: float = typer.Option(3e-3, min=0, help="Peak of the schedule (Adam)."),
    schedule: str = typer.Option("one_cycle", help="one_cycle, constant, linear or cosine."),
    warmup: float = typer.Option(0.05, min=0, max=1, help="Share of the steps in which the learning rate rises."),
    grad_norm: float = typer.Option(1.0, min=0, help="Gradients are scaled down to this norm."),
    dropout: float = typer.Option(0.0, min=0, max=0.99, help="On the states before the softmax."),
    softmax: str = typer.Option("adaptive", help="adaptive, full or sampled."),
    vocabulary: Path | None = typer.Option(
        None, help="The softmax's words, one a line, with bilm-tf's <S>, </S>, <UNK> or without; else counted."
    ),
    min_count: int = typer.Option(3, min=1, help="Rarer words count as <UNK> in the output."),
    max_words: int | None = typer.Option(None, min=1, help="At most so many words are counted."),
    max_tokens: int = typer.Option(80, min=1, help="Longer sentences are cut into pieces."),
    patience: int | None = typer.Option(None, min=1, help="Stop after so many epochs without a better perplexity."),
    limit: int | None = typer.Option(None, min=1, help="Read only so many lines of each file."),
    seed: int = typer.Option(13, help="Seed of weights, dropout and batch order."),
    mixed: str = typer.Option("none", help="Mixed precision: none, bfloat16, or float16 on a GPU."),
    dtype: str = typer.Option("float16", help="Of the exported weights: float16 or float32."),
    device: str = typer.Option("cpu", help="cpu, cuda or cuda:N."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; the same number gives the same weights."),
    licence: str | None = typer.Option(None, help="Of the weights, for the model card."),
    tensorboard: bool = typer.Option(False, "--tensorboard", help="Write logs for TensorBoard below the folder."),
) -> None:
    """Pretrain an ELMo on plain text and export it in the official layout.

    Writes options.json, weights.hdf5, softmax.hdf5, vocabulary.txt, pretrain.json (settings, held-out perplexities,
    versions) and MODEL_CARD.md. The same command, files and threads give the same weights, even when the command
    resumes an interrupted run from its last checkpoint. With --rank or --budget the random weights are factorized by
    svd and the factors are trained.

    Examples:

    \b
      elmo-mf pretrain books/train.txt --valid books/valid.txt --out my-elmo
      elmo-mf pretrain books.txt wiki.txt --valid valid.txt --out best --epochs 10 --patience 2 --tensorboard
      elmo-mf pretrain books/train.txt --valid books/valid.txt --out low-rank --cell 1024 --projection 128 --rank 32
      elmo-mf pretrain big.txt --valid valid.txt --out gpu --options options.json --device cuda --mixed bfloat16
    """
    import torch

    from elmo_mf.bilm.checkpoint import DTYPES
    from elmo_mf.bilm.config import BilmOptions
    from elmo_mf.compression.model_card import write_pretrained_card
    from elmo_mf.pretrain.settings import PretrainSettings
    from elmo_mf.pretrain.train import Trainer

    if dtype not in DTYPES:
        raise InputError(f"--dtype: found {dtype}, expected {' or '.join(DTYPES)}")
    on = device_named(device)
    if mixed == "float16" and on.type == "cpu":
        raise InputError("--mixed: found float16 on a CPU, expected bfloat16, or float16 on a GPU")
    if threads:
        torch.set_num_threads(threads)
    compression: dict[str, Any] | None = None
    if rank or budget:
        size = {"rank": compression_options.rank(rank), "budget": compression_options.budget(budget)}
        compression = {"method": "svd", "targets": targets} | {k: v for k, v in size.items() if v is not None}
        if budget:  # the outputs of random weights carry no information
            compression["allocation"] = "matrices"
    settings = PretrainSettings(
        cell=cell, projection=projection, layers=layers, epochs=epochs, batch_tokens=batch_tokens,
        learning_rate=learning_rate, grad_norm=grad_norm, dropout=dropout, softmax=softmax,  # type: ignore[arg-type]
        min_count=min_count, max_tokens=max_tokens, limit=limit, seed=seed, dtype=dtype, max_words=max_words,
        schedule=schedule, warmup=warmup, accumulate=accumulate, stateful=stateful,  # type: ignore[arg-type]
        mixed=mixed, patience=patience, compression=compression,  # type: ignore[arg-type]
        architecture=None if options is None else BilmOptions.from_file(options).to_dict(),
    )  # fmt: skip
    check_folder("--out", out, _FILES, [*train, *valid, options, vocabulary])
    with exclusive(out, f"the run in {out}"):
        trainer = Trainer(train, valid, out, settings, vocabulary, on)
        check_space("--out", out, trainer.size())
        if trainer.step:
            echo(f"resuming the run in {out}: {trainer}")

        def card(folder: Path, record: dict[str, Any]) -> None:
            write_pretrained_card(folder, record, settings.options(), licence)

        record = _run(trainer, tensorboard, card)
    held_out = record["held_out_perplexity"]
    echo(
        f"held-out perplexity: forward {held_out['forward']:.1f}, backward {held_out['backward']:.1f}, "
        f"unigram {record['held_out_unigram_perplexity']:.1f}; wrote {out}/weights.hdf5"
    )


def _run(trainer: Trainer, tensorboard: bool, card: Callable[[Path, dict[str, Any]], None]) -> dict[str, Any]:
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    columns = [
        "{task.completed}/{task.total} steps",
        "{task.fields[speed]} words/s",
        "perplexity {task.fields[perplexity]}",
    ]
    every = max(1, trainer.steps // 20)  # steps between lines, which replace the bar where there is no terminal
    with progress_bar(BarColumn(), *map(TextColumn, columns), TimeRemainingColumn()) as bar:
        task = bar.add_task("pretrain", total=trainer.steps, speed="-", perplexity="-")
        smooth: dict[str, float] = {}

        def report(step: StepMetrics) -> None:
            for name in ("words_per_second", "perplexity"):
                value = getattr(step, name)
                smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
            speed, perplexity = f"{smooth['words_per_second']:,.0f}", f"{smooth['perplexity']:,.1f}"
            bar.update(task, completed=step.step, speed=speed, perplexity=perplexity)
            if not bar.console.is_terminal and step.step % every == 0:
                bar.console.print(f"{step.step}/{step.steps} steps, {speed} words/s, perplexity {perplexity}")

        return trainer.run(report, tensorboard=tensorboard, beside=card)
