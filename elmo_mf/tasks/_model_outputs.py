"""A trained model's scores, and what each example contributes to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from elmo_mf.errors import InputError
from elmo_mf.records.outputs import Array, SplitOutputs
from elmo_mf.tasks._latency import on_its_device
from elmo_mf.tasks.task_config import TaskConfig

if TYPE_CHECKING:
    from allennlp.data import DataLoader
    from allennlp.models import Model

_PROBABILITIES = ("class_probabilities", "label_probs", "probs")  # what AllenNLP's classifiers call them
_LEAST = 1e-12
_COLLAPSED = 0.98  # share of the prior's loss; a loss above it counts as collapsed


class Scored(NamedTuple):
    """A model's metrics on a split, by AllenNLP's names, and what each example contributes to them."""

    metrics: dict[str, float]
    outputs: SplitOutputs


def scored(model: Model, loader: DataLoader, task: TaskConfig, file: Path, pause: Callable[[], None]) -> Scored:
    """Score a model on a split, as AllenNLP's `evaluate` does, with the outputs in the order of the loader.

    Args:
        model: A trained AllenNLP model.
        loader: AllenNLP's loader of the split.
        task: The task.
        file: Data file of the split, for the documents of its examples.
        pause: Called between batches.
    """
    model.eval()
    model.get_metrics(reset=True)
    losses: list[float] = []
    scores: list[float] = []
    likelihoods: list[float] = []
    with torch.no_grad():
        for batch in loader:
            tensors = on_its_device(batch, model)
            output = model(**tensors)
            losses.append(float(output["loss"]))
            for score, likelihood in _of_batch(tensors, output):
                scores.append(score)
                likelihoods.append(likelihood)
            pause()
    metrics = {**model.get_metrics(reset=True), "loss": sum(losses) / len(losses)}
    clusters = _documents(task, file, len(scores))
    return Scored(metrics, SplitOutputs(np.array(scores, np.float32), np.array(likelihoods, np.float32), clusters))


def has_collapsed(task: TaskConfig, outputs: SplitOutputs, folder: Path) -> bool:
    """Return whether a classifier learned nothing from its inputs: its loss on the validation split is the prior's.

    The prior's is the loss of the training labels' distribution, with add-one smoothing. Where labels
    are spans of a text there is none.

    Args:
        task: The task.
        outputs: The outputs on the validation split.
        folder: Data folder.
    """
    if task.score.chance != "majority" or outputs.log_likelihood is None:
        return False
    files = task.run_files["train"], task.run_files["validation"]
    train, held_out = ([example.label for example in task.format.read(folder / file)] for file in files)
    counts, total = Counter(train), len(train) + len({*train, *held_out})
    prior = float(np.mean([np.log((counts[label] + 1) / total) for label in held_out]))
    return float(outputs.log_likelihood.mean()) < _COLLAPSED * prior


def _of_batch(tensors: dict[str, Any], output: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """Yield the score and the log-likelihood of each example."""
    if "best_span_str" in output:
        yield from _of_spans(tensors, output)
        return
    probabilities = next((output[name] for name in _PROBABILITIES if name in output), None)
    if probabilities is None:
        expected = f"one of {', '.join(_PROBABILITIES)}, or best_span_str"
        raise InputError("the model's output", f"found {', '.join(sorted(output))}, expected {expected}")
    labels = tensors["label"].flatten()
    likelihoods = probabilities.gather(1, labels[:, None]).squeeze(1).clamp(min=_LEAST).log()
    correct = probabilities.argmax(dim=1) == labels
    for score, likelihood in zip(correct.tolist(), likelihoods.tolist(), strict=True):
        yield float(score), likelihood


def _of_spans(tensors: dict[str, Any], output: dict[str, Any]) -> Iterator[tuple[float, float]]:
    from allennlp_models.rc.metrics import SquadEmAndF1

    metric = SquadEmAndF1()
    spans = zip(output["span_start_probs"], output["span_end_probs"], tensors["span_start"].flatten(),
                tensors["span_end"].flatten(), strict=True)  # fmt: skip
    for text, metadata, (starts, ends, start, end) in zip(
        output["best_span_str"], tensors["metadata"], spans, strict=True
    ):
        metric(text, metadata["answer_texts"])
        probability = (starts[start].clamp(min=_LEAST) * ends[end].clamp(min=_LEAST)).double()
        yield metric.get_metric(reset=True)[1], float(probability.log())


def _documents(task: TaskConfig, file: Path, count: int) -> Array | None:
    """Return the number of each example's document; None if they have none, or the reader left some examples out."""
    numbers: dict[str | None, int] = {}
    documents = [numbers.setdefault(task.format.document(example), len(numbers)) for example in task.format.read(file)]
    return np.array(documents, np.float32) if None not in numbers and len(documents) == count else None
