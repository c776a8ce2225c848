"""Time a training step of the task models with each LSTM, in turns in one process.

From the project's root: `python -m docs.sweeps.training_step DATA GLOVE > docs/sweeps/training_step.json`. DATA has
a folder for each task. The models are those of the published board, on the first batches of its training data, with the
activations of ELMo from the cache. Prints JSON: milliseconds a step, and how many times as fast as AllenNLP's `lstm`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from elmo_mf.experiments import workspace
from elmo_mf.provenance import provenance
from elmo_mf.resources import share
from elmo_mf.tasks import SweepSpec, expand
from elmo_mf.tasks._shared_activations import share_activations
from elmo_mf.tasks._trained_model import untrained

LSTMS: dict[str, dict[str, Any]] = {
    "lstm": {"type": "lstm"},
    "elmo_mf_lstm": {"type": "elmo_mf_lstm"},
    "elmo_mf_lstm, bfloat16": {"type": "elmo_mf_lstm", "training_precision": "bfloat16"},
}
EXAMPLES, STEPS, ROUNDS = 600, 6, 5


def measure(data: Path, glove: Path, task: str) -> dict[str, Any]:
    """Return the median milliseconds of a step with each LSTM, and the median ratios to the first."""
    published = share() / "jsonnet" / "sweeps" / "published" / "baselines.jsonnet"
    few = {task: {"train": EXAMPLES, "validation": 10, "test": 10}}
    spec = SweepSpec.from_file(published, tasks=[task], glove=str(glove), data=str(data), limit=few, baselines=[])
    run = expand(spec)[0].retrained()
    with ExitStack() as stack:
        work = stack.enter_context(workspace(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        steps = []
        for lstm in LSTMS.values():
            model = stack.enter_context(untrained(spec, run, work, partial(_replace, lstm=lstm)))
            assert model.embedder is not None
            share_activations(spec, run, model.loop, model.embedder, work)
            steps.append(_step(model.loop))
        times = [[step() for step in steps] for _ in range(ROUNDS + 1)][1:]
    medians = dict(zip(LSTMS, map(statistics.median, zip(*times, strict=True)), strict=True))
    ratios = zip(*([one[0] / each for each in one] for one in times), strict=True)
    return {
        "milliseconds": {name: round(1000 * seconds, 1) for name, seconds in medians.items()},
        "times as fast": {name: round(statistics.median(of), 2) for name, of in zip(LSTMS, ratios, strict=True)},
    }


def _replace(config: Any, lstm: dict[str, Any]) -> None:
    """Replace the kind of every LSTM of a config."""
    values = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    for value in values:
        _replace(value, lstm)
    if isinstance(config, dict) and config.get("type") in {one["type"] for one in LSTMS.values()}:
        config.pop("training_precision", None)
        config.update(lstm)


def _step(loop: Any) -> Callable[[], float]:
    """Return a function that trains for some batches, always the same, and returns the seconds a batch."""
    trainer, batches = loop.trainer, []
    for batch in trainer.data_loader:
        batches.append(batch)
        if len(batches) == STEPS:
            break

    def step() -> float:
        loop.model.train()
        started = time.perf_counter()
        for batch in batches:
            trainer.optimizer.zero_grad()
            loop.model(**batch)["loss"].backward()
            trainer.optimizer.step()
        return (time.perf_counter() - started) / len(batches)

    return step


def main() -> None:
    """Measure the three tasks on one thread, and print the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("glove", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record = {task: measure(arguments.data, arguments.glove, task) for task in ("sst", "snli", "squad")}
    print(json.dumps({"tasks": record, **provenance(torch.device("cpu")).to_dict()}, indent=1))


if __name__ == "__main__":
    main()
