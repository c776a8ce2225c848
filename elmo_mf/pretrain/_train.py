"""The training loop: deterministic, resumable, exporting the official layout."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.initialization import random_weights
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.compression import compress_elmo, read_compression, with_history
from elmo_mf.determinism import deterministic
from elmo_mf.errors import InputError, check_finite
from elmo_mf.io import atomic_files, write_json
from elmo_mf.io.sentences import read_with_hash
from elmo_mf.lm import unigram_perplexity
from elmo_mf.pretrain._command import command_line
from elmo_mf.pretrain._corpus import Batch, Corpus
from elmo_mf.pretrain._evaluate import read_language_model
from elmo_mf.pretrain._model import LanguageModel, perplexities
from elmo_mf.pretrain._schedule import scheduler
from elmo_mf.pretrain._softmax_words import VOCABULARY_FILE
from elmo_mf.pretrain._state import NumpyState, SavedProgress, TrainerState, check_carried
from elmo_mf.pretrain._training_log import StepMetrics, TrainingLog
from elmo_mf.pretrain.settings import PretrainSettings
from elmo_mf.pretrain.start import Start
from elmo_mf.pretrain.word_softmax import SOFTMAX_FILE, word_softmax, write_softmax
from elmo_mf.progress import track
from elmo_mf.provenance import file_hash, provenance
from elmo_mf.records import digest
from elmo_mf.records.pretraining import Epoch, HeldOutPerplexity, PretrainRecord, StartRecord
from elmo_mf.storage.resumable import check_like, check_optimizer, checkpoint_errors, load_state, save_state
from elmo_mf.trackers import TrackedRun, Tracker, as_parameters

VERSION = 2
"""Version of pretraining; raise it when its result changes, see `tests/golden`."""

CHECKPOINT = "checkpoint.pt"
_MIXED = {"none": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Trainer:
    """A pretraining run in a folder; an interrupted run resumes from its last checkpoint.

    Args:
        train: Files of tokenised training text, one sentence per line.
        valid: Files of tokenised held-out text, one sentence per line.
        folder: Folder for the checkpoint and the result. It holds one run; a checkpoint of other settings or texts is
            an error.
        settings: Settings of the run.
        vocabulary: File of the softmax's words. By default, the words of the training text are counted.
        device: Device to run on. Defaults to the CPU.
        start: The ELMo to continue from, whose sizes take the place of those in `settings`; if it has a softmax, that
            and its vocabulary are continued too. Defaults to random weights.
    """

    def __init__(
        self,
        train: Sequence[Path],
        valid: Sequence[Path],
        folder: Path,
        settings: PretrainSettings,
        vocabulary: Path | None = None,
        device: torch.device | None = None,
        start: Start | None = None,
    ) -> None:
        settings = settings if start is None else start.adapt(settings)
        self.settings, self.folder, self.files, self.start = settings, folder, (tuple(train), tuple(valid)), start
        self.device = device or torch.device("cpu")
        torch.manual_seed(settings.seed)
        np.random.seed(settings.seed % 2**32)  # AllenNLP's sampled softmax uses it
        sentences, train_hashes = self._read(train)
        self.vocabulary = self._words(sentences, vocabulary)
        held_out, valid_hashes = self._read(valid)
        self.model = self._new_model().to(self.device)
        self.train_corpus, self.valid_corpus = self._corpus(sentences), self._corpus(held_out)
        epochs = track(range(settings.epochs), "counting batches", "epochs")
        self._ends = list(itertools.accumulate(map(self._n_steps, epochs)))
        self.steps = self._ends[-1]
        self.step, self.seconds = 0, 0.0
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.scheduler = scheduler(
            settings.schedule, self.optimizer, settings.learning_rate, self.steps, settings.warmup
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.mixed == "float16")
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] | None = None
        self.saved = 0
        self.identity: dict[str, Any] = {
            "version": VERSION,
            "settings": settings.to_dict(),
            "train text": train_hashes,
            "valid text": valid_hashes,
            "vocabulary": vocabulary and file_hash(vocabulary),
        }
        if start is not None:
            self.identity["start"] = start.hashes()
        stored = load_state(self.folder / CHECKPOINT, self.identity)
        if stored is not None:
            self.restore(stored)

    def __str__(self) -> str:
        epoch = min(len(self.history) + 1, self.settings.epochs)
        return f"epoch {epoch} of {self.settings.epochs}, {self.step} of {self.steps} steps done"

    def size(self) -> int:
        """Return a lower bound of the free space, in bytes, that the run needs.

        There are two checkpoints while one is replaced by the next; one may exist already.
        """
        # copies of the parameters: themselves, two moments of Adam and, with patience, those of the best epoch
        copies = 4 if self.settings.patience is not None else 3
        checkpoint = 4 * copies * sum(parameter.numel() for parameter in self.model.parameters())
        return checkpoint if self.saved else 2 * checkpoint

    def _read(self, files: Sequence[Path]) -> tuple[list[list[str]], list[str]]:
        """Read the sentences of all files, and compute the SHA-256 of each file."""
        texts = [
            read_with_hash(path, self.settings.max_tokens, self.settings.limit)
            for path in track(files, "reading", "texts")
        ]
        return [sentence for sentences, _ in texts for sentence in sentences], [sha256 for _, sha256 in texts]

    def _words(self, sentences: list[list[str]], file: Path | None) -> Vocabulary:
        """Return the words of the softmax: those of the start, if it has any, of a file, or of the training text."""
        started = None if self.start is None else self.start.vocabulary()
        if file is not None and started is not None:
            raise InputError("vocabulary", f"found {file}, expected that of the ELMo to continue from")
        if started is not None:
            return started
        if file is not None:
            return Vocabulary.from_file(file)
        return Vocabulary.count(sentences, self.settings.min_count, self.settings.max_words)

    def _corpus(self, sentences: list[list[str]]) -> Corpus:
        corpus = Corpus(sentences, self.vocabulary, self.model.bilm.token_layer.word_ids)
        corpus.characters = corpus.characters.to(self.device)
        return corpus

    def _new_model(self) -> LanguageModel:
        settings, options, start = self.settings, self.settings.options(), self.start
        weights = random_weights(options, settings.seed) if start is None else start.weights(options)
        if settings.compression is not None:
            compression = read_compression(settings.compression)
            compressed = compress_elmo(weights, options, compression)
            weights, options = compressed.weights, with_history(compressed.options, compressed.applied(compression))
        bilm = Bilm(options, weights, "carried" if settings.stateful else "zero")
        sizes = options.lstm.projection_dim, len(self.vocabulary)
        softmax = (start and start.read_softmax(*sizes)) or word_softmax(settings.softmax, *sizes)
        return LanguageModel(bilm, softmax, settings.dropout, _MIXED[settings.mixed])

    @deterministic()
    def run(
        self,
        report: Callable[[StepMetrics], None] = lambda _: None,
        checkpoint_seconds: float = 120,
        tracker: Tracker | None = None,
        beside: Callable[[Path, PretrainRecord], None] = lambda folder, record: None,
    ) -> PretrainRecord:
        """Train to the end and export the result.

        Args:
            report: Called after each step.
            checkpoint_seconds: Shortest time in seconds between two checkpoints within an epoch.
            tracker: Where to log the metrics of every tenth step and the held-out perplexities. Defaults to nowhere.
            beside: Called with a folder and the record, to write more files of the result; all files appear together.

        Returns:
            The record, which is also written to the folder of the weights as `pretrain.json`.

        Raises:
            InputError: The loss has become NaN or infinite; the last checkpoint is kept.
            OutputError: A file cannot be written.
        """
        log = TrainingLog(tracker, self._tracked_run(), self.step)
        first, saved_at = 0, time.monotonic()
        valid_batches = list(self.valid_corpus.batches(4 * self.settings.batch_tokens, None))
        self.model.train()
        for epoch in range(self.settings.epochs):
            if self._out_of_patience():
                break
            if self.step <= first:
                self.model.bilm.reset_state()
            for index, batches in enumerate(self._steps_of(epoch), start=first):
                if index < self.step:
                    continue
                progress = self._train_step(batches)
                log.step(progress, float(self.scheduler.get_last_lr()[0]))
                report(progress)
                if time.monotonic() - saved_at > checkpoint_seconds:
                    self.save_checkpoint()
                    saved_at = time.monotonic()
            first += self._n_steps(epoch)
            if len(self.history) <= epoch:
                self._validate(epoch, valid_batches)
                log.epoch(self.step, self.history[-1])
                self.save_checkpoint()
        log.finish()
        return self._export(valid_batches, beside)

    def _tracked_run(self) -> TrackedRun:
        return TrackedRun(self.folder.resolve().name, digest(self.identity), as_parameters(self.settings.to_dict()))

    def _train_step(self, batches: Sequence[Batch]) -> StepMetrics:
        """Run one step of the optimizer; the loss is the mean over all words that the batches predict."""
        started = time.perf_counter()
        predictions, total = sum(batch.predictions for batch in batches), 0.0
        self.optimizer.zero_grad()
        for batch in batches:
            losses = self.model(batch, self.train_corpus.characters)
            loss = (losses.forward + losses.backward) / (2 * predictions)
            self.scaler.scale(loss).backward()
            total += float(loss.detach())
        self._check_finite("loss", total)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_norm)
        if not self.scaler.is_enabled():  # the scaler skips steps with infinite gradients
            self._check_finite("norm of the gradients", float(norm))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        self.step += 1
        seconds = time.perf_counter() - started
        self.seconds += seconds
        return StepMetrics(self.step, self.steps, predictions / seconds, math.exp(min(total, 50)))

    def _steps_of(self, epoch: int) -> Iterator[tuple[Batch, ...]]:
        settings = self.settings
        if settings.stateful:
            batches = self.train_corpus.streams(settings.batch_tokens)
        else:
            batches = self.train_corpus.batches(settings.batch_tokens, self._order(epoch))
        while step := tuple(itertools.islice(batches, settings.accumulate)):
            yield step

    def _n_steps(self, epoch: int) -> int:
        settings = self.settings
        if settings.stateful:
            batches = self.train_corpus.n_streamed(settings.batch_tokens)
        else:
            batches = self.train_corpus.n_batches(settings.batch_tokens, self._order(epoch))
        return -(-batches // settings.accumulate)

    def _order(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, epoch])

    def _validate(self, epoch: int, batches: list[Batch]) -> None:
        forward, backward = perplexities(self.model, batches, self.valid_corpus.characters)
        self._check_finite("held-out perplexity", forward + backward)
        self.history.append(Epoch(epoch=epoch + 1, forward=forward, backward=backward))
        if self.settings.patience is not None and self._epochs_since_best() == 0:
            self.best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}

    def _epochs_since_best(self) -> int:
        means = [epoch.forward * epoch.backward for epoch in self.history]
        return len(means) - 1 - means.index(min(means)) if means else 0

    def _out_of_patience(self) -> bool:
        return self.settings.patience is not None and self._epochs_since_best() >= self.settings.patience

    def _check_finite(self, what: str, value: float) -> None:
        rate = f"try a learning rate below {self.settings.learning_rate:g} or a lower grad_norm in another folder"
        saved = f"{self.folder / CHECKPOINT} has step {self.saved}" if self.saved else "no step was saved"
        check_finite(f"step {self.step + 1} of {self.steps}: {what}", value, f"{rate}; {saved}")

    def save_checkpoint(self) -> None:
        """Write the state of the run to its folder, from which it can be resumed.

        Raises:
            InputError: A parameter is not finite, or the file cannot be written.
        """
        if not all(bool(parameter.isfinite().all()) for parameter in self.model.parameters()):
            self._check_finite("largest weight", math.inf)
        state = TrainerState(
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            scaler=self.scaler.state_dict(),
            carried=self.model.bilm.carried_state,
            best=self.best,
            rng=torch.get_rng_state(),
            cuda_rng=torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            numpy_rng=NumpyState.current(),
            progress=SavedProgress(step=self.step, seconds=self.seconds, history=self.history),
        )
        save_state(self.folder / CHECKPOINT, self.identity, state.to_dict())
        self.saved = self.step

    def restore(self, stored: dict[str, Any]) -> None:
        """Continue from the state in a checkpoint.

        Args:
            stored: What `load_state` returned.

        Raises:
            InputError: A part does not fit this run, which is then unchanged.
        """
        with checkpoint_errors(self.folder / CHECKPOINT):
            state = TrainerState.from_dict(stored)
            self._check(state)
            self._take(state)

    def _check(self, state: TrainerState) -> None:
        """Check that all parts of a state fit this run."""
        expected: dict[str, Any] = {
            "model": self.model.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
        }
        check_like({name: getattr(state, name) for name in expected}, expected, "state")
        check_optimizer(state.optimizer, self.optimizer)
        if state.best is not None:
            check_like(state.best, expected["model"], "best")
        lstm = self.model.bilm.options.lstm
        check_carried(state.carried, (lstm.projection_dim, lstm.dim), lstm.n_layers)
        state.progress.check(self._ends)
        if state.scheduler["last_epoch"] != state.progress.step:
            raise ValueError(f"scheduler: step {state.scheduler['last_epoch']}, not {state.progress.step}")

    def _take(self, state: TrainerState) -> None:
        torch.set_rng_state(state.rng)
        if state.cuda_rng is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state.cuda_rng, self.device)
        state.numpy_rng.restore()
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        self.scheduler.load_state_dict(state.scheduler)
        self.scaler.load_state_dict(state.scaler)
        if state.carried is not None:
            self.model.bilm.carried_state = [(h.to(self.device), c.to(self.device)) for h, c in state.carried]
        self.best = state.best
        self.step = self.saved = state.progress.step
        self.seconds, self.history = state.progress.seconds, list(state.progress.history)

    def _export(self, valid_batches: list[Batch], beside: Callable[[Path, PretrainRecord], None]) -> PretrainRecord:
        """Write weights, softmax, vocabulary and record; the perplexities are computed from the written files."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
        settings, model = self.settings, self.model.cpu()
        dim, n_words = model.bilm.options.lstm.projection_dim, len(self.vocabulary)
        self.valid_corpus.characters = self.valid_corpus.characters.cpu()
        with atomic_files(self.folder) as folder:
            model.bilm.save(folder, settings.dtype)
            write_softmax(folder / SOFTMAX_FILE, model.softmax, settings.softmax, dim, n_words, settings.dtype)
            self.vocabulary.save(folder / VOCABULARY_FILE)
            stored, _ = read_language_model(folder / "options.json", folder / "weights.hdf5", None, folder)
            record = self._record(folder, self._perplexities(stored, valid_batches), valid_batches)
            write_json(folder / "pretrain.json", record.to_dict())
            beside(folder, record)
        return record

    def _perplexities(self, model: LanguageModel, batches: list[Batch]) -> HeldOutPerplexity:
        forward, backward = perplexities(model, batches, self.valid_corpus.characters)
        return HeldOutPerplexity(forward, backward)

    def _start_record(self, start: Start, valid_batches: list[Batch]) -> StartRecord:
        hashes = self.identity["start"]
        if start.softmax is None:
            return StartRecord(hashes)
        model, _ = read_language_model(start.options_file, start.weight_file, None, start.softmax)
        return StartRecord(hashes, self._perplexities(model, valid_batches))

    def _record(self, folder: Path, held_out: HeldOutPerplexity, valid_batches: list[Batch]) -> PretrainRecord:
        train, valid = self.files
        n_words = len(self.vocabulary)
        unigram = unigram_perplexity(self.train_corpus.predictions(), self.valid_corpus.predictions(), n_words)
        where = provenance(self.device)
        return PretrainRecord(
            command=command_line(train, valid, self.folder, self.settings, self.start),
            settings=self.settings.to_dict(),
            training_version=VERSION,
            held_out_unigram_perplexity=unigram,
            perplexity_by_epoch=self.history,
            vocabulary_size=n_words,
            train_words=self.train_corpus.n_words,
            held_out_words=self.valid_corpus.n_words,
            training_seconds=round(self.seconds, 1),
            train_sha256=self.identity["train text"],
            valid_sha256=self.identity["valid text"],
            weights_sha256=file_hash(folder / "weights.hdf5"),
            softmax_sha256=file_hash(folder / SOFTMAX_FILE),
            device=str(self.device),
            versions=where.versions,
            machine=where.machine,
            held_out_perplexity=held_out,
            start=None if self.start is None else self._start_record(self.start, valid_batches),
        )
