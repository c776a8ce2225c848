"""Measure the speed of encoders and whole models in turns, and the memory of a process that runs one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from allennlp.data import Instance
from allennlp.models import Model
from pydantic import BaseModel, ConfigDict

from elmo_mf.acceleration._example_scores import reset_states
from elmo_mf.acceleration._load import LoadedModel
from elmo_mf.acceleration.search_settings import BATCHES
from elmo_mf.bench import interleaved
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.compression.calibration import CALIBRATION_TEXT, calibration_sentences
from elmo_mf.progress import track

_TEXT_TOKENS = 1500
_ROUNDS = 3


class Speed(BaseModel):
    """Time of a model's encoders and of the whole model by batch size, next to the original's in the same process.

    Attributes:
        batch: Number of sentences or examples in a batch.
        encoder_ms: Median time of a batch in the encoder, in milliseconds.
        encoder_ratio: Median of the original encoder's time divided by this one's.
        model_per_second: Examples per second of the whole model, from indexed characters to decoded output; None where
            there are no examples.
        model_ratio: Median of the original model's time divided by this one's.
    """

    model_config = ConfigDict(frozen=True)

    batch: int
    encoder_ms: float
    encoder_ratio: float
    model_per_second: float | None = None
    model_ratio: float | None = None


def speeds(
    original: LoadedModel, fast: LoadedModel, instances: Sequence[Instance] = (), seconds: float = 2.0
) -> list[Speed]:
    """Time a model's encoders, and the whole model on examples, in turns with the original's.

    Args:
        original: The model with AllenNLP's encoders.
        fast: The same model with others.
        instances: Examples for the whole model, of which the first 32 are used; none to time the encoders alone.
        seconds: Time for each batch size and kind, for at least three rounds. Defaults to 2.

    Returns:
        The times at each of the `BATCHES`.
    """
    measured = []
    with torch.inference_mode():
        for batch in track(BATCHES, "timing", "batch sizes"):
            theirs, ours = (_encoder_run(loaded, batch) for loaded in (original, fast))
            before, after = _times(theirs, ours, seconds)
            speed = Speed(
                batch=batch, encoder_ms=1000 * float(np.median(after)), encoder_ratio=float(np.median(before / after))
            )
            if instances:
                chosen = list(instances[: max(BATCHES)])
                theirs, ours = (_model_run(loaded.model, chosen, batch) for loaded in (original, fast))
                before, after = _times(theirs, ours, seconds)
                rate = {"model_per_second": len(chosen) / float(np.median(after))}
                speed = speed.model_copy(update=rate | {"model_ratio": float(np.median(before / after))})
            measured.append(speed)
    for loaded in (original, fast):
        reset_states(loaded.model)
    return measured


def vector_difference(original: LoadedModel, fast: LoadedModel, largest: bool) -> float:
    """Compare the vectors of a model's embedders with the original's on a sample of text.

    Args:
        original: The model with AllenNLP's encoders.
        fast: The same model with others.
        largest: Whether to return the largest difference of a number, instead of the norm of all differences relative
            to the norm of the original's vectors.

    Returns:
        The largest of the embedders' differences.
    """
    differences = []
    with torch.no_grad():
        for paths in original.embedders.values():
            ids = batch_to_ids(_sentences())
            theirs, ours = (loaded.model.get_submodule(paths[0])(ids) for loaded in (original, fast))
            difference = theirs - ours
            differences.append(float(difference.abs().max() if largest else difference.norm() / theirs.norm()))
    for loaded in (original, fast):
        reset_states(loaded.model)
    return max(differences)


def _sentences() -> list[list[str]]:
    return calibration_sentences(Path(CALIBRATION_TEXT), _TEXT_TOKENS)[: max(BATCHES)]


def _times(theirs: Callable[[], object], ours: Callable[[], object], seconds: float) -> tuple[np.ndarray, np.ndarray]:
    theirs(), ours()
    before, after = interleaved([theirs, ours], torch.device("cpu"), seconds, _ROUNDS)
    return before, after


def _encoder_run(loaded: LoadedModel, batch: int) -> Callable[[], object]:
    """Embed text by the first embedder of a model, in batches of a size."""
    embedder = loaded.model.get_submodule(next(iter(loaded.embedders.values()))[0])
    sentences = _sentences()
    chosen = [sentences[len(sentences) // 2]] if batch == 1 else sentences
    ids = batch_to_ids(chosen)
    return lambda: embedder(ids)


def _model_run(model: Model, instances: list[Instance], batch: int) -> Callable[[], object]:
    def run() -> None:
        for start in range(0, len(instances), batch):
            model.forward_on_instances(instances[start : start + batch])

    return run


def peak_memory(archive: Path, data: Path, packages: Sequence[str] = ()) -> int | None:
    """Return the peak resident memory in bytes of a process that loads an archive and predicts 32 examples, one by one.

    Args:
        archive: An archive that AllenNLP can load.
        data: A file that the archive's dataset reader reads.
        packages: Modules to import before.

    Returns:
        The bytes; None where the process fails, as for an archive whose files are elsewhere.
    """
    program = [sys.executable, "-c", _PROGRAM, json.dumps([str(archive), str(data), list(packages)])]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    return int(lines[-1]) * 1024 if done.returncode == 0 and lines else None


_PROGRAM = """
import itertools, json, sys
import elmo_mf
from allennlp.common.plugins import import_plugins
from allennlp.common.util import import_module_and_submodules
from allennlp.models.archival import load_archive
archive, data, packages = json.loads(sys.argv[1])
import_plugins()
import_module_and_submodules("elmo_mf.plugin")  # of the result
for package in packages:
    import_module_and_submodules(package)
loaded = load_archive(archive)
loaded.model.eval()
for instance in itertools.islice(loaded.validation_dataset_reader.read(data), 32):
    loaded.model.forward_on_instance(instance)
with open("/proc/self/status") as status:  # getrusage would say at least what the parent process had
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""
