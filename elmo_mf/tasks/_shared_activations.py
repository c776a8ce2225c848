"""Activations of a frozen encoder and their errors, computed once for all runs of a sweep that share them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.compression import activation_error
from elmo_mf.experiments import MAX_JSON_BYTES, Progress, Workspace
from elmo_mf.io.reading import read_bytes
from elmo_mf.io.validation import validated_json
from elmo_mf.records.record import ActivationError
from elmo_mf.records.run import Run
from elmo_mf.tasks.spec import SweepSpec

if TYPE_CHECKING:
    from allennlp.commands.train import TrainModel
    from allennlp.data import Instance, Vocabulary

    from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder

_TEXTS = 300


def share_activations(
    spec: SweepSpec, run: Run, loop: TrainModel, embedder: ElmoMfTokenEmbedder, workspace: Workspace
) -> None:
    """Compute a frozen encoder's activations on the data, once for all runs that share them.

    Runs of the view `swapped` share those on the data that is not trained on.

    Args:
        spec: The sweep.
        run: The run.
        loop: AllenNLP's training loop.
        embedder: The embedder of its model.
        workspace: Workspace of the run.
    """
    with workspace.phase("activations"):
        _share_activations(spec, run, loop, embedder, workspace)


def _share_activations(
    spec: SweepSpec, run: Run, loop: TrainModel, embedder: ElmoMfTokenEmbedder, workspace: Workspace
) -> None:
    from elmo_mf.plugin.activation_cache import ActivationCache
    from elmo_mf.tasks._stored_activations import StoredActivations, write_activations

    bilm = embedder.bilm
    frozen = not any(parameter.requires_grad for parameter in bilm.parameters())
    if not spec.cache_mb or not frozen or bilm.state_policy == "carried":
        return
    loaders = (loop.trainer.data_loader, loop.trainer._validation_data_loader, loop.evaluation_data_loader)
    instances = itertools.chain.from_iterable(loader.iter_instances() for loader in loaders if loader is not None)

    def make(folder: Path) -> None:
        batches = _character_ids(instances, loop.model.vocab)
        write_activations(
            folder, bilm, batches, workspace.cache.make_room, lambda: workspace.step(Progress("activations"))
        )

    def read(folder: Path) -> StoredActivations:
        return StoredActivations(folder, bilm.options.lstm.n_layers + 1, bilm.output_dim)

    name = run.activations_id[:32] + ("-scored" if run.identity.view == "swapped" else "")
    stored = workspace.cache.load("activations", name, make, read)
    embedder.elmo_module.cache = ActivationCache(0, stored)


def _character_ids(instances: Iterable[Instance], vocabulary: Vocabulary) -> Iterator[Tensor]:
    """Yield the encoder's inputs for the instances, each (sentences, longest, characters)."""
    from allennlp.common.util import lazy_groups_of
    from allennlp.data.batch import Batch

    for group in lazy_groups_of(instances, 64):
        batch = Batch(list(group))
        batch.index_instances(vocabulary)
        for ids in _elmo_tokens(batch.as_tensor_dict()):
            yield ids.flatten(0, -3)


def _elmo_tokens(tensors: Any) -> Iterator[Tensor]:
    """Yield the embedder's inputs in a batch, at any depth."""
    for key, value in tensors.items() if isinstance(tensors, dict) else ():
        if key == "elmo_tokens":
            yield value
        else:
            yield from _elmo_tokens(value)


def shared_activation_error(
    run: Run, dense: Bilm, compressed: Bilm, instances: list[Instance], workspace: Workspace
) -> ActivationError:
    """Return the activation error on the first texts of the scored split, computed once for all seeds.

    Args:
        run: The run.
        dense: The dense encoder.
        compressed: The run's encoder.
        instances: The instances of the split.
        workspace: Workspace of the run.
    """

    def make(folder: Path) -> None:
        error = activation_error(dense, compressed, first_sentences(instances))
        text = ActivationError.model_validate(error.to_dict()).model_dump_json()
        (folder / "error.json").write_text(text, encoding="utf-8")

    def read(folder: Path) -> ActivationError:
        path, content = folder / "error.json", "an activation error"
        raw = read_bytes(path, "cached errors", content, most=MAX_JSON_BYTES)
        return validated_json(ActivationError, raw, str(path), content)

    return workspace.cache.load("errors", run.activations_id[:32], make, read)


def first_sentences(instances: list[Instance]) -> list[list[str]]:
    """Return the tokenized texts of the first instances, at most 300."""
    fields = [field for instance in instances[:_TEXTS] for field in instance.fields.values()]
    texts = [[token.text for token in field.tokens] for field in fields if getattr(field, "tokens", None)]
    return texts[:_TEXTS]
