"""The runs that a sweep expands to, and what makes each the run it is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression import Compression, FineTuning, check_compression, method_of, with_file_hashes
from elmo_mf.errors import InputError, missing
from elmo_mf.io import is_regular
from elmo_mf.io.validation import validated
from elmo_mf.provenance import file_hash
from elmo_mf.records.compression import parse_compression
from elmo_mf.records.labels import compression_label, fine_tuning_label
from elmo_mf.tasks.config import Split, Task, load_task
from elmo_mf.tasks.jsonnet import override, task_config
from elmo_mf.tasks.spec import SweepSpec

CODE = {"encoder": 1, "factorization": 1, "training": 1}
"""Versions of the parts of this project that a score depends on, `bilm`, `factorize` and the rest. Who changes what one
of them computes raises its number: runs recorded before are then other runs. `tests/golden` notices."""


def digest(identity: dict[str, Any]) -> str:
    """SHA-256 of a JSON object, in hex; the order of its keys does not matter."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Run:
    """One run of a sweep: a task with one encoder and one seed.

    `identity` holds everything that its score depends on and no path or time; `id` is its hash.
    """

    task: Task
    compression: Compression | None
    seed: int
    identity: dict[str, Any]

    @cached_property
    def id(self) -> str:
        return digest(self.identity)

    @cached_property
    def encoder_id(self) -> str:
        """Hash of what the encoder depends on; seeds share it unless the method looks at the task's gradients."""
        return digest(self._part("elmo", "compression", *self._gradients_of()))

    @cached_property
    def activations_id(self) -> str:
        """Hash of what the encoder's activations on the task's data depend on."""
        config = self.identity["config"]
        readers = {key: value for key, value in config.items() if key.endswith("dataset_reader")}
        about = {"encoder": self.encoder_id, "readers": readers, "embedders": list(_embedders(config))}
        return digest(self._part("task", "data") | about)

    @property
    def shared_work(self) -> str:
        """See `elmo_mf.experiments.Run`: a run waits while another computes the same activations."""
        return self.activations_id

    def _gradients_of(self) -> tuple[str, ...]:
        needed = self.compression is not None and method_of(self.compression).needs_gradients
        return ("task", "data", "config", "words") if needed else ()

    def _part(self, *keys: str) -> dict[str, Any]:
        return {key: self.identity[key] for key in (*keys, "code")}

    @property
    def finetune(self) -> FineTuning | None:
        """How a language model is trained again: a compressed one, or the dense one that those are compared with."""
        return self.compression.finetune if self.compression is not None else dense_finetune(self.identity)

    @property
    def encoder(self) -> str:
        return encoder_name(self.compression, dense_finetune(self.identity))

    @property
    def name(self) -> str:
        """For files: readable and unique."""
        return _file_name(self.task.name, self.encoder, self.seed, self.id)

    def __str__(self) -> str:
        return f"{self.task.name} {self.encoder} seed {self.seed}"


def _embedders(config: Any) -> Iterator[dict[str, Any]]:
    """What the config tells our token embedder, `state` and `precision` say, which `overrides` may have changed."""
    if isinstance(config, dict) and config.get("type") == "elmo_mf":
        yield config
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from _embedders(value)


def dense_finetune(identity: dict[str, Any]) -> FineTuning | None:
    """How a dense run's model is trained again, by its identity."""
    about = identity.get("finetune")
    return None if about is None else validated(FineTuning, about, "finetune")


def run_name(identity: dict[str, Any]) -> str:
    """The `name` of the run that has this identity."""
    compression = identity["compression"] and parse_compression(identity["compression"])
    encoder = encoder_name(compression, dense_finetune(identity))
    return _file_name(identity["task"], encoder, identity["seed"], digest(identity))


def _file_name(task: str, encoder: str, seed: int, run_id: str) -> str:
    encoder = re.sub(r"[^A-Za-z0-9_.,()=%+-]", "-", encoder)[:120]
    return f"{task}-{encoder}-seed-{seed}-{run_id[:10]}"


def encoder_name(compression: Compression | None, finetune: FineTuning | None = None) -> str:
    """Of a compression, or of the dense encoder, which may be tuned."""
    if compression is not None:
        return compression_label(compression)
    return "dense" if finetune is None else f"dense {fine_tuning_label(finetune)}"


def expand(spec: SweepSpec) -> list[Run]:
    """All runs of a sweep: task by task, the dense encoder first, of a language model as it is and tuned likewise.

    Raises:
        InputError: anything that would make a run fail and can be known before it runs.
    """
    from elmo_mf.bilm import read_weights

    compressions = list(spec.encoders())
    identities = [None if one is None else with_file_hashes(one).to_dict() for one in compressions]
    bilm = read_weights(spec.weights, BilmOptions.from_file(spec.options))
    elmo = {"options": file_hash(spec.options), "weights": file_hash(spec.weights)}
    placeholders = spec.model_copy(update={"glove": "GLOVE"})
    runs = []
    for name in spec.tasks:
        task = load_task(name)
        config = run_config(placeholders, task, "SEED", "DATA", ("OPTIONS", "WEIGHTS"))
        language_model = task.kind == "language-model"
        dense = _core(config["model"]) if language_model else bilm
        for compression in compressions:
            if compression is not None:
                check_compression(dense, compression, language_model)
        shared = {
            "task": name,
            "card": task.judgement(),
            "elmo": None if language_model else elmo,
            "words": _words(spec, task, config),
            "data": {split: _file_identity(task, split, spec) for split in task.files},
            "config": config,
            "code": CODE,
        }
        for compression, identity in zip(compressions, identities, strict=True):
            for seed in spec.seeds:
                about = identity
                if compression is not None and method_of(compression).needs_gradients and not compression.gradients:
                    about = {**(identity or {}), "gradients": f"seed {seed}"}  # which the sweep takes itself
                runs.append(Run(task, compression, seed, shared | {"compression": about, "seed": seed}))
            if compression is None:
                runs += _tuned(task, spec, shared | {"compression": None}, compressions)
    return runs


def _tuned(
    task: Task, spec: SweepSpec, shared: dict[str, Any], compressions: list[Compression | None]
) -> Iterator[Run]:
    """The dense model, tuned as those that are compared with it are."""
    for tuning in dict.fromkeys(one.finetune for one in compressions if one is not None and one.finetune is not None):
        for seed in spec.seeds:
            yield Run(task, None, seed, shared | {"finetune": tuning.model_dump(), "seed": seed})


def _core(model: dict[str, Any]) -> BilmWeights:
    from elmo_mf.lm.core import core_sizes, zero_weights

    return zero_weights(core_sizes(*(model[key] for key in ("embedding_dim", "hidden_size", "num_layers"))))


def dense_run(run: Run) -> Run:
    """The dense encoder's run of the same task and seed."""
    identity = {key: value for key, value in run.identity.items() if key != "finetune"}
    return replace(run, compression=None, identity=identity | {"compression": None})


def same_form(run: Run) -> Run:
    """A run whose encoder runs the same matrices in other values, for those who time it, and is made without training.

    It is not tuned, and factorized by plain SVD where its method would first have to train for gradients, unless there
    is a budget, whose ranks are by them.
    """
    compression = run.compression
    if compression is None:
        return run
    plain = compression.model_copy(update={"distill": None, "finetune": None})
    about = {key: value for key, value in run.identity["compression"].items() if key not in ("distill", "finetune")}
    if method_of(compression).needs_gradients and compression.gradients is None and compression.budget is None:
        plain = plain.model_copy(update={"method": "svd", "settings": {}})
        about = with_file_hashes(plain).to_dict()
    return replace(run, compression=plain, identity=run.identity | {"compression": about})


def run_config(spec: SweepSpec, task: Task, seed: int | str, data: str, elmo: tuple[str, str]) -> dict[str, Any]:
    """The AllenNLP config of a task on the given data folder and, where it has one, ELMo files."""
    values: dict[str, Any] = {"data": data, "seed": seed}
    if task.kind == "elmo":
        dim = BilmOptions.from_file(spec.options).output_dim
        values |= {"options_file": elmo[0], "weight_file": elmo[1], "elmo_dim": dim, "cache_mb": 0}
    config = task_config(task.config, spec.preset, spec.glove_of(task.name), values)
    return override(config, spec.overrides.get(task.name, {}), task.name)


def _file_identity(task: Task, split: Split, spec: SweepSpec) -> dict[str, Any]:
    path = spec.data_of(task) / task.files[split]
    if not is_regular(path):
        raise missing(path, "data file", f"the {split} split of {task.name}")
    return {"sha256": file_hash(path), "limit": spec.limit_of(task.name, split)}


def _words(spec: SweepSpec, task: Task, config: dict[str, Any]) -> str | None:
    """Hash of the word vectors' file, where the config reads one."""
    if "GLOVE" not in json.dumps(config):
        return None
    path = spec.glove_of(task.name)
    if path is None or not is_regular(path):
        found = "none" if path is None else path
        raise InputError(f"glove: {task.name}: found {found}, expected the file of its word vectors (preset paper)")
    return file_hash(path)
