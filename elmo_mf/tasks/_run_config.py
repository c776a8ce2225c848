"""AllenNLP config of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.records.run import Run, embedders
from elmo_mf.tasks._jsonnet import override, task_config
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import TaskConfig, load_task

if TYPE_CHECKING:
    from elmo_mf.tasks._encoders import Encoder

_ELMO = ("elmo_mf", "elmo_characters")  # types of the embedder and of the indexer
MOST_TOKENS = 80
"""Number of words at which longer lines are split, where an ELMo is scored as a language model."""
_TOKEN_LAYER_ONLY = -1e4  # weight of the other layers, before their softmax


def model_config(spec: SweepSpec, run: Run, data: Path, encoder: Encoder) -> dict[str, Any]:
    """Return the AllenNLP config of a run's model, with its encoder and precision or the baseline's.

    Args:
        spec: The sweep.
        run: The run.
        data: Its data folder.
        encoder: Its encoder.
    """
    task, without = load_task(run.task), run.identity.baseline == "no-encoder"
    files = encoder.options, encoder.weights
    config = run_config(spec, task, run.seed, str(data), files, without_elmo=without, options=encoder.options)
    for embedder in embedders(config):
        if run.identity.precision is not None:
            embedder["precision"] = encoder.precision
        if run.identity.baseline == "token-layer":
            layers = BilmOptions.from_file(encoder.options).lstm.n_layers
            embedder["scalar_mix_parameters"] = [0.0] + layers * [_TOKEN_LAYER_ONLY]
    return config


def run_config(
    spec: SweepSpec,
    task: TaskConfig,
    seed: int | str,
    data: str,
    elmo: tuple[str, str],
    without_elmo: bool = False,
    options: str | None = None,
) -> dict[str, Any]:
    """Return the AllenNLP config of a run, or the settings of a task without a model.

    Args:
        spec: The sweep.
        task: The task.
        seed: Seed of the run.
        data: Data folder.
        elmo: Options and weight files of the ELMo; ignored for language models.
        without_elmo: Whether the model reads word vectors alone.
        options: File of the ELMo's sizes. Defaults to that of the sweep's ELMo.
    """
    columns = {"columns": task.columns} if task.columns else {}
    if task.probe is not None:
        return {"probe": task.probe.model_dump(), **columns}
    if task.kind == "bilm":
        return {"max_tokens": MOST_TOKENS}
    values: dict[str, Any] = {"data": data, "seed": seed, **columns}
    if columns:
        values["files"] = task.run_files
    if task.kind == "elmo":
        dim = 0 if without_elmo else BilmOptions.from_file(options or spec.options).output_dim
        values |= {"options_file": elmo[0], "weight_file": elmo[1], "elmo_dim": dim, "cache_mb": 0}
    config = task_config(task.config, spec.preset, spec.glove_of(task.name), values)
    if task.shares_file:
        config["test_data_path"] = f"{data}/{task.run_files['test']}"
    if without_elmo:
        _remove_elmo(config)
    return override(config, spec.overrides.get(task.name, {}), task.name)


def _remove_elmo(config: Any) -> None:
    """Remove the embedders of ELMo and their indexers, at any depth."""
    if isinstance(config, list):
        for value in config:
            _remove_elmo(value)
    elif isinstance(config, dict):
        for name in [name for name, value in config.items() if isinstance(value, dict) and value.get("type") in _ELMO]:
            del config[name]
        _remove_elmo(list(config.values()))
