"""Execution of the baseline `words` of a task with an ELMo: a linear model of the words, without any network."""

from __future__ import annotations

from collections.abc import Mapping

from elmo_mf.errors import InputError
from elmo_mf.experiments import Workspace
from elmo_mf.records.identity import TRAINING, EncoderIdentity, Split, View, unless_first
from elmo_mf.records.outputs import Outputs, SplitOutputs
from elmo_mf.records.run import Run
from elmo_mf.tasks import _training, _word_overlap
from elmo_mf.tasks._plugin_versions import plugin_version
from elmo_mf.tasks._producer import Measured, MeasuredEncoder, Producer
from elmo_mf.tasks._run_data import data_facts, limited_data
from elmo_mf.tasks.formats import Example
from elmo_mf.tasks.probe import classifier, examples, words
from elmo_mf.tasks.probe.examples import probe_data
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import Probed, TaskConfig, load_task

VERSION = 1
"""Version of these runs, part of their identity; raised when their scores change."""

_PROBES: Mapping[str, Probed] = {"ptb-trees": "text", "labelled-texts": "text", "snli-jsonl": "pair"}


def measure_words(spec: SweepSpec, run: Run, workspace: Workspace) -> Measured:
    """Fit and score the baseline.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    task = load_task(run.task)
    with workspace.phase("data"):
        folder = limited_data(spec, run, workspace)
        read = {split: task.format.read(folder / name) for split, name in task.run_files.items()}
    with workspace.phase("scoring"):
        outputs = _outputs(task, read)
    facts = data_facts(run, folder, workspace)
    return Measured(
        scores=_metrics(task, outputs[task.score.split]),
        validation=_metrics(task, outputs["validation"]),
        examples=facts.examples,
        chance=facts.chance,
        encoder=MeasuredEncoder(),
        outputs=Outputs(outputs),
    )


def _outputs(task: TaskConfig, splits: dict[Split, list[Example]]) -> dict[Split, SplitOutputs]:
    kind = _PROBES.get(task.data.format)
    if kind is not None:
        return words.words_alone(kind, {split: probe_data(kind, read) for split, read in splits.items()})
    if task.data.format != "squad-json":
        raise InputError("baselines", f"found words for {task.name}, expected a task of texts, pairs or questions")
    overlap = _word_overlap.fit_overlap(splits["train"])
    return {split: _word_overlap.overlap_outputs(overlap, read) for split, read in splits.items() if split != "train"}


def _metrics(task: TaskConfig, outputs: SplitOutputs) -> dict[str, float]:
    scores = {task.score.primary: float(outputs.score.mean(dtype=float))}
    if outputs.log_likelihood is not None:
        scores["loss"] = -float(outputs.log_likelihood.mean(dtype=float))
    return scores


def _versions(task: TaskConfig, encoder: EncoderIdentity, view: View) -> dict[str, int]:
    kind = _PROBES.get(task.data.format)
    used = {"words-run": VERSION}
    if kind is None:
        used["word-overlap"] = _word_overlap.VERSION
    else:
        used |= {"words": words.VERSION, "words-examples": examples.VERSION}
        if examples.needs_tokenizer(task.data.format):
            used["words-tokenizer"] = plugin_version("tokenizer")
    if kind == "pair":
        used["classifier"] = classifier.VERSION
    return {TRAINING: _training.VERSION} | unless_first(used)  # that of the training, as the other runs of the board


PRODUCER = Producer(measure_words, _versions, None)
