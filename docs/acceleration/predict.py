"""Time what `allennlp predict` does with archives, in turns in one process, and compare what they predict.

From the project's root: `python -m docs.acceleration.predict DATA ORIGINAL ARCHIVE ...`, where DATA is a file that the
archives' dataset readers read. Prints JSON: sentences or examples a second from reading the file to the written line of
output, the seconds of each stage, and how many outputs are those of the original.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from allennlp.common.plugins import import_plugins
from allennlp.data import Batch, DatasetReader, Instance
from allennlp.models.archival import load_archive
from allennlp.modules.token_embedders import ElmoTokenEmbedder
from allennlp.predictors import Predictor

from elmo_mf.plugin import ElmoMfTokenEmbedder

BATCHES = (1, 32)
ROUNDS = 3
_SCORE = 1e-4  # largest difference of a number in equal outputs


class Prediction:
    """`allennlp predict --use-dataset-reader` of one archive."""

    def __init__(self, archive: Path, data: Path) -> None:
        loaded = load_archive(archive)
        self._predictor = Predictor(loaded.model.eval(), loaded.validation_dataset_reader)
        self._reader: DatasetReader = loaded.validation_dataset_reader
        self._data = data
        self.stages: dict[str, float] = {}
        for module in loaded.model.modules():
            if isinstance(module, (ElmoTokenEmbedder, ElmoMfTokenEmbedder)):
                self._watch(module, "ELMo")
        self._watch(loaded.model, "the model with ELMo")

    def run(self, batch: int, examples: int) -> list[str]:
        """Predict the first examples in batches; `stages` has the seconds."""
        self.stages = {}
        lines: list[str] = []
        with self._timed("all"), self._watched(Batch, "index_instances"), self._watched(Batch, "as_tensor_dict"):
            instances = itertools.islice(self._read(), examples)
            while group := list(itertools.islice(instances, batch)):
                if len(group) == 1:
                    outputs = [self._predictor.predict_instance(group[0])]
                else:
                    outputs = self._predictor.predict_batch_instance(group)
                lines += [self._predictor.dump_line(output) for output in outputs]
        return lines

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each stage of the last run."""
        total, reading, encoder = (self.stages[name] for name in ("all", "reading", "ELMo"))
        indexing = self.stages["index_instances"] + self.stages["as_tensor_dict"]
        model = self.stages["the model with ELMo"]
        return {
            "reading": reading, "indexing": indexing, "ELMo": encoder, "task model": model - encoder,
            "output": total - reading - indexing - model,
        }  # fmt: skip

    def _read(self) -> Iterator[Instance]:
        instances = iter(self._reader.read(str(self._data)))
        while True:
            with self._timed("reading"):
                instance = next(instances, None)
            if instance is None:
                return
            yield instance

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.stages[stage] = self.stages.get(stage, 0.0) + time.perf_counter() - start

    def _watch(self, module: torch.nn.Module, stage: str) -> None:
        forward = module.forward

        def watched(*arguments: Any, **named: Any) -> Any:
            with self._timed(stage):
                return forward(*arguments, **named)

        module.forward = watched

    @contextmanager
    def _watched(self, owner: type, name: str) -> Iterator[None]:
        method: Callable[..., Any] = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            with self._timed(name):
                return method(*arguments, **named)

        with patch.object(owner, name, watched):
            yield


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("archives", type=Path, nargs="+")
    parser.add_argument("--examples", type=int, default=256, help="predict so many")
    options = parser.parse_args()
    import_plugins()
    predictions = [Prediction(archive, options.data) for archive in options.archives]
    json.dump([_measured(predictions, batch, options.examples) for batch in BATCHES], sys.stdout, indent=2)


def _measured(predictions: list[Prediction], batch: int, examples: int) -> dict[str, Any]:
    lines = [one.run(batch, examples) for one in predictions]  # warm, and to compare
    rounds: list[list[dict[str, float]]] = [[] for _ in predictions]
    for _ in range(ROUNDS):
        for one, seconds in zip(predictions, rounds, strict=True):
            one.run(batch, examples)
            seconds.append(one.seconds())
    totals = [[sum(seconds.values()) for seconds in of_one] for of_one in rounds]
    return {
        "batch": batch,
        "examples": len(lines[0]),
        "archives": [
            {
                "per_second": len(lines[0]) / statistics.median(totals[number]),
                "ratio": statistics.median(a / b for a, b in zip(totals[0], totals[number], strict=True)),
                "seconds": {stage: statistics.median(one[stage] for one in of_one) for stage in of_one[0]},
                "equal_outputs": sum(
                    same_output(*map(json.loads, pair)) for pair in zip(lines[0], lines[number], strict=True)
                ),
            }
            for number, of_one in enumerate(rounds)
        ],
    }


def same_output(one: Any, other: Any) -> bool:
    """Return whether two lines of output say the same, up to rounding and without the loss."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_output(one[key], other[key]) for key in one if key != "loss")
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_output, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= _SCORE * max(1.0, abs(one))
    return bool(one == other)


if __name__ == "__main__":
    main()
