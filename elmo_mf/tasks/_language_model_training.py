"""A task's language model: trained once per seed, compressed, fine-tuned and scored."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elmo_mf.compression import SizeReport, lstm_size, method_of
from elmo_mf.compression.calibration import write_row_weights
from elmo_mf.errors import InputError, one_line
from elmo_mf.experiments import MAX_JSON_BYTES, Progress, Workspace
from elmo_mf.io import read_bytes, scratch
from elmo_mf.io.validation import validated_json
from elmo_mf.lm import compress_core
from elmo_mf.records import Compression
from elmo_mf.records.compression import FineTuning
from elmo_mf.records.identity import Split
from elmo_mf.records.run import Run
from elmo_mf.tasks._finetuning import finetune
from elmo_mf.tasks._language_model_gradients import row_weights
from elmo_mf.tasks._run_config import run_config
from elmo_mf.tasks._training import Epochs, train, training_device, training_loop
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import load_task

if TYPE_CHECKING:
    from elmo_mf.plugin.awd_lstm import AwdLstm

_STREAMS, _STEPS = 20, 70  # of the batches that calibration statistics are collected from
_BATCHES = 36  # about 50,000 words
_WINDOWS = 400  # for gradients


class LanguageModelTraining:
    """Model of a run, starting from the dense one, and its data.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
        data: Its data folder.
        trained: Whether to train the dense model, or take it from the cache. Defaults to True.
    """

    def __init__(self, spec: SweepSpec, run: Run, workspace: Workspace, data: Path, trained: bool = True) -> None:
        self.run, self.task, self.workspace, self.data = run, load_task(run.task), workspace, data
        self.config = run_config(spec, self.task, run.seed, str(data), ("", ""))
        self.device = training_device(self.config["trainer"].get("cuda_device"))
        self.epochs: Epochs | None = None
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
        self.epochs, model = self.workspace.cache.load("language-models", name, self._train, self._load)
        return model

    def _train(self, folder: Path) -> None:
        """Train the dense model and write it to a folder, with its vocabulary and training metrics."""
        with self._loop() as loop:
            with self.workspace.phase("training"):
                epochs = train(loop, self.task, self.workspace).epochs
            loop.model.vocab.save_to_files(str(folder / "vocabulary"))
            torch.save(loop.model.cpu().state_dict(), folder / "weights.th")
            (folder / "metrics.json").write_text(epochs.model_dump_json(), encoding="utf-8")

    def _load(self, folder: Path) -> tuple[Epochs, AwdLstm]:
        """Return the epochs and the model of a cached training."""
        path, content = folder / "metrics.json", "epochs of a training"
        raw = read_bytes(path, f"cached {content}", content, most=MAX_JSON_BYTES)
        epochs = validated_json(Epochs, raw, str(path), content)
        try:
            return epochs, self._model(folder)
        except (OSError, RuntimeError, ValueError, TypeError, LookupError, EOFError, UnpicklingError) as error:
            raise InputError(folder, f"found no language model ({one_line(error)}), expected a trained one") from None

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
        """Compress the core.

        Args:
            compression: What to do.
            inputs: Inputs of the core to calibrate on, tensors (steps, streams, d), each the continuation of the one
                before.

        Returns:
            The seconds that it took.
        """
        if method_of(compression).takes_gradients and compression.gradients is None:
            compression = compression.model_copy(update={"gradients": str(self.gradients())})
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

        file = str(self.data / self.task.run_files[split])
        loader = TextStreams(LanguageTextReader(), file, streams, steps, vary)
        loader.index_with(self.model.vocab)
        loader.set_target_device(self.device)
        return loader

    def gradients(self) -> Path:
        """Compute row weights from the first windows of the training text and return their file."""
        windows = list(itertools.islice(self._loader("train", 1, _STEPS), _WINDOWS))
        rows = row_weights(self.model, windows, lambda: self.workspace.step(Progress("encoder")))
        path = self.workspace.folder / "gradients.hdf5"
        write_row_weights(path, rows, {"task": self.run.task, "windows": len(windows)})
        return path

    def finetune(self, settings: FineTuning) -> None:
        """Fine-tune the current model on the task's text."""
        batches = self.config["data_loader"]
        loader = self._loader("train", batches["batch_size"], batches["steps"], batches["vary"])
        finetune(self.model, loader, self.config, settings, self.workspace)

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
