"""Inputs of strangers, mutated: `python -m tests.fuzz`, and fewer of them among the tests.

Each reader gets thousands of files that are almost right. It must read them or raise `InputError` with one line: no
other exception, no input that takes longer than seconds, and no more memory than a checkpoint of that size needs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import hypothesis
import numpy as np
from hypothesis import HealthCheck, given, settings, strategies

from elmo_mf.bilm import BilmOptions, read_weights
from elmo_mf.compression import compress
from elmo_mf.compression.calibration import RowWeights, read_row_weights, write_row_weights
from elmo_mf.errors import InputError
from elmo_mf.records.record import read_record
from elmo_mf.resources import share
from elmo_mf.storage.numbers import CHECKSUM, checksum_of
from elmo_mf.tasks import SweepSpec, TaskConfig, expand, load_task
from elmo_mf.tasks._jsonnet import evaluate_jsonnet
from tests.conftest import random_bilm, raw_options
from tests.fuzz_files import file_targets
from tests.fuzz_records import read_and_report, signed_mutant
from tests.leaderboard.test_hostile import full

SECONDS = 10
MEGABYTES = 1500
Reader = Callable[[Path], object]
Input = tuple[str, bytes]

_ODD: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, 10**400, 1e308, -0.0, float("nan"), float("inf"), "", "x" * 5000, "\0", "\n",
    "../x", "/etc/passwd", [], {}, [[]], {"a": {}}, [1, "2"], "9" * 50, "\ud800",
]  # fmt: skip


def mutated_bytes(content: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, a piece left out, doubled or zeroed, or the end cut off."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        start, length = chance.randrange(len(data) + 1), chance.choice((1, 1, 4, 8, 64, 1000))
        kind = chance.randrange(6)
        if kind == 0:
            data[start : start + length] = chance.randbytes(min(length, len(data) - start))
        elif kind == 1:
            del data[start : start + length]
        elif kind == 2:
            data[start:start] = data[start : start + length]
        elif kind == 3:
            data[start : start + length] = bytes(len(data[start : start + length]))
        elif kind == 4 and start < len(data):
            data[start] ^= 1 << chance.randrange(8)
        elif kind == 5 and chance.random() < 0.2:
            del data[start:]
    return bytes(data)


def mutated_json(value: Any, chance: random.Random) -> Any:
    """A copy in which one thing somewhere is missing, another, or odd."""
    value = json.loads(json.dumps(value))
    places = list(_places(value))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        holder, key = chance.choice(places)
        kind = chance.randrange(4)
        try:
            if kind == 0:
                del holder[key]
            elif kind == 1 and isinstance(holder, dict):
                holder[chance.choice(("x", "", "run", "../a"))] = chance.choice(_ODD)
            else:
                holder[key] = chance.choice(_ODD) if kind == 2 else json.loads(json.dumps(chance.choice(places)[0]))
        except (KeyError, IndexError):  # gone already
            pass
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


_BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)
"""What h5py raises of a file that is broken already, and stays as it is."""


def sign(path: Path, chance: random.Random) -> None:
    """Give every other checkpoint the checksums of its mutated numbers, so that what is behind those is reached."""
    if chance.random() < 0.5:
        return
    with contextlib.suppress(*_BROKEN), h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        for name in names:
            with contextlib.suppress(*_BROKEN):
                dataset = file[name]
                if CHECKSUM in dataset.attrs and dataset.size < 1 << 20:
                    dataset.attrs[CHECKSUM] = np.bytes_(checksum_of(dataset[()]))


def signed_bytes(content: bytes) -> Callable[[Path, random.Random], None]:
    def make(path: Path, chance: random.Random) -> None:
        path.write_bytes(mutated_bytes(content, chance))
        sign(path, chance)

    return make


def _text(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


class Weights:
    """A tiny checkpoint: bytes of the file mutated, or datasets replaced by odd ones."""

    def __init__(self, folder: Path, factored: bool) -> None:
        self.options = BilmOptions.from_dict(raw_options())
        bilm = random_bilm()
        if factored:
            from elmo_mf.records import Compression

            bilm = type(bilm)(
                bilm.options, compress(bilm.weights(), bilm.options, Compression(method="svd", rank=2, targets="all"))
            )
        bilm.save(folder)
        self.content = (folder / "weights.hdf5").read_bytes()

    def make(self, path: Path, chance: random.Random) -> None:
        path.write_bytes(self.content if chance.random() < 0.4 else mutated_bytes(self.content, chance))
        if chance.random() < 0.7:
            with contextlib.suppress(*_BROKEN), h5py.File(path, "r+") as file:
                self._replace(file, chance)
        sign(path, chance)

    def _replace(self, file: h5py.File, chance: random.Random) -> None:
        names: list[str] = []
        file.visit(names.append)
        name = chance.choice(names)
        shape = getattr(file[name], "shape", (2,))
        del file[name]
        kind = chance.randrange(9)
        huge = (*shape[:-1], 1 << chance.choice((20, 30, 40)))
        if kind == 0:
            file[name] = h5py.ExternalLink("/etc/passwd", "x")
        elif kind == 1:
            file[name] = h5py.SoftLink(chance.choice(names))
        elif kind == 2:
            file.create_dataset(name, huge, "f4", chunks=True)
        elif kind == 3:
            file.create_dataset(name, huge, "f4", chunks=True, compression="gzip")[..., :10] = 1
        elif kind == 4:
            file.create_dataset(name, data=np.full(shape, np.nan, "f4"))
        elif kind == 5:
            file.create_dataset(name, shape, chance.choice(("f8", "i4", "S9", "c8", h5py.string_dtype())))
        elif kind == 6:
            layout = h5py.VirtualLayout(shape, "f4")
            layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape)
            file.create_virtual_dataset(name, layout)
        elif kind == 7:
            file.create_dataset(name, shape, "f4", external=[("/etc/passwd", 0, 1000)])
        else:
            file.create_group(name)


class Target:
    """A reader with what makes its inputs."""

    def __init__(self, suffix: str, make: Callable[[Path, random.Random], None], read: Reader) -> None:
        self.suffix, self.make, self.read = suffix, make, read


def _json_or_bytes(value: Any) -> Callable[[Path, random.Random], None]:
    def make(path: Path, chance: random.Random) -> None:
        changed = _text(mutated_json(value, chance))
        path.write_bytes(mutated_bytes(changed, chance) if chance.random() < 0.3 else changed)

    return make


def _bytes(content: bytes) -> Callable[[Path, random.Random], None]:
    def make(path: Path, chance: random.Random) -> None:
        path.write_bytes(mutated_bytes(content, chance))

    return make


def _json(value: Any) -> Callable[[Path, random.Random], None]:
    def make(path: Path, chance: random.Random) -> None:
        path.write_bytes(_text(mutated_json(value, chance)))

    return make


def _task_config(path: Path) -> object:
    """As a task config in its own folder, whose config need not be there."""
    folder = path.parent / "tasks" / "sst"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_bytes(path.read_bytes())
    return TaskConfig.from_file(folder / "task.toml")


SWEEP = {
    "tasks": ["sst"],
    "methods": ["svd"],
    "targets": ["all", "input+recurrent"],
    "ranks": [2, 4],
    "seeds": [1],
    "compressions": [{"method": "whitened_svd", "budget": {"parameters": 161792}, "targets": "joint+projection"}],
    "limit": {"sst": {"train": 5}, "snli": 3},
    "overrides": {"sst": {"trainer.num_epochs": 5}},
    "preset": "demo",
    "latency_sentences": 2,
    "latency_rounds": 1,
    "cache_mb": 10,
}


OPTIONS = raw_options() | {
    "elmo_mf": {
        "compressions": [{"method": "svd", "rank": 2, "targets": ["input"], "layers": [0], "directions": "all"}]
    }
}


def targets(folder: Path) -> dict[str, Target]:
    dense, factored = Weights(folder / "dense", False), Weights(folder / "factored", True)
    weights = random_bilm().weights()
    gradients = folder / "g.hdf5"
    lengths = {"input": 48, "recurrent": 48, "projection": 6}
    rows = {(*key, target): np.ones(length) for key in weights.lstms for target, length in lengths.items()}
    write_row_weights(gradients, RowWeights(rows), {"task": "sst"})

    def sweep(path: Path) -> object:
        return expand(SweepSpec.from_value(json.loads(path.read_bytes()), str(path)))

    demo = (share() / "jsonnet" / "sweeps" / "demo.jsonnet").read_bytes()
    targets = {
        "weights": Target("hdf5", dense.make, lambda path: read_weights(path, dense.options)),
        "factored": Target("hdf5", factored.make, lambda path: read_weights(path, factored.options)),
        "gradients": Target("hdf5", signed_bytes(gradients.read_bytes()), lambda path: read_row_weights(path, weights)),
        "options": Target("json", _json_or_bytes(OPTIONS), BilmOptions.from_file),
        "records": Target("json", _json_or_bytes(full()), read_record),
        "reports": Target("json", signed_mutant(mutated_json), read_and_report),
        "task-configs": Target("toml", _bytes((share() / "tasks" / "sst" / "task.toml").read_bytes()), _task_config),
        "sweeps": Target("json", _json(SWEEP), sweep),
        "jsonnet": Target("jsonnet", _bytes(demo), evaluate_jsonnet),
        **file_targets(folder, mutated_bytes, mutated_json),
    }  # fmt: skip
    for name in ("sst", "snli", "squad"):
        task = load_task(name)
        task.format.cut(task.demo_data / task.files["train"], folder / name, 10)
        targets[name] = Target("data", _bytes((folder / name).read_bytes()), task.format.read)
    return targets


class Hang(BaseException):
    """An input took too long."""


def _too_long(*_: object) -> None:
    raise Hang


def fuzz(target: Target, examples: int, seed: int, folder: Path) -> dict[str, int]:
    """How many inputs were read and how many refused; Hypothesis chooses them, and reduces one that fails.

    Raises:
        AssertionError: something else happened; the input stays in `folder`.
    """
    counts = {"read": 0, "refused": 0}
    path = folder / f"input.{target.suffix}"

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=False, suppress_health_check=list(HealthCheck)
    )
    @given(strategies.randoms(use_true_random=True))
    def check(chance: random.Random) -> None:
        path.unlink(missing_ok=True)
        target.make(path, chance)
        signal.alarm(SECONDS)
        try:
            target.read(path)
            counts["read"] += 1
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 2000, str(error)
            counts["refused"] += 1
        except (Exception, Hang) as error:
            raise AssertionError(f"{path}: {type(error).__name__}: {error}") from error
        finally:
            signal.alarm(0)

    signal.signal(signal.SIGALRM, _too_long)
    check()
    return counts


def limit_memory() -> None:
    """So much more than there is now; a child may lift the limit for itself."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEGABYTES * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def fuzz_all(
    known: dict[str, Target], examples: dict[str, int], seed: int, folder: Path
) -> Iterator[tuple[str, dict[str, int]]]:
    """Limit the memory of this process, and fuzz the readers of these names; yields each one's counts."""
    limit_memory()
    for name, most in examples.items():
        yield name, fuzz(known[name], most, seed, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", help="A name, or `name=examples`. All by default.")
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="Where the input stays that something happened with.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        known = targets(folder)
        wanted = [name.partition("=") for name in arguments.target or known]
        examples = {name: int(most or arguments.examples) for name, _, most in wanted}
        for name, counts in fuzz_all(known, examples, arguments.seed, folder):
            print(name, counts, flush=True)
