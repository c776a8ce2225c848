"""`elmo-mf pretrain`: train an ELMo on plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Option

from elmo_mf.cli import _completion
from elmo_mf.cli._compression_options import budget, rank
from elmo_mf.cli._device_options import DeviceOptions
from elmo_mf.cli._option_names import COMPRESSION, options_named
from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._start_options import StartOptions, given_names
from elmo_mf.cli._terminal import echo
from elmo_mf.cli._tracker_option import TrackerName
from elmo_mf.errors import InputError
from elmo_mf.io import check_folder, check_space, exclusive
from elmo_mf.io.sentences import check_texts
from elmo_mf.pretrain import PretrainSettings
from elmo_mf.progress import stage

if TYPE_CHECKING:
    from elmo_mf.pretrain import StepMetrics, Trainer
    from elmo_mf.records.pretraining import PretrainRecord
    from elmo_mf.trackers import Tracker

_FILES = (
    "options.json",
    "weights.hdf5",
    "softmax.hdf5",
    "vocabulary.txt",
    "pretrain.json",
    "MODEL_CARD.md",
)
_CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class LowRankOptions:
    """Compression of the random weights that training starts from."""

    rank: Annotated[
        str | None,
        Option(help="Train low-rank factors of this rank, such as 32 or input=32,recurrent=16, as in compress."),
    ] = None
    targets: Annotated[
        str,
        Option(
            autocompletion=_completion.complete_some(_completion.targets, "+"),
            help="With --rank or --budget: the matrices to factorize.",
        ),
    ] = "all"
    budget: Annotated[str | None, Option(help="Train low-rank factors within a budget, as in compress.")] = None

    def option_names(self) -> Mapping[str, str]:
        """Map keys of a compression to the options that set them."""
        return COMPRESSION

    def keys(self, dtype: str) -> dict[str, Any] | None:
        """Return the keys of `Compression`, or None for dense weights.

        Args:
            dtype: Type of the exported weights, whose bytes a budget counts.

        Raises:
            InputError: A value is wrong.
        """
        from elmo_mf.compression import read_compression

        if not (self.rank or self.budget):
            return None
        size = {"rank": rank(self.rank), "budget": budget(self.budget, dtype)}
        keys = {"method": "svd", "targets": self.targets} | {k: v for k, v in size.items() if v is not None}
        if self.budget:  # the outputs of random weights carry no information
            keys["allocation"] = "matrices"
        read_compression(keys)
        return keys


def pretrain(
    context: Context,
    train: Annotated[list[Path], Argument(help="Tokenised text, one sentence per line; files are read in this order.")],
    valid: Annotated[
        list[Path], Option(metavar="PATH", help="Held-out text in the same form; can be given several times.")
    ],
    out: Annotated[
        Path,
        Option(
            "--out",
            "--output",
            help="Folder for checkpoints, weights and the record; an interrupted run in it is resumed.",
        ),
    ],
    settings: PretrainSettings,
    low_rank: LowRankOptions,
    continued: StartOptions,
    where: DeviceOptions,
    options: Annotated[
        Path | None, Option(help="options.json with the architecture, instead of --cell, --projection and --layers.")
    ] = None,
    vocabulary: Annotated[
        Path | None,
        Option(
            help="Words of the softmax, one per line, with or without bilm-tf's <S>, </S> and <UNK>; by default they "
            "are counted in the text."
        ),
    ] = None,
    licence: Annotated[str | None, Option(help="Licence of the weights, for the model card.")] = None,
    tracker: TrackerName = None,
    force: Force = False,
) -> None:
    """Pretrain an ELMo on plain text and export it in the official layout.

    Writes options.json, weights.hdf5, softmax.hdf5, vocabulary.txt, pretrain.json (settings, held-out perplexities,
    versions) and MODEL_CARD.md; with --tracker, also logs: tensorboard to OUT/tensorboard, mlflow to OUT/mlflow.db or
    to the server named by MLFLOW_TRACKING_URI. The same command, files and threads give the same weights, even when the
    command resumes an interrupted run from its last checkpoint. With --rank or --budget the random weights are
    factorized by svd and the factors are trained. With --from, the training of another ELMo continues on the given
    text, with its softmax and vocabulary if it has them; a learning rate below the default then preserves more of what
    it learned.

    Examples:

    \b
      elmo-mf pretrain books/train.txt --valid books/valid.txt --out my-elmo
      elmo-mf pretrain books.txt wiki.txt --valid valid.txt --out best --epochs 10 --patience 2 --tracker tensorboard
      elmo-mf pretrain books/train.txt --valid books/valid.txt --out low-rank --cell 1024 --projection 128 --rank 32
      elmo-mf pretrain big.txt --valid valid.txt --out gpu --options options.json --device cuda --mixed bfloat16
      elmo-mf pretrain own.txt --valid valid.txt --out tuned --from options.json weights.hdf5 --learning-rate 3e-4
    """
    check_texts([*train, *valid])
    from elmo_mf.bilm.options import BilmOptions

    given = given_names(context)
    start = continued.read(given)
    architecture = None if options is None else BilmOptions.from_file(options).to_dict()
    settings = PretrainSettings(
        **settings.model_dump(exclude={"compression", "architecture", "dtype"}),
        dtype=settings.dtype if start is None or "dtype" in given else start.dtype(),
        compression=low_rank.keys(settings.dtype),
        architecture=architecture,
    )
    if settings.compression is not None:
        from elmo_mf.compression import check_against_options, read_compression

        check_against_options(settings.options(), read_compression(settings.compression))
    inputs = [*train, *valid, options, vocabulary, *(start.files.values() if start else ())]
    check_folder("--out", out, (*_FILES, _CHECKPOINT), inputs)
    if not (out / _CHECKPOINT).exists():  # otherwise the run in the folder is resumed
        check_unused((out / name for name in _FILES), force)
    from elmo_mf.trackers import tracker_named

    with options_named({"tracker": "--tracker"}):
        log = None if tracker is None else tracker_named(tracker, out)
    from elmo_mf.compression import licence_on_card, write_pretrained_card
    from elmo_mf.pretrain import Trainer

    device = where.use()
    if settings.mixed == "float16" and device.type == "cpu":
        raise InputError("--mixed", "found float16 on a CPU, expected bfloat16, or float16 on a GPU")
    with exclusive(out, f"the run in {out}"):
        trainer = Trainer(train, valid, out, settings, vocabulary, device, start)
        check_space("--out", out, trainer.size())
        if trainer.step:
            echo(f"resuming the run in {out}: {trainer}")

        def card(folder: Path, record: PretrainRecord) -> None:
            inherited = licence_on_card(start.weight_file.parent) if start and licence is None else licence
            write_pretrained_card(folder, record, trainer.settings.options(), inherited)

        record = _run(trainer, log, card)
    if record.start is not None and record.start.held_out_perplexity is not None:
        echo(f"held-out perplexity before: {record.start.held_out_perplexity}")
    unigram = f"unigram {record.held_out_unigram_perplexity:.1f}"
    echo(f"held-out perplexity: {record.held_out_perplexity}, {unigram}; wrote {out}/weights.hdf5")


def _run(trainer: Trainer, tracker: Tracker | None, card: Callable[[Path, PretrainRecord], None]) -> PretrainRecord:
    smooth: dict[str, float] = {}
    with stage("pretraining", trainer.steps, "steps") as advance:
        advance(trainer.step)

        def report(step: StepMetrics) -> None:
            for name in ("words_per_second", "perplexity"):
                value = getattr(step, name)
                smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
            advance(1, f"{smooth['words_per_second']:,.0f} words/s, perplexity {smooth['perplexity']:,.1f}")

        return trainer.run(report, tracker=tracker, beside=card)
