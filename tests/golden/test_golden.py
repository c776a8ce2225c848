"""Golden values: what the encoder, every method and every training compute, held to one part in ten thousand.

Each array is compared by signed random projections, so that flipped signs and permuted units are seen. A failure here
is no fault by itself: who means the change raises the version that the message names, so that recorded runs are run
again, and writes the new values with `python -m tests.golden.test_golden`. Values are written only where they are new
or where their version was raised; delete an entry of `vectors.json` to have it written all the same.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from inspect import getfile
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import pytest
import torch
from scipy.linalg import toeplitz
from threadpoolctl import threadpool_limits

from elmo_mf import Bilm, Compression
from elmo_mf.bilm import encoder
from elmo_mf.bilm.runtime import supports
from elmo_mf.cli.main import main
from elmo_mf.compression import _cells_in_budget, _in_order, apply, cells, method_named, method_names
from elmo_mf.compression.recovery import distillation
from elmo_mf.plugin import language_text, sst_phrases, tokenizer
from elmo_mf.pretrain import _train as pretrain
from elmo_mf.records import Measurements
from elmo_mf.resources import base_elmo
from elmo_mf.tasks import (
    SweepSpec,
    TaskWork,
    _bilm_gradients,
    _bilm_run,
    _chance,
    _finetuning,
    _language_model_gradients,
    _run_data,
    _shuffled,
    _task_gradients,
    _trained_model,
    _training,
    _word_overlap,
    _words_run,
    expand,
)
from elmo_mf.tasks.formats import FORMATS
from elmo_mf.tasks.probe import classifier, examples, features, words
from tests.conftest import ROOT, small_data
from tests.golden.task_entries import TASK_ENTRIES, Arrays, floats, trained_by_allennlp

# the module whose VERSION an entry's values are of, by the first part of its name; methods and formats have their own
MODULES: dict[str, ModuleType] = {
    "encoder": encoder,
    "compression": apply,
    "distillation": distillation,
    "in-order": _in_order,
    "memory-cells": cells,
    "memory-cells-in-budget": _cells_in_budget,
    "pretraining": pretrain,
    "task": _training,
    "gradients": _task_gradients,
    "own-gradients": _bilm_gradients,
    "language-model": _training,
    "language-model-gradients": _language_model_gradients,
    "finetuning": _finetuning,
    "tuned": _trained_model,
    "shuffled": _shuffled,
    "words": words,
    "word-overlap": _word_overlap,
    "words-run": _words_run,
    "probe": classifier,
    "probe-examples": examples,
    "probe-features": features,
    "sst-phrases": sst_phrases,
    "language-text": language_text,
    "tokenizer": tokenizer,
    "bilm": _bilm_run,
    "run-data": _run_data,
    "chance": _chance,
}

# of the norm of an array: rounding differs between processors (AVX2, AVX-512) and between versions of Python
TOLERANCE = 1e-4
# Adam's steps divide gradients by their own size, so that it makes much of the rounding of those that are almost zero
LOOSER = {
    "distillation": 1e-3,
    "pretraining": 1e-3,
    # they solve equations that inputs determine badly; in order, each later one has the inputs that the others leave
    "in-order": 5e-3,
    "memory-cells": 2e-3,
    "memory-cells-in-budget": 1e-3,
    # a number that is between two of bfloat16 or int8 may be rounded to the other, as 2e-3 and more of float32 are
    "encoder: bfloat16": 5e-4,
    "encoder: int8": 5e-4,
    "task: padded LSTM, bfloat16": 5e-4,
    # L-BFGS stops at another step; what it is fitted on has entries of its own
    "probe: text": 1e-3,
    "probe: pair": 1e-3,
    "probe: word": 3e-2,
}

_FILE = Path(__file__).with_name("vectors.json")
_PROJECTIONS = 24
_ELMO = ROOT / "weights/demo/options.json", ROOT / "weights/demo/weights.hdf5"
_SENTENCES = [["The", "film", "is", "a", "quiet", "delight", "."], ["Nobody", "laughed"], ["Unfathomably", "dull", "!"]]


# processors that lack the instructions of a precision compute in float32, as another entry does
IN_FLOAT32 = {
    "encoder: bfloat16": "encoder: zero",
    "encoder: int8": "encoder: zero",
    "task: padded LSTM, bfloat16": "task: padded LSTM",
}


# --- arrays to compare


def _signs(size: int) -> np.ndarray:
    """(_PROJECTIONS, size) of 1 and -1, from raw bits, which NumPy promises to keep."""
    raw = np.random.PCG64(size).random_raw(-(-size * _PROJECTIONS // 64)).astype("<u8")
    return np.unpackbits(raw.view(np.uint8))[: size * _PROJECTIONS].reshape(_PROJECTIONS, size).astype(np.int8) * 2 - 1


def fingerprint(array: np.ndarray) -> list[float]:
    """The norm of an array and its projections; of a small one its values in place of these."""
    flat = np.asarray(array, dtype=np.float64).ravel()
    assert flat.size and np.isfinite(flat).all()
    values = flat if flat.size < _PROJECTIONS else np.array([signs @ flat for signs in _signs(flat.size)])
    return [float(f"{value:.8g}") for value in (np.linalg.norm(flat), *values)]


def change(computed: list[float], stored: list[float]) -> float:
    """How far an array is from the stored one, about |difference| / |stored|, from their fingerprints."""
    if len(computed) != len(stored):
        return np.inf
    difference = np.array(computed[1:]) - stored[1:]
    projections = len(difference) if len(difference) == _PROJECTIONS else 1
    return float(np.linalg.norm(difference) / projections**0.5 / (stored[0] or 1))


def _datasets(path: Path) -> Arrays:
    arrays: Arrays = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, one: arrays.update({name: one[()]} if isinstance(one, h5py.Dataset) else {}))
    return arrays


def _changed(computed: Arrays, before: Arrays) -> Arrays:
    """What the arrays have changed by, where they have."""
    changes = {name: array.astype(np.float64) - before[name] for name, array in computed.items()}
    return {name: array for name, array in changes.items() if array.any()}


def _command(*arguments: object) -> None:
    """A command of elmo-mf in this process."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = main([str(argument) for argument in arguments])
    assert status == 0, output.getvalue()


def _head(file: str, lines: int, target: Path) -> Path:
    """The first lines of a file of the checkout."""
    target.parent.mkdir(parents=True, exist_ok=True)
    text = (ROOT / file).read_text(encoding="utf-8").splitlines(keepends=True)
    target.write_text("".join(text[:lines]), encoding="utf-8")
    return target


# --- entries


def _encoder(folder: Path, compression: Compression | None = None, **how: Any) -> Arrays:
    """Each layer, of sentences in batches of two: the third starts where `carried` came to."""
    vectors = Bilm.from_files(*_ELMO, compression, **how).embed(_SENTENCES, batch_size=2)
    return {f"layer {k}": layer for k, layer in enumerate(np.concatenate(vectors, axis=1))}


def _compressed(folder: Path, options: Sequence[object]) -> Arrays:
    """All arrays after a compression, in the official layout, with the products of factors in their place."""
    text = _head("tasks/ptb/demo/test.txt", 8, folder / "text.txt")
    _command("compress", *_ELMO, "--dense", "--calibration", text, *options, "--out", folder / "out")
    return _datasets(folder / "out/weights.hdf5")


def _compression(folder: Path, options: Sequence[object]) -> Arrays:
    """Those that it changes."""
    computed = _compressed(folder, options)
    return {name: computed[name] for name in _changed(computed, _datasets(_ELMO[1]))}


_PART = "--layers=1", "--directions=backward"


def _method(folder: Path, name: str, settings: Sequence[str] = ()) -> Arrays:
    """The backward second layer's matrices by a method, with some row weights or other."""
    options: list[object] = ["--rank=8", "--method", name, *(f"--setting={one}" for one in settings), *_PART]
    if method_named(name).takes_gradients:
        options += ["--gradients", _gradient_file(folder)]
    return _compression(folder, options)


def _by_loss(folder: Path) -> Arrays:
    """A budget by the loss that the gradients predict."""
    options = "--method=kfac_svd", "--budget=10%", "--allocation=loss", "--gradients", _gradient_file(folder)
    return _compression(folder, options)


def _fewer_cells(folder: Path) -> Arrays:
    """The biLSTM without the memory cells that the loss needs least."""
    computed = _compressed(folder, ("--cells=384", "--gradients", _gradient_file(folder)))
    return {name: array for name, array in computed.items() if name.startswith("RNN")}


def _cells_in_a_budget(folder: Path) -> Arrays:
    """The predicted losses of the numbers of memory cells from which a budget chooses.

    Which cells are kept is not determined well enough to be compared between processors.
    """
    options = "--method=svd", "--targets=joint+projection", "--budget=12.5%", "--cells=budget"
    predicted, losses = _cells_in_budget.predicted_losses, dict[int, float]()

    def keep(*known: Any) -> dict[int, float]:
        losses.update(predicted(*known))
        return losses

    with patch.object(_cells_in_budget, "predicted_losses", keep):
        _compressed(folder, (*options, "--gradients", _gradient_file(folder)))
    return {"cells": np.array(list(losses), float), "losses": np.array(list(losses.values()))}


def _gradient_file(folder: Path) -> Path:
    """Row weights, and output covariances that fall with the distance between two outputs."""
    file = folder / "gradients.hdf5"
    with h5py.File(file, "w") as gradients:
        for direction, layer in itertools.product(("forward", "backward"), (0, 1)):
            for target, rows in (("input", 2048), ("recurrent", 2048), ("projection", 64)):
                gradients[f"{direction}/{layer}/{target}"] = np.arange(rows) % 7 + 0.5
            for outputs, rows in (("gates", 2048), ("projection", 64)):
                spread = np.sqrt(np.arange(rows) % 7 + 0.5 + layer)
                covariance = spread[:, None] * toeplitz(0.9 ** np.arange(rows)) * spread
                gradients[f"{direction}/{layer}/{outputs}_covariance"] = covariance.astype(np.float32)
    return file


def _distillation(folder: Path, options: Sequence[object], sentences: int, steps: int) -> Arrays:
    """What a few steps change a factorization by."""
    text = _head("tasks/ptb/demo/train.txt", sentences, folder / "sentences.txt")
    plain = _compressed(folder / "plain", options)
    return _changed(_compressed(folder / "tuned", [*options, "--distill", text, "--distill-steps", steps]), plain)


def _pretraining(folder: Path, options: Sequence[object]) -> Arrays:
    """Weights and held-out perplexities of a small model after some steps."""
    texts = [_head(f"tasks/ptb/demo/{name}.txt", 40, folder / f"{name}.txt") for name in ("train", "valid")]
    sizes = "--cell=16", "--projection=8", "--batch-tokens=128", "--min-count=1", "--epochs=2", "--dtype=float32"
    _command("pretrain", texts[0], "--valid", texts[1], "--out", folder / "out", *sizes, *options)
    arrays = _datasets(folder / "out/weights.hdf5") | _datasets(folder / "out/softmax.hdf5")
    record = json.loads((folder / "out/pretrain.json").read_text())
    perplexities = [epoch[way] for epoch in record["perplexity_by_epoch"] for way in ("forward", "backward")]
    return floats(arrays) | {"perplexities": np.array(perplexities)}


def _sst(folder: Path) -> Path:
    small_data("sst", folder / "data/sst", 24)
    return folder / "data"


def _gradients(folder: Path) -> Arrays:
    """Gradients of a model of SST in the embedded ELMo."""
    sweep = folder / "sweep.json"
    sweep.write_text(json.dumps({"overrides": {"sst": {"trainer.num_epochs": 3}}}))
    _command("gradients", "sst", folder / "out.hdf5", "--sweep", sweep, "--data", _sst(folder))
    return _thinned(_datasets(folder / "out.hdf5"))


def _own_gradients(folder: Path) -> Arrays:
    """Gradients of the larger embedded ELMo's own loss."""
    options, weights = base_elmo()
    elmo = "--options", options, "--weights", weights
    _command("gradients", "wikitext2-bilm", folder / "out.hdf5", *elmo, "--limit", 12)
    return _thinned(_datasets(folder / "out.hdf5"))


def _thinned(arrays: Arrays) -> Arrays:
    """Of each covariance, every 40th row and column."""
    return {name: array[::40, ::40] if array.ndim == 2 else array for name, array in arrays.items()}


def _language_model(folder: Path) -> Arrays:
    """A dense AWD-LSTM's weights, averaged in the end, and its perplexities."""
    for name in ("train", "valid", "test"):
        _head(f"tasks/ptb/demo/{name}.txt", 60, folder / f"data/ptb/{name}.txt")
    overrides = {
        "model.embedding_dim": 16,
        "model.hidden_size": 24,
        "model.softmax_samples": 20,
        "data_loader.batch_size": 4,
        "trainer.num_epochs": 7,
        "trainer.optimizer.lr": 12,
        "trainer.callbacks": [{"type": "nt_asgd", "patience": 1}],  # begins to average after five
    }
    spec = SweepSpec.from_file(
        None, tasks=["ptb"], methods=[], data=str(folder / "data"), overrides={"ptb": overrides},
        latency_sentences=1, latency_rounds=1,
    )  # fmt: skip
    (run,) = expand(spec)
    result = TaskWork(spec)(run, folder / "out", lambda _: None)
    measurements = result.measured
    assert isinstance(measurements, Measurements), result.error
    perplexities = np.array([measurements.validation["perplexity"], measurements.scores["perplexity"]])
    (weights,) = (folder / "out").rglob("weights.th")
    arrays = {name: one.numpy() for name, one in torch.load(weights, weights_only=True).items()}
    return {"dense: perplexities": perplexities, **floats(arrays)}


ENTRIES: dict[str, Callable[[Path], Arrays]] = {
    "encoder: zero": _encoder,
    "encoder: carried": partial(_encoder, state="carried"),
    "encoder: primed": partial(_encoder, state="primed"),
    "encoder: factored": partial(_encoder, compression=Compression(method="svd", rank=8, targets="joint+projection")),
    "encoder: bfloat16": partial(_encoder, precision="bfloat16"),
    "encoder: int8": partial(_encoder, precision="int8"),
    **{f"method: {name}": partial(_method, name=name) for name in method_names()},
    "method: nmf, shifted": partial(_method, name="nmf", settings=("form=shift", "iterations=5")),
    "method: semi_nmf, on the left, from clusters": partial(
        _method, name="semi_nmf", settings=("nonnegative=left", "start=kmeans", "iterations=5")
    ),
    "method: semi_nmf, from random numbers": partial(
        _method, name="semi_nmf", settings=("nonnegative=left", "start=random", "iterations=5")
    ),
    "compression: joint": partial(_compression, options=("--rank=8", "--targets=joint", *_PART)),
    "compression: by gate": partial(_compression, options=("--rank=8", "--granularity=gate", *_PART)),
    "compression: budget": partial(_compression, options=("--budget=10%", "--method=whitened_svd")),
    "compression: budget by matrices": partial(_compression, options=("--budget=10%", "--allocation=matrices")),
    "compression: budget by loss": _by_loss,
    "in-order: joint": partial(
        _compression, options=("--rank=8", "--method=whitened_svd", "--targets=joint+projection", "--inputs=compressed")
    ),
    "memory-cells: by loss": _fewer_cells,
    "memory-cells-in-budget: the demo": _cells_in_a_budget,
    "compression: highways": partial(_compression, options=("--highway-rank=8",)),
    "distillation: svd": partial(_distillation, options=("--rank=8",), sentences=100, steps=2),  # three batches
    "distillation: prune": partial(_distillation, options=("--rank=8", "--method=prune"), sentences=12, steps=3),
    "pretraining: adaptive": partial(_pretraining, options=("--warmup=0.3", "--dropout=0.1")),
    "pretraining: sampled, stateful": partial(
        _pretraining, options=("--softmax=sampled", "--stateful", "--schedule=linear", "--accumulate=2")
    ),
    "pretraining: full, low-rank": partial(_pretraining, options=("--softmax=full", "--schedule=cosine", "--rank=3")),
    "task: sst": partial(trained_by_allennlp, task="sst"),
    "gradients: sst": _gradients,
    "own-gradients: wikitext2": _own_gradients,
    "language-model: ptb": _language_model,
    **TASK_ENTRIES,
}


# --- the test


def _part(entry: str) -> str:
    return entry.partition(":")[0]


def _owner(entry: str) -> Any:
    """The module or class whose VERSION the values of an entry are of."""
    part, _, name = entry.partition(": ")
    if part == "method":
        return type(method_named(name.partition(",")[0]))
    return type(FORMATS[name]) if part == "format" else MODULES[part]


def _file(entry: str) -> str:
    return str(Path(getfile(_owner(entry))).relative_to(ROOT))


def _version(entry: str) -> tuple[str, int]:
    """How to call the version of an entry, and its number."""
    return f"VERSION in {_file(entry)}", _owner(entry).VERSION


def _recorded_as(entry: str) -> str | None:
    """The entry with the values of this processor; None for one with int8 and without bfloat16, or the reverse."""
    if entry not in IN_FLOAT32:
        return entry
    if entry == "encoder: int8" and supports("int8") != supports("bfloat16"):
        return None
    is_of_training = entry.startswith("task")
    rounds = torch.ops.mkldnn._is_mkldnn_bf16_supported() if is_of_training else supports("bfloat16")
    return entry if rounds else IN_FLOAT32[entry]


def _fingerprints(entry: str, folder: Path) -> dict[str, list[float]]:
    with threadpool_limits(1):
        return {name: fingerprint(array) for name, array in ENTRIES[entry](folder).items()}


def _differences(entry: str, computed: dict[str, list[float]], stored: dict[str, list[float]]) -> list[str]:
    """A line for each array that has changed."""
    most, lines = LOOSER.get(entry, LOOSER.get(_part(entry), TOLERANCE)), []
    for name in sorted(computed.keys() | stored.keys()):
        if name not in computed or name not in stored:
            lines.append(f"{name}: {'new' if name in computed else 'gone'}")
        elif (by := change(computed[name], stored[name])) > most:
            lines.append(f"{name}: changed by {by:.1e} of its norm, expected at most {most:.0e}")
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_values(entry: str, tmp_path: Path) -> None:
    stored = json.loads(_FILE.read_text(encoding="utf-8")).get(entry)
    name, version = _version(entry)
    write = "write its values with `python -m tests.golden.test_golden`"
    assert stored is not None, f"{entry!r} is new: {write}"
    assert stored["version"] == version, f"{name} is {version} and {entry!r} is of {stored['version']}: {write}"
    recorded = _recorded_as(entry)
    if recorded is None:
        pytest.skip("no values are recorded for such processors")
    stored = json.loads(_FILE.read_text(encoding="utf-8"))[recorded]
    lines = _differences(entry, _fingerprints(entry, tmp_path), stored["arrays"])
    changes = "\n  ".join(lines)
    assert not lines, (
        f"{entry!r} has changed:\n  {changes}\nIf that is meant, raise {name} and then {write}. "
        "Where entries of what it builds on have changed too, raise the versions of those alone."
    )


def test_every_version_has_an_entry() -> None:
    versioned = re.compile(r"^ *VERSION = \d+$", re.MULTILINE)
    files = [path for path in (ROOT / "elmo_mf").rglob("*.py") if versioned.search(path.read_text(encoding="utf-8"))]
    assert {str(path.relative_to(ROOT)) for path in files} == set(map(_file, ENTRIES))


def test_no_entry_is_left_over() -> None:
    assert json.loads(_FILE.read_text(encoding="utf-8")).keys() == ENTRIES.keys()


_CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "signs": lambda array: -array,
    "units": lambda array: array[:, ::-1],
    "rows": lambda array: array[::-1],
    "scale": lambda array: array * 1.001,
    "one sign": lambda array: np.where(array == array[3, 5], -array, array),
}


@pytest.mark.parametrize("name", _CHANGES)
@pytest.mark.parametrize("shape", [(30, 20), (4, 6), (4, 7)])
def test_fingerprints_tell_how_far(name: str, shape: tuple[int, int]) -> None:
    """About as far as the arrays are from each other; and rounding is next to nothing."""
    array = np.random.default_rng(0).normal(size=shape)
    other, stored = _CHANGES[name](array), fingerprint(array)
    expected = np.linalg.norm(other - array) / np.linalg.norm(array)
    assert change(fingerprint(other), stored) == pytest.approx(expected, rel=0.5)
    assert change(fingerprint(array.astype(np.float32)), stored) < 1e-6


def write_values() -> int:
    """Write what is new or of another version; the exit status is 1 where values changed and their version did not."""
    before = json.loads(_FILE.read_text(encoding="utf-8")) if _FILE.exists() else {}
    after: dict[str, dict[str, Any]] = {}
    refused = 0
    for entry in ENTRIES:
        (name, version), stored = _version(entry), before.get(entry)
        if stored is not None and _recorded_as(entry) != entry:
            after[entry] = stored
            continue
        with tempfile.TemporaryDirectory() as folder:
            computed = _fingerprints(entry, Path(folder))
        if stored is not None and (lines := _differences(entry, computed, stored["arrays"])) == []:
            computed = stored["arrays"]
        elif stored is not None and stored["version"] == version:
            print(f"{entry}: not written: raise {name}", *lines, sep="\n  ")
            computed, refused = stored["arrays"], refused + 1
        else:
            print(f"{entry}: written")
        after[entry] = {"version": version, "arrays": computed}
    text = json.dumps(after, indent=1)  # an array a line
    for values in (values for one in after.values() for values in one["arrays"].values()):
        text = text.replace(json.dumps(values, indent=1).replace("\n", "\n   "), json.dumps(values))
    _FILE.write_text(text + "\n", encoding="utf-8")
    return min(1, refused)


if __name__ == "__main__":
    sys.exit(write_values())
