"""Execution of a run that scores an ELMo as the language model that it was pretrained as, with its softmax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.errors import missing
from elmo_mf.experiments import Progress, Workspace
from elmo_mf.io import is_regular
from elmo_mf.io.sentences import chunks
from elmo_mf.pretrain import SOFTMAX_FILE, VOCABULARY_FILE, Corpus, LanguageModel, read_softmax
from elmo_mf.provenance import file_hash
from elmo_mf.records.identity import BILM, Baseline, EncoderIdentity, Split, View
from elmo_mf.records.outputs import Outputs, SplitOutputs
from elmo_mf.records.record import Examples
from elmo_mf.records.run import Run
from elmo_mf.tasks import _bilm_gradients
from elmo_mf.tasks._bilm_gradients import loss_gradients
from elmo_mf.tasks._encoders import Encoder, encoder_of, encoder_versions
from elmo_mf.tasks._frozen_encoder import measure_frozen_encoder, time_frozen_encoder
from elmo_mf.tasks._producer import Measured, Producer
from elmo_mf.tasks._run_config import MOST_TOKENS
from elmo_mf.tasks._run_data import data_facts, limited_data
from elmo_mf.tasks._token_gradients import TokenMoments, cached_gradients
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import TaskConfig, load_task

VERSION = 1
"""Version of the scoring, part of a run's identity; raise it when scores change."""

_BATCH_TOKENS = 4096
_GRADIENT_WORDS = 50_000
_GRADIENT_BATCH_TOKENS = 1000

Lines = list[list[list[str]]]
"""The lines of a text that have words, each as chunks of words."""


@dataclass(frozen=True)
class SoftmaxFiles:
    """The softmax of an ELMo, and the words that it predicts."""

    softmax: Path
    vocabulary: Path

    @classmethod
    def beside(cls, weights: str) -> SoftmaxFiles:
        """Return the files in the folder of the weights, where `elmo-mf pretrain` and `convert` write them.

        Raises:
            InputError: A file is missing.
        """
        folder = Path(weights).parent
        files = cls(folder / SOFTMAX_FILE, folder / VOCABULARY_FILE)
        for path in files.paths:
            if not is_regular(path):
                raise missing(path, "file", "the softmax of the ELMo, and its words, next to the weights")
        return files

    @property
    def paths(self) -> tuple[Path, Path]:
        """Both files."""
        return self.softmax, self.vocabulary

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each file."""
        return {name: file_hash(getattr(self, name)) for name in ("softmax", "vocabulary")}

    def read(self, width: int) -> tuple[nn.Module, Vocabulary]:
        """Read the files for an encoder with states of `width` numbers.

        Raises:
            InputError: A file is damaged, or does not match the other or the encoder.
        """
        vocabulary = Vocabulary.from_file(self.vocabulary)
        return read_softmax(self.softmax, width, len(vocabulary)), vocabulary


def measure_bilm(spec: SweepSpec, run: Run, workspace: Workspace) -> Measured:
    """Score an ELMo as a language model, and measure it.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    task = load_task(run.task)
    with workspace.phase("data"):
        folder = limited_data(spec, run, workspace)
        texts = {split: _lines(task, folder / name) for split, name in task.run_files.items()}
    with workspace.phase("encoder"):
        encoder = encoder_of(spec, run, workspace, bilm_gradients_of)
    with workspace.phase("scoring"):
        model, vocabulary = _language_model(encoder, softmax_files(spec, run.identity.baseline))
        perplexity: dict[Split, float] = {}
        outputs: dict[Split, SplitOutputs] = {}
        for split in dict.fromkeys((task.score.split, "validation")):
            perplexity[split], outputs[split] = line_perplexities(
                model, vocabulary, texts[split], lambda: workspace.step(Progress("scoring"))
            )
    primary = task.score.primary
    return Measured(
        scores={primary: perplexity[task.score.split]},
        validation={primary: perplexity["validation"]},
        examples=Examples(**{split: len(lines) for split, lines in texts.items()}),
        chance=data_facts(run, folder, workspace).chance,
        encoder=measure_frozen_encoder(spec, run, encoder, _chunks(texts[task.score.split]), workspace),
        outputs=Outputs(outputs),
    )


def _lines(task: TaskConfig, path: Path) -> Lines:
    lines = (list(chunks(example.raw, MOST_TOKENS)) for example in task.format.read(path))
    return [line for line in lines if line]


def _scored(task: TaskConfig, folder: Path) -> list[list[str]]:
    return _chunks(_lines(task, folder / task.run_files[task.score.split]))


def _chunks(lines: Lines) -> list[list[str]]:
    return [chunk for line in lines for chunk in line]


def softmax_files(spec: SweepSpec, baseline: Baseline | None = None) -> SoftmaxFiles:
    """Return the softmax of a sweep's ELMo, or of the smaller one of that baseline.

    Raises:
        InputError: A file is missing.
    """
    return SoftmaxFiles.beside(str(spec.smaller_files().weights) if baseline == "smaller" else spec.weights)


def _language_model(encoder: Encoder, files: SoftmaxFiles) -> tuple[LanguageModel, Vocabulary]:
    bilm = encoder.load(word_cache_mb=100)
    softmax, vocabulary = files.read(bilm.options.lstm.projection_dim)
    return LanguageModel(bilm, softmax).eval(), vocabulary


def bilm_gradients_of(spec: SweepSpec, run: Run, workspace: Workspace, with_covariances: bool = True) -> Path:
    """Return the gradient file of an ELMo's own loss on its training text, computing it if it is not cached.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
        with_covariances: Whether the file is to have output covariances beside row weights; a compression that needs
            none gets none. Defaults to True.
    """

    def compute(dense: Run, with_covariances: bool) -> tuple[TokenMoments, dict[str, Any]]:
        task = load_task(dense.task)
        lines = _lines(task, limited_data(spec, dense, workspace) / task.run_files["train"])
        model, vocabulary = _language_model(Encoder(spec.options, spec.weights), softmax_files(spec))
        corpus = Corpus(_first(_chunks(lines)), vocabulary, model.bilm.token_layer.word_ids)
        batches = workspace.steps("gradients", list(corpus.batches(_GRADIENT_BATCH_TOKENS, None)))
        moments = loss_gradients(model, batches, corpus.characters, with_covariances)
        return moments, {"task": dense.task, "words": corpus.n_words}

    return cached_gradients(run, _bilm_gradients.VERSION, workspace, with_covariances, compute)


def _first(sentences: list[list[str]]) -> list[list[str]]:
    """Return the first sentences, with `_GRADIENT_WORDS` words at most."""
    ends = np.cumsum([len(sentence) for sentence in sentences])
    return sentences[: max(1, int(np.searchsorted(ends, _GRADIENT_WORDS, side="right")))]


@torch.no_grad()
def line_perplexities(
    model: LanguageModel, vocabulary: Vocabulary, lines: Lines, pause: Callable[[], None]
) -> tuple[float, SplitOutputs]:
    """Compute the perplexity of a text, both directions together, and what each of its lines contributes.

    The cross-entropy is a ratio: the sum over lines, by the number of words, which differs between lines. The
    contributions are those of its linearisation around the whole text's value, whose mean is that value (Cochran 1977,
    Sampling Techniques, section 6); those to perplexity are its first-order expansion around the same point.

    Args:
        model: The language model.
        vocabulary: Words of its softmax.
        lines: The text.
        pause: Called before each batch.
    """
    places = [number for number, line in enumerate(lines) for _ in line]
    corpus = Corpus(_chunks(lines), vocabulary, model.bilm.token_layer.word_ids)
    nats, words = np.zeros((2, len(lines)))
    for batch in corpus.batches(_BATCH_TOKENS, None):
        pause()
        of_chunks = model.nats(batch, corpus.characters).numpy()
        rows = [places[row] for row in batch.rows]
        np.add.at(nats, rows, of_chunks)
        np.add.at(words, rows, batch.lengths.numpy() - 1)  # each direction predicts all but its first token
    mean = nats.sum() / words.sum()
    deviations = (nats - mean * words) / words.mean()
    perplexity = float(np.exp(mean))
    scores = perplexity * (1 + deviations)
    return perplexity, SplitOutputs(scores.astype(np.float32), -(mean + deviations).astype(np.float32))


def _versions(task: TaskConfig, encoder: EncoderIdentity, view: View) -> dict[str, int]:
    gradients = {"gradients": _bilm_gradients.VERSION} if encoder.task_gradients else {}
    return {BILM: VERSION} | encoder_versions(encoder) | gradients


PRODUCER = Producer(measure_bilm, _versions, partial(time_frozen_encoder, _scored, bilm_gradients_of))
