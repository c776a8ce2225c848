"""AllenNLP config of a run."""

from __future__ import annotations

from typing import Any

from elmo_mf.bilm.config import BilmOptions
from elmo_mf.tasks.config import TaskConfig
from elmo_mf.tasks.jsonnet import override, task_config
from elmo_mf.tasks.spec import SweepSpec


def run_config(spec: SweepSpec, task: TaskConfig, seed: int | str, data: str, elmo: tuple[str, str]) -> dict[str, Any]:
    """Return the AllenNLP config of a run, or the settings of a probe.

    Args:
        spec: The sweep.
        task: The task.
        seed: Seed of the run.
        data: Data folder.
        elmo: Options and weight files of the ELMo; ignored for language models.
    """
    if task.probe is not None:
        return {"probe": task.probe.model_dump()}
    values: dict[str, Any] = {"data": data, "seed": seed}
    if task.kind == "elmo":
        dim = BilmOptions.from_file(spec.options).output_dim
        values |= {"options_file": elmo[0], "weight_file": elmo[1], "elmo_dim": dim, "cache_mb": 0}
    config = task_config(task.config, spec.preset, spec.glove_of(task.name), values)
    return override(config, spec.overrides.get(task.name, {}), task.name)
