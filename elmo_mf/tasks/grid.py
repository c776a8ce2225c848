"""Expansion of a sweep to its runs and their identities."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from elmo_mf.bilm.options import BilmOptions, CharCnnOptions
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression import (
    check_compression,
    method_hash,
    needs_output_covariance,
    takes_gradients,
    with_file_hashes,
)
from elmo_mf.errors import InputError, absent, missing
from elmo_mf.io import is_regular
from elmo_mf.io.validation import validated
from elmo_mf.progress import track
from elmo_mf.provenance import file_hash
from elmo_mf.records import Compression, FineTuning
from elmo_mf.records.identity import (
    CHANCE,
    ENCODER,
    RUN_DATA,
    Baseline,
    DataFiles,
    ElmoFiles,
    EncoderIdentity,
    FileIdentity,
    Precision,
    RunIdentity,
    Split,
    View,
    precision_of,
    unless_first,
)
from elmo_mf.records.run import Run
from elmo_mf.tasks._run_config import run_config
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import TaskConfig, load_task


def expand(spec: SweepSpec, weights: BilmWeights | None = None) -> list[Run]:
    """Expand a sweep to its runs.

    A language model's dense runs include one for each fine-tuning of its compressions.

    Args:
        spec: The sweep.
        weights: Weights of the ELMo, whose sizes are checked. Defaults to those of the sweep's file.

    Returns:
        All runs, task by task, with the dense encoder first.

    Raises:
        InputError: A run would fail for a reason that is known beforehand.
    """
    from elmo_mf.bilm import read_weights

    compressions = list(spec.encoders())
    hashed = [None if one is None else with_file_hashes(one) for one in compressions]
    others = [
        *(EncoderIdentity(precision=precision) for precision in spec.precisions),
        *(EncoderIdentity(baseline=baseline, smaller=_smaller(spec, baseline)) for baseline in spec.baselines),
    ]
    _check_character_cnn(spec.options)
    bilm = weights or read_weights(spec.weights, BilmOptions.from_file(spec.options))
    placeholders = spec.model_copy(update={"glove": "GLOVE"})
    runs: list[Run] = []
    for name in track(spec.tasks, "expansion of the grid", "tasks"):
        task = load_task(name)
        config = run_config(placeholders, task, "SEED", "DATA", ("OPTIONS", "WEIGHTS"))
        language_model = task.kind == "language-model"
        dense = _core(config["model"]) if language_model else bilm
        for compression in compressions:
            if compression is not None:
                check_compression(dense, compression, language_model)
                _check_gradients(task, compression)
        dense_run = _dense_run(spec, task, config)
        for compression, identity in zip(compressions, hashed, strict=True):
            encoder = EncoderIdentity(
                compression=identity,
                task_gradients=_takes_gradients(compression),
                method_file=_method_file(compression),
            )
            for precision in [None] if language_model else _precisions(spec, compression):
                rounded = encoder.model_copy(update={"precision": precision})
                runs += _runs(spec, task, dense_run, rounded, compression)
            if compression is None:
                for tuning in _tunings(compressions):
                    runs += _runs(spec, task, dense_run, EncoderIdentity(finetune=tuning), None)
        for encoder in [] if language_model else others:
            runs += _runs(spec, task, dense_run, _of_task(spec, task, dense_run, encoder), None)
    return runs


def _precisions(spec: SweepSpec, compression: Compression | None) -> list[Precision | None]:
    """Return the precisions of an encoder: that of the bytes which a budget counts, else those of the sweep."""
    if compression is None:
        return [None]
    counted = None if compression.budget is None else precision_of(compression.budget.dtype)
    return [None, *spec.compressed_precisions] if counted is None else [counted]


def _dense_run(spec: SweepSpec, task: TaskConfig, config: dict[str, Any]) -> RunIdentity:
    """Return the identity of a task's dense runs, with the seed 0.

    Args:
        spec: The sweep.
        task: The task.
        config: The task's config, with placeholders for files and seed.
    """
    values = {
        "task": task.name,
        "scoring": task.scoring,
        "seed": 0,
        "elmo": None if task.kind == "language-model" else _elmo(spec, task.kind == "bilm"),
        "words": _words(spec, task, config),
        "data": DataFiles(**{split: _file_identity(task, split, spec) for split in task.files}),
        "config": config,
        "versions": _versions(task, config, EncoderIdentity(), "retrained"),
    }
    return validated(RunIdentity, values, f"{task.name}: its run")


def _of_task(spec: SweepSpec, task: TaskConfig, dense_run: RunIdentity, encoder: EncoderIdentity) -> EncoderIdentity:
    """Return a baseline or a precision of the dense encoder with what it depends on in a task."""
    if task.kind == "bilm":
        encoder = _bilm_baseline(spec, task, encoder)
    if encoder.baseline != "no-encoder":
        return encoder
    words = _glove(spec, task) if task.kind == "probe" else dense_run.words
    if words is None:
        found = f"no-encoder for {task.name}, whose config has no word vectors"
        raise InputError("baselines", f"found {found}, expected other baselines")
    return encoder.model_copy(update={"words": words})


def _elmo(spec: SweepSpec, with_softmax: bool) -> ElmoFiles:
    """Return the hashes of the ELMo's files that a task reads."""
    files = ElmoFiles(options=file_hash(spec.options), weights=file_hash(spec.weights))
    if not with_softmax:
        return files
    from elmo_mf.tasks._bilm_run import softmax_files

    return files.model_copy(update=softmax_files(spec).hashes())


def _smaller(spec: SweepSpec, baseline: Baseline) -> ElmoFiles | None:
    """Return the hashes of the smaller ELMo's files; None for other baselines."""
    if baseline != "smaller":
        return None
    files = spec.smaller_files()
    _check_character_cnn(files.options)
    return ElmoFiles(options=file_hash(files.options), weights=file_hash(files.weights))


def _bilm_baseline(spec: SweepSpec, task: TaskConfig, encoder: EncoderIdentity) -> EncoderIdentity:
    """Check a baseline of an ELMo as a language model, and return it with the softmax that its score depends on.

    Raises:
        InputError: There is no such baseline, or the smaller ELMo predicts other words.
    """
    from elmo_mf.tasks._bilm_run import softmax_files

    if encoder.baseline not in (None, "shuffled", "smaller"):
        raise InputError("baselines", f"found {encoder.baseline} for {task.name}, expected shuffled, smaller or none")
    if encoder.smaller is None:
        return encoder
    dense, baseline = softmax_files(spec), softmax_files(spec, encoder.baseline)
    if file_hash(dense.vocabulary) != file_hash(baseline.vocabulary):
        expected = f"the words of {dense.vocabulary}, because perplexities are comparable over the same words only"
        raise InputError("smaller", f"found {baseline.vocabulary} with other words, expected {expected}")
    return encoder.model_copy(update={"smaller": encoder.smaller.model_copy(update=baseline.hashes())})


def _check_character_cnn(options_file: str | Path) -> None:
    options = BilmOptions.from_file(options_file)
    if not isinstance(options.token_layer, CharCnnOptions):
        found, expected = (
            f"an ELMo with a {options.token_layer.title}",
            "one with a character CNN, which the tasks' configs require",
        )
        raise InputError(options_file, f"found {found}, expected {expected}")


def _check_gradients(task: TaskConfig, compression: Compression) -> None:
    """Reject gradients that a run cannot compute: a probe has no loss, and language models give no covariances."""
    if not _takes_gradients(compression):
        return
    what = compression.method if compression.cells is None else "cells"
    if task.kind == "probe":
        found = f"{task.name} with {what}, which needs the gradients of a task's model"
        raise InputError("compressions", f"found {found}, expected their file under the key gradients")
    if task.kind == "language-model" and needs_output_covariance(compression):
        found = f"{task.name} with {what}, which needs gradients token by token"
        raise InputError("compressions", f"found {found}, expected another method for a language model")


def _runs(
    spec: SweepSpec, task: TaskConfig, dense: RunIdentity, encoder: EncoderIdentity, compression: Compression | None
) -> Iterator[Run]:
    """Yield the runs of one encoder, one for each view and seed.

    What has no views is trained.
    """
    without_elmo: dict[str, Any] = {} if encoder.has_elmo else {"elmo": None}
    views: Iterable[View] = spec.views if task.kind == "elmo" and encoder.has_views else ("retrained",)
    for view in views:
        identity = dense.model_copy(update=_fields(task, dense.config, encoder, view) | without_elmo)
        for seed in spec.seeds if identity.trains_model else (0,):
            yield Run(identity.model_copy(update={"seed": seed}), compression)


def _fields(task: TaskConfig, config: dict[str, Any], encoder: EncoderIdentity, view: View) -> dict[str, Any]:
    """Return the fields of a run's identity that differ between encoders and views."""
    fields = {name: getattr(encoder, name) for name in EncoderIdentity.model_fields if name != "words"}
    fields |= {"words": encoder.words} if task.kind == "probe" else {}
    return fields | {"view": view, "versions": _versions(task, config, encoder, view)}


def _takes_gradients(compression: Compression | None) -> bool:
    """Return whether a run has to compute gradients of its task first."""
    return compression is not None and takes_gradients(compression) and compression.gradients is None


def _method_file(compression: Compression | None) -> str | None:
    """Return the hash of the file of a method from outside this project."""
    return None if compression is None else method_hash(compression.method)


def _tunings(compressions: Iterable[Compression | None]) -> list[FineTuning]:
    """Return each fine-tuning once; dense models are fine-tuned in the same way for comparison."""
    return list(dict.fromkeys(one.finetune for one in compressions if one is not None and one.finetune is not None))


def _versions(task: TaskConfig, config: dict[str, Any], encoder: EncoderIdentity, view: View) -> dict[str, int]:
    """Return the version of each part of this project that a score depends on."""
    from elmo_mf.bilm import encoder as dense_encoder
    from elmo_mf.tasks import _chance, _run_data
    from elmo_mf.tasks._config_versions import config_versions
    from elmo_mf.tasks._producers import producer_of

    inputs = {ENCODER: dense_encoder.VERSION, task.format.NAME: task.format.VERSION}
    inputs |= unless_first({RUN_DATA: _run_data.VERSION, CHANCE: _chance.VERSION} | config_versions(config))
    return inputs | producer_of(task, encoder.baseline).versions(task, encoder, view)


def _core(model: dict[str, Any]) -> BilmWeights:
    from elmo_mf.lm import core_sizes, zero_weights

    return zero_weights(core_sizes(*(model[key] for key in ("embedding_dim", "hidden_size", "num_layers"))))


def same_form(run: Run) -> Run:
    """Return a run that takes as long as `run`, with matrices of the same shapes, but needs less training.

    Distillation and fine-tuning are dropped. A method that needs task gradients is replaced by plain SVD, except with
    a budget, because its ranks depend on the gradients, and with fewer memory cells, whose removal needs them too.
    """
    compression = run.compression
    if compression is None:
        return run
    changes: dict[str, Any] = {"distill": None, "finetune": None}
    by_svd = run.identity.task_gradients and compression.budget is None and compression.cells is None
    if by_svd:
        changes |= {"method": "svd", "settings": {}}
    encoder = EncoderIdentity(
        compression=run.identity.compression and run.identity.compression.model_copy(update=changes),
        task_gradients=run.identity.task_gradients and not by_svd,
        method_file=None if by_svd else run.identity.method_file,
    )
    fields = _fields(load_task(run.task), run.identity.config, encoder, run.identity.view)
    return Run(run.identity.model_copy(update=fields), compression.model_copy(update=changes))


def _file_identity(task: TaskConfig, split: Split, spec: SweepSpec) -> FileIdentity:
    path = spec.data_of(task) / task.files[split]
    if not is_regular(path):
        raise missing(path, "data file", f"the {split} split of {task.name}")
    return FileIdentity(sha256=file_hash(path), limit=spec.limit_of(task.name, split))


def _words(spec: SweepSpec, task: TaskConfig, config: dict[str, Any]) -> str | None:
    """Return the hash of the file of word vectors; None if the config reads none."""
    if "GLOVE" not in json.dumps(config):
        return None
    return _glove(spec, task)


def _glove(spec: SweepSpec, task: TaskConfig) -> str:
    path = spec.glove_of(task.name)
    if path is None:
        raise InputError("glove", task.name, absent("the file of its word vectors"))
    if not is_regular(path):
        raise missing(Path(path), "file of word vectors", f"the one of {task.name}, see the key glove or --glove")
    return file_hash(path)
