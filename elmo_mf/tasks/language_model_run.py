"""Execution of a language model's run: its core is compressed after training, optionally fine-tuned, and evaluated.

The dense model is trained once per task and seed and cached; every compression starts from it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.packing import State
from elmo_mf.bilm.weights import TARGETS, Array
from elmo_mf.compression import Compression, method_of
from elmo_mf.compression.calibration.row_weights import RowWeights, write_row_weights
from elmo_mf.compression.report import matrix_reports
from elmo_mf.compression.size import SizeReport, lstm_size
from elmo_mf.determinism import deterministic
from elmo_mf.errors import InputError, check_finite, one_line
from elmo_mf.experiments.cache import MAX_JSON_BYTES
from elmo_mf.experiments.runs import Progress
from elmo_mf.experiments.workspace import Workspace
from elmo_mf.io import read_json, scratch
from elmo_mf.lm.calibration import core_activation_error, core_input_covariances
from elmo_mf.lm.compress import compress_core
from elmo_mf.lm.core import CoreLstm
from elmo_mf.records.identity import Split
from elmo_mf.records.run import Run
from elmo_mf.tasks.config import load_task
from elmo_mf.tasks.data import data_facts, limited_data
from elmo_mf.tasks.latency import times
from elmo_mf.tasks.run_config import run_config
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.training import train, training_device, training_loop

if TYPE_CHECKING:
    from elmo_mf.plugin.awd_lstm import AwdLstm

FINETUNING_VERSION = 1
"""Version of fine-tuning, part of a run's identity; raised when its result changes."""

_STREAMS, _STEPS = 20, 70  # of the batches that calibration statistics are collected from
_BATCHES = 36  # about 50,000 words
_WINDOWS = 400  # for gradients
_SCORED = 32  # streams of the large batch that is timed
_METRICS = "best_epoch", "epoch"  # metrics of the training that records contain
_ADVICE = "try a lower finetune.learning_rate"
_REPEATS = 20  # of a single step, which takes less than a millisecond

Core = Callable[[Tensor, list[State]], tuple[list[Tensor], list[State]]]


def measure_language_model(spec: SweepSpec, run: Run, workspace: Workspace) -> tuple[dict[str, Any], torch.device]:
    """Return the record fields of a language model, and its device."""
    with workspace.phase("data"):
        training = _Training(spec, run, workspace, limited_data(spec, run, workspace))
    scored_split = training.task.score.split
    compression, seen, scored = run.compression, list[Tensor](), list[Tensor]()
    seconds = error = None
    matrices: list[dict[str, Any]] = []
    if compression is not None:
        with workspace.phase("encoder"):
            seen, scored = (
                training.inputs("train"),
                training.inputs(scored_split),
            )  # before tuning changes the embeddings
            seconds = training.compress(compression, seen)
    if run.finetune is not None:
        with workspace.phase("training"):
            training.finetune(run.finetune.epochs, run.finetune.learning_rate)
    with workspace.phase("scoring"):
        scores, validation, size = training.scores(scored_split), training.scores("validation"), training.size()
        if compression is not None:
            before, after = training.dense.weights(), training.model.core.weights()
            reports = matrix_reports(before, after, size, core_input_covariances(training.dense, seen))
            matrices = [matrix.to_dict() for matrix in reports]
            error = core_activation_error(training.dense, training.model.core, scored).to_dict()
    record = {
        "scores": scores,
        "validation": validation,
        "best_epoch": training.trained["best_epoch"] + 1,
        "epochs": training.trained["epoch"] + 1,
        **data_facts(run, training.data, workspace),
        "size": size.to_dict(),
        "activation_error": error,
        "matrices": matrices,
        "factorization_seconds": seconds,
        "latency": _times(spec, training, workspace),
        "elmo": None,
    }
    return record, training.device


def time_language_model(spec: SweepSpec, run: Run, workspace: Workspace) -> tuple[dict[str, Any], torch.device]:
    """Return the times of a language model, and its device.

    The model is untrained, except with a budget, because its ranks depend on the weights.
    """
    trained = run.compression is not None and run.compression.budget is not None
    with workspace.phase("data"):
        training = _Training(spec, run, workspace, limited_data(spec, run, workspace), trained)
    if run.compression is not None:
        with workspace.phase("encoder"):
            training.compress(run.compression, training.inputs("train"))
    return _times(spec, training, workspace), training.device


def _times(spec: SweepSpec, training: _Training, workspace: Workspace) -> dict[str, Any]:
    """Run `_latency` while no other run of the sweep computes."""
    with workspace.phase("measuring"), workspace.machine.exclusive():
        return _latency(training.model, training.dense, training.device, spec.latency_sentences, spec.latency_rounds)


class _Training:
    """Model of a run, starting from the dense one, and its data."""

    def __init__(self, spec: SweepSpec, run: Run, workspace: Workspace, data: Path, trained: bool = True) -> None:
        self.run, self.task, self.workspace, self.data = run, load_task(run.task), workspace, data
        self.config = run_config(spec, self.task, run.seed, str(data), ("", ""))
        self.device = training_device(self.config["trainer"].get("cuda_device"))
        self.trained: dict[str, Any] = {}
        self.model = self._trained() if trained else self._untrained()
        self.dense = self.model.core

    def _untrained(self) -> AwdLstm:
        with self._loop() as loop:
            model: AwdLstm = loop.model.to(self.device).eval()
            return model

    @contextlib.contextmanager
    def _loop(self) -> Iterator[Any]:
        """Provide AllenNLP's training loop, whose files exist while the context lasts."""
        with scratch(self.workspace.folder, "training") as work:
            yield training_loop(self.config, str(work))

    def _trained(self) -> AwdLstm:
        name = self.run.dense().id[:32]
        self.trained, model = self.workspace.cache.load("language-models", name, self._train, self._load)
        return model

    def _train(self, folder: Path) -> None:
        """Train the dense model and write it to a folder, with its vocabulary and training metrics."""
        with self._loop() as loop:
            with self.workspace.phase("training"):
                metrics = train(loop, self.task, self.workspace)
            loop.model.vocab.save_to_files(str(folder / "vocabulary"))
            torch.save(loop.model.cpu().state_dict(), folder / "weights.th")
            kept = {key: metrics[key] for key in _METRICS}
            (folder / "metrics.json").write_text(json.dumps(kept), encoding="utf-8")

    def _load(self, folder: Path) -> tuple[dict[str, Any], AwdLstm]:
        """Return the metrics and the model of a cached training."""
        path = folder / "metrics.json"
        metrics = read_json(path, "cached metrics", "those of a training", most=MAX_JSON_BYTES)
        if not isinstance(metrics, dict) or metrics.keys() != set(_METRICS):
            raise InputError(f"{path}: found other metrics, expected {', '.join(_METRICS)}")
        try:
            return metrics, self._model(folder)
        except (OSError, RuntimeError, ValueError, TypeError, LookupError, EOFError, UnpicklingError) as error:
            raise InputError(f"{folder}: found no language model ({one_line(error)}), expected a trained one") from None

    def _model(self, folder: Path) -> AwdLstm:
        from allennlp.common import Params
        from allennlp.data import Vocabulary
        from allennlp.models import Model

        from elmo_mf.plugin import AwdLstm

        tokens = {key: self.config["vocabulary"][key] for key in ("oov_token", "padding_token")}
        vocabulary = Vocabulary.from_files(str(folder / "vocabulary"), **tokens)
        model = Model.from_params(Params(dict(self.config["model"])), vocab=vocabulary)
        assert isinstance(model, AwdLstm)
        model.load_state_dict(torch.load(folder / "weights.th", weights_only=True))
        model.to(self.device).eval()
        return model

    def compress(self, compression: Compression, inputs: list[Tensor]) -> float:
        """Compress the core, calibrating on the given inputs, and return the seconds that this took."""
        if method_of(compression).needs_gradients and compression.gradients is None:
            compression = compression.model_copy(update={"gradients": str(self._gradients())})
        started = time.perf_counter()
        self.model.core = compress_core(self.dense, compression, inputs).to(self.device)
        return round(time.perf_counter() - started, 2)

    def inputs(self, split: Split) -> list[Tensor]:
        """Return the core's inputs for the first words of a split, batch by batch."""
        with torch.no_grad():
            batches = itertools.islice(self._loader(split, _STREAMS, _STEPS), _BATCHES)
            return [self.model.embed(batch["tokens"]).transpose(0, 1) for batch in batches]

    def _loader(self, split: Split, streams: int, steps: int, vary: bool = False) -> Any:
        from elmo_mf.plugin import LanguageTextReader, TextStreams

        file = str(self.data / self.task.files[split])
        loader = TextStreams(LanguageTextReader(), file, streams, steps, vary)
        loader.index_with(self.model.vocab)
        loader.set_target_device(self.device)
        return loader

    def _gradients(self) -> Path:
        """Compute row weights from the first windows of the training text and return their file."""
        sums: dict[tuple[int, int, str], Array] = {}
        windows = list(itertools.islice(self._loader("train", 1, _STEPS), _WINDOWS))
        for batch in windows:
            self.workspace.step(Progress("encoder"))
            self.model.zero_grad()
            loss = self.model(**batch)["loss"]
            check_finite("gradients: loss", float(loss.detach()), "the language model did not learn; try another seed")
            loss.backward()
            for key, squares in _squared_gradients(self.dense):
                sums[key] = sums.get(key, 0) + squares / len(windows)
        self.model.zero_grad()
        self.model.get_metrics(reset=True)
        path = self.workspace.folder / "gradients.hdf5"
        write_row_weights(path, RowWeights(sums), {"task": self.run.task, "windows": len(windows)})
        return path

    @deterministic()
    def finetune(self, epochs: int, learning_rate: float) -> None:
        """Fine-tune the current model on the task's text by Adam, with a learning rate that falls linearly to zero."""
        from allennlp.common import Params
        from allennlp.common.util import prepare_environment
        from torch.nn.utils import clip_grad_norm_

        prepare_environment(Params({key: self.config[key] for key in ("random_seed", "numpy_seed", "pytorch_seed")}))
        settings, model = self.config["data_loader"], self.model.train()
        loader = self._loader("train", settings["batch_size"], settings["steps"], settings["vary"])
        steps = epochs * len(loader)
        optimizer = torch.optim.Adam(model.parameters(), learning_rate, fused=True)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
        for step, batch in enumerate(itertools.chain.from_iterable(loader for _ in range(epochs))):
            loss = model(**batch)["loss"]
            optimizer.zero_grad()
            check_finite(f"fine-tuning: step {step + 1}: loss", float(loss.detach()), _ADVICE)
            loss.backward()
            clip_grad_norm_(model.parameters(), self.config["trainer"]["grad_norm"])
            optimizer.step()
            scheduler.step()
            self.workspace.step(Progress("training", min(1.0, step / steps), float(loss.detach())))
        model.eval().get_metrics(reset=True)

    @torch.no_grad()
    def scores(self, split: Split) -> dict[str, float]:
        """Return the metrics on a whole split."""
        settings = self.config["validation_data_loader"]
        for batch in self._loader(split, settings["batch_size"], settings["steps"]):
            self.workspace.machine.yield_to_measurement()
            self.model(**batch)
        return self.model.get_metrics(reset=True)

    def size(self) -> SizeReport:
        """Return the size of the core, with the embedding and the softmax around it."""
        embedding: nn.Embedding = self.model.embedding
        around = embedding.weight.numel() + embedding.num_embeddings
        return lstm_size(self.model.core.weights(), around, embedding.weight.numel())


def _squared_gradients(core: CoreLstm) -> Iterator[tuple[tuple[int, int, str], Array]]:
    """Yield each matrix's squared gradients summed over rows, with gates in the order of `CoreLstm.weights`."""
    gradients = CoreLstm(list(core.weights().lstms.values()))
    with torch.no_grad():
        for gradient, parameter in zip(gradients.parameters(), core.parameters(), strict=True):
            gradient.copy_(torch.zeros_like(gradient) if parameter.grad is None else parameter.grad)
    for (direction, layer), lstm in gradients.weights().lstms.items():
        for target in TARGETS:
            if target in lstm.matrices:
                squares = np.square(np.asarray(lstm.matrices[target], dtype=np.float64))
                yield (direction, layer, target), squares.sum(axis=1)


def _latency(model: AwdLstm, dense: CoreLstm, device: torch.device, samples: int, rounds: int) -> dict[str, Any]:
    """Return times in milliseconds in the form of `latency.measure`, where the encoder is the core.

    The dense encoder is always `torch.nn.LSTM`, even for a dense core. Batch size 1 is a generation step of one word;
    batch size 32 is the scoring of 32 streams of 70 words.
    """
    model.requires_grad_(False)
    core = model.core.inference() if device.type == "cpu" else model.core
    lstms = [lstm.to(device) for lstm in dense.to_torch()]
    result: dict[str, Any] = {"encoder": {}, "model": {}}
    for streams, steps, repeats in ((1, 1, _REPEATS), (_SCORED, _STEPS, 1)):
        count = samples if streams == 1 else max(1, samples // 8)
        generator = torch.Generator().manual_seed(0)
        shape = streams, steps + 1
        words = model.embedding.num_embeddings
        batches = [torch.randint(words, shape, generator=generator).to(device) for _ in range(count)]
        state = [(torch.zeros(1, streams, lstm.hidden_size, device=device),) * 2 for lstm in lstms]
        runs = [partial(_core_only, model.embed(tokens[:, :-1]).transpose(0, 1), state) for tokens in batches]
        whole = [partial(_whole, model, tokens, state) for tokens in batches]
        for part, kind in (("encoder", runs), ("model", whole)):
            result[part][str(streams)] = times(kind, core, partial(_torch_core, lstms), rounds, repeats)
    return result


def _core_only(inputs: Tensor, state: list[State], core: Core) -> None:
    core(inputs, state)


def _whole(model: AwdLstm, tokens: Tensor, state: list[State], core: Core) -> None:
    """Compute the next word's probabilities from one word, or the losses of longer streams."""
    outputs, _ = core(model.embed(tokens[:, :-1]).transpose(0, 1), state)
    if tokens.shape[1] == 2:
        model.logits(outputs[-1]).softmax(dim=-1)
    else:
        model.losses(outputs[-1].flatten(0, 1), tokens[:, 1:].T.flatten())


def _torch_core(lstms: list[nn.LSTM], inputs: Tensor, state: list[State]) -> tuple[list[Tensor], list[State]]:
    outputs, after = [], []
    for lstm, before in zip(lstms, state, strict=True):
        inputs, last = lstm(inputs, before)
        outputs.append(inputs)
        after.append(last)
    return outputs, after
