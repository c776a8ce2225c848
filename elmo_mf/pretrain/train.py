"""The training loop: deterministic, resumable, exporting the official layout."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from elmo_mf.bilm.bilm import Bilm
from elmo_mf.bilm.checkpoint import atomic_path
from elmo_mf.bilm.initial import random_weights
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.pretrain.corpus import Corpus, Vocabulary, unigram_perplexity
from elmo_mf.pretrain.model import LanguageModel, SoftmaxKind, perplexities
from elmo_mf.provenance import file_hash, provenance
from elmo_mf.resumable import load_state, save_state
from elmo_mf.sentences import read_sentences

CHECKPOINT = "checkpoint.pt"
DEFAULT_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256))


@dataclass(frozen=True)
class Settings:
    """What a pretraining run depends on, besides its two text files."""

    cell: int = 512
    projection: int = 64
    layers: int = 2
    epochs: int = 5
    batch_tokens: int = 2048
    learning_rate: float = 3e-3
    grad_norm: float = 1.0
    dropout: float = 0.0
    softmax: SoftmaxKind = "adaptive"
    min_count: int = 3
    max_tokens: int = 80
    limit: int | None = None
    seed: int = 13
    dtype: str = "float16"

    def options(self) -> BilmOptions:
        """The options of the biLM that these settings train."""
        return BilmOptions.from_dict(
            {
                "lstm": {
                    "dim": self.cell,
                    "projection_dim": self.projection,
                    "n_layers": self.layers,
                    "cell_clip": 3,
                    "proj_clip": 3,
                    "use_skip_connections": True,
                },
                "char_cnn": {
                    "embedding": {"dim": 16},
                    "filters": [list(pair) for pair in DEFAULT_FILTERS],
                    "n_highway": 1,
                    "activation": "relu",
                    "n_characters": 262,
                    "max_characters_per_token": 50,
                },
            },
            "pretrain settings",
        )


@dataclass
class Progress:
    """What a progress bar shows after a step."""

    step: int
    steps: int
    words_per_second: float
    perplexity: float


class Trainer:
    """One pretraining run in a folder; a run that was cut continues from its last checkpoint.

    # Parameters
    train_file, valid_file: tokenised text, one sentence a line.
    folder: where checkpoints and the result go.
    settings: see `Settings`; a folder holds one run, so that other settings than the folder's are an error.
    """

    def __init__(self, train_file: Path, valid_file: Path, folder: Path, settings: Settings) -> None:
        self.settings, self.folder, self.files = settings, folder, (train_file, valid_file)
        torch.manual_seed(settings.seed)
        train = read_sentences(train_file, settings.max_tokens, settings.limit)
        self.vocabulary = Vocabulary.count(train, settings.min_count)
        options = settings.options()
        characters = options.char_cnn.max_characters_per_token
        self.train_corpus = Corpus(train, self.vocabulary, characters)
        self.valid_corpus = Corpus(
            read_sentences(valid_file, settings.max_tokens, settings.limit), self.vocabulary, characters
        )
        self.model = LanguageModel(
            Bilm(options, random_weights(options, settings.seed)),
            len(self.vocabulary),
            settings.softmax,
            settings.dropout,
        )
        per_epoch = [self._n_batches(epoch) for epoch in range(settings.epochs)]
        self.steps = sum(per_epoch)
        self.step, self.seconds = 0, 0.0
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings.learning_rate, total_steps=max(self.steps, 2), pct_start=0.05, cycle_momentum=False
        )
        self.history: list[dict[str, float]] = []
        hashes = {"train text": file_hash(train_file), "valid text": file_hash(valid_file)}
        self._identity = {"settings": asdict(settings), **hashes}
        self._resume()

    def run(
        self, report: Callable[[Progress], None] = lambda _: None, checkpoint_seconds: float = 120
    ) -> dict[str, Any]:
        """Train to the end, export, and return the record that lies beside the weights as `pretrain.json`."""
        first, saved_at = 0, time.monotonic()
        valid_batches = list(self.valid_corpus.batches(4 * self.settings.batch_tokens, None))
        self.model.train()
        for epoch in range(self.settings.epochs):
            batches = self.train_corpus.batches(self.settings.batch_tokens, self._order(epoch))
            in_epoch = self._n_batches(epoch)
            for index, batch in enumerate(batches, start=first):
                if index < self.step:
                    continue
                self._train_step(batch, report)
                if time.monotonic() - saved_at > checkpoint_seconds:
                    self._checkpoint()
                    saved_at = time.monotonic()
            first += in_epoch
            if len(self.history) <= epoch:
                forward, backward = perplexities(self.model, valid_batches, self.valid_corpus.characters)
                self.history.append({"epoch": epoch + 1, "forward": forward, "backward": backward})
                self._checkpoint()
        return self._export(valid_batches)

    def _train_step(self, batch: Any, report: Callable[[Progress], None]) -> None:
        started = time.perf_counter()
        losses = self.model(batch, self.train_corpus.characters)
        loss = (losses.forward + losses.backward) / (2 * losses.predictions)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_norm)
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        seconds = time.perf_counter() - started
        self.seconds += seconds
        report(Progress(self.step, self.steps, losses.predictions / seconds, float(loss.detach().exp())))

    def _order(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, epoch])

    def _n_batches(self, epoch: int) -> int:
        return self.train_corpus.n_batches(self.settings.batch_tokens, self._order(epoch))

    def _checkpoint(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "rng": torch.get_rng_state(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
        }
        save_state(self.folder / CHECKPOINT, self._identity, state)

    def _resume(self) -> None:
        state = load_state(self.folder / CHECKPOINT, self._identity)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["rng"])
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]

    def _export(self, valid_batches: list[Any]) -> dict[str, Any]:
        """Write weights, vocabulary and record; the perplexities are those of the weights as stored."""
        bilm, settings = self.model.bilm, self.settings
        bilm.save(self.folder, settings.dtype)
        self.model.bilm = Bilm.from_files(self.folder / "options.json", self.folder / "weights.hdf5")
        forward, backward = perplexities(self.model, valid_batches, self.valid_corpus.characters)
        train_file, valid_file = self.files
        record = {
            "command": command_line(train_file.name, valid_file.name, self.folder.name, settings),
            "settings": asdict(settings),
            "held_out_perplexity": {"forward": forward, "backward": backward},
            "held_out_unigram_perplexity": unigram_perplexity(
                self.train_corpus, self.valid_corpus, len(self.vocabulary)
            ),
            "perplexity_by_epoch": self.history,
            "vocabulary_size": len(self.vocabulary),
            "train_words": sum(len(words) - 2 for words in self.train_corpus._words),
            "held_out_words": sum(len(words) - 2 for words in self.valid_corpus._words),
            "training_seconds": round(self.seconds, 1),
            "train_sha256": self._identity["train text"],
            "valid_sha256": self._identity["valid text"],
            "weights_sha256": file_hash(self.folder / "weights.hdf5"),
            **provenance(),
        }
        with atomic_path(self.folder / "vocabulary.txt") as path:
            path.write_text("".join(f"{word}\n" for word in self.vocabulary.words), encoding="utf-8")
        with atomic_path(self.folder / "pretrain.json") as path:
            path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        return record


def command_line(train: str, valid: str, out: str, settings: Settings) -> str:
    """The command that repeats a run, with file names only."""
    flags = [f"--{name.replace('_', '-')} {value}" for name, value in asdict(settings).items() if value is not None]
    return " ".join(["elmo-mf pretrain", train, "--valid", valid, "--out", out, *flags])
