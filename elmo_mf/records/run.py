"""A run of a sweep: one task with one encoder and one seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import JsonValue

from elmo_mf.records.compression import Compression, FineTuning
from elmo_mf.records.digest import digest
from elmo_mf.records.identity import RunIdentity
from elmo_mf.records.labels import encoder_label, run_name


@dataclass(frozen=True)
class Run:
    """One run of a sweep: a task with one encoder and one seed.

    Attributes:
        identity: Everything that the score depends on.
        compression: The compression with the paths of this machine's files; None for the dense encoder.
    """

    identity: RunIdentity
    compression: Compression | None

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.identity.task

    @property
    def seed(self) -> int:
        """Seed of initial weights, dropout and the order of batches."""
        return self.identity.seed

    @property
    def is_language_model(self) -> bool:
        """Whether the task's model is itself compressed, rather than an ELMo inside it."""
        return self.identity.is_language_model

    @property
    def primary(self) -> str:
        """The metric that the leaderboard ranks by."""
        return self.identity.scoring.primary

    @property
    def finetune(self) -> FineTuning | None:
        """Fine-tuning of a compressed language model, or of the dense one that it is compared with."""
        return self.identity.tuning

    @cached_property
    def id(self) -> str:
        """Digest of the identity."""
        return digest(self.identity.to_dict())

    @cached_property
    def encoder_id(self) -> str:
        """Digest of what the encoder depends on; seeds share it unless the method uses the task's gradients."""
        identity = self.identity
        fields = {"elmo", "compression", "baseline", "precision"}
        fields |= {name for name in ("smaller", "method_file") if getattr(identity, name) is not None}
        if identity.task_gradients:
            return digest(identity.model_copy(update={"finetune": None}).to_dict())
        settings = identity.model_dump(mode="json", include=fields, exclude_defaults=True)
        return digest(settings | {"versions": identity.encoder_versions})

    @cached_property
    def activations_id(self) -> str:
        """Digest of what the encoder's activations on the task's data depend on."""
        config = self.identity.config
        readers = {key: value for key, value in config.items() if key.endswith("dataset_reader")}
        sources = {"encoder": self.encoder_id, "readers": readers, "embedders": list(embedders(config))}
        return digest(self.identity.model_dump(mode="json", include={"task", "data", "versions"}) | sources)

    @cached_property
    def shared_work(self) -> frozenset[str]:
        """Keys of the activations and the trained model, which one run computes while others that need them wait.

        The model is that of the dense run, if the encoder is swapped into it, compressed after its training, or
        compressed by its gradients.
        """
        identity = self.identity
        is_language_model = identity.elmo is None and identity.has_elmo
        takes_dense = identity.view != "retrained" or identity.task_gradients or is_language_model
        return frozenset((self.activations_id, (self.dense().retrained() if takes_dense else self).id))

    @cached_property
    def encoder(self) -> str:
        """Label of the encoder."""
        return encoder_label(self.identity)

    @cached_property
    def name(self) -> str:
        """Readable and unique name, for files."""
        return run_name(self.identity, self.id)

    def dense(self) -> Run:
        """Return the dense encoder's run with the same task and seed."""
        return Run(self.identity.dense(), None)

    def retrained(self) -> Run:
        """Return the run whose model is trained on the encoder, with the same encoder, task and seed."""
        return Run(self.identity.retrained(), self.compression)

    def __str__(self) -> str:
        view = "" if self.identity.view == "retrained" else f" {self.identity.view}"
        return f"{self.task}{view} {self.encoder} seed {self.seed}"


def embedders(config: JsonValue) -> Iterator[dict[str, Any]]:
    """Yield the config of our token embedder, whose `state` and `precision` a sweep may override."""
    if isinstance(config, dict) and config.get("type") == "elmo_mf":
        yield config
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from embedders(value)
