"""Execution of a probe's run: features of all splits, logistic regression, and the encoder's times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from elmo_mf.experiments import Progress, Workspace
from elmo_mf.records.identity import (
    PROBE,
    PROBE_EXAMPLES,
    PROBE_FEATURES,
    SPACY_RULES,
    EncoderIdentity,
    Split,
    View,
    unless_first,
)
from elmo_mf.records.outputs import Outputs, SplitOutputs
from elmo_mf.records.record import Examples
from elmo_mf.records.run import Run
from elmo_mf.tasks._chance import majority_accuracy
from elmo_mf.tasks._encoders import Encoder, encoder_of, encoder_versions, no_gradients
from elmo_mf.tasks._frozen_encoder import measure_frozen_encoder, time_frozen_encoder
from elmo_mf.tasks._plugin_versions import plugin_version
from elmo_mf.tasks._producer import Measured, Producer
from elmo_mf.tasks._run_data import limited_data
from elmo_mf.tasks._word_vector_file import read_word_vectors
from elmo_mf.tasks.probe import classifier, examples, words
from elmo_mf.tasks.probe import features as probe_features
from elmo_mf.tasks.probe.classifier import fit, metrics, outputs_of
from elmo_mf.tasks.probe.examples import ProbeData, probe_data
from elmo_mf.tasks.probe.features import Vectors, features, layer_vectors, word_vectors
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import TaskConfig, load_task

_LSTM_LAYERS, _TOKEN_LAYER = slice(1, None), slice(0, 1)


def measure_probe(spec: SweepSpec, run: Run, workspace: Workspace) -> Measured:
    """Fit and score a probe, and measure its encoder.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    task = load_task(run.task)
    with workspace.phase("data"):
        folder = limited_data(spec, run, workspace)
        splits = {split: _read(task, folder / name) for split, name in task.run_files.items()}
    with workspace.phase("encoder"):
        encoder = encoder_of(spec, run, workspace, no_gradients) if run.identity.has_elmo else None
    with workspace.phase("probing"):
        outputs = _outputs(spec, run, task, splits, encoder, lambda: workspace.step(Progress("probing")))
    if task.probe is not None and task.probe.examples == "word":  # words of one sentence are not independent
        outputs = {split: replace(one, cluster=splits[split].sentence_numbers()) for split, one in outputs.items()}
    train, scored = splits["train"], splits[task.score.split]
    return Measured(
        scores=metrics(outputs, task.score.split),
        validation=metrics(outputs, "validation"),
        examples=Examples(**{split: len(data.labels) for split, data in splits.items()}),
        # of equally frequent labels, the first in alphabetical order
        chance=majority_accuracy(sorted(train.labels.tolist()), scored.labels.tolist()),
        encoder=measure_frozen_encoder(spec, run, encoder, _sentences(scored), workspace),
        outputs=Outputs(outputs),
    )


def _read(task: TaskConfig, path: Path) -> ProbeData:
    assert task.probe is not None
    return probe_data(task.probe.examples, task.format.read(path))


def _scored(task: TaskConfig, folder: Path) -> list[list[str]]:
    return _sentences(_read(task, folder / task.run_files[task.score.split]))


def _sentences(data: ProbeData) -> list[list[str]]:
    return [list(sentence) for sentence in data.sentences]


def _outputs(
    spec: SweepSpec,
    run: Run,
    task: TaskConfig,
    splits: dict[Split, ProbeData],
    encoder: Encoder | None,
    pause: Callable[[], None],
) -> dict[Split, SplitOutputs]:
    assert task.probe is not None
    kind, baseline = task.probe.examples, run.identity.baseline
    if baseline == "words":
        return words.words_alone(kind, splits)
    vectors = _glove(spec, run) if encoder is None else _vectors(run, encoder, pause)
    train, validation = splits["train"], splits["validation"]
    inputs = {split: features(kind, data, vectors) for split, data in splits.items()}
    pause()
    model = fit(inputs["train"], train.labels, inputs["validation"], validation.labels)
    return {
        split: outputs_of(model.probabilities(inputs[split]), model.classes, data.labels)
        for split, data in splits.items()
        if split != "train"
    }


def _vectors(run: Run, encoder: Encoder, pause: Callable[[], None]) -> Vectors:
    """Return the vectors of the LSTM layers, which are what compression changes, or those of the token layer."""
    layers = _TOKEN_LAYER if run.identity.baseline == "token-layer" else _LSTM_LAYERS
    return layer_vectors(encoder.load(word_cache_mb=100), layers, pause)


def _glove(spec: SweepSpec, run: Run) -> Vectors:
    path = spec.glove_of(run.task)
    assert path is not None  # checked when the sweep was expanded
    return word_vectors(read_word_vectors(Path(path)))


def _versions(task: TaskConfig, encoder: EncoderIdentity, view: View) -> dict[str, int]:
    # a baseline of words has no features, and shares their version with the other runs of its board
    later = {PROBE_EXAMPLES: examples.VERSION, PROBE_FEATURES: probe_features.VERSION}
    if examples.needs_tokenizer(task.data.format):
        later[SPACY_RULES] = plugin_version("tokenizer")
    if encoder.baseline == "words":
        later["words"] = words.VERSION
    return {PROBE: classifier.VERSION} | encoder_versions(encoder) | unless_first(later)


PRODUCER = Producer(measure_probe, _versions, partial(time_frozen_encoder, _scored, no_gradients))
