"""Memory of an encoder by the precision of its weights, with and without float32 numbers beside them.

From the project's root, on Linux: `python -m docs.compression.memory RECORD`.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from elmo_mf import Bilm
from elmo_mf.bench import published_options
from elmo_mf.bilm.initialization import random_weights
from elmo_mf.io import write_json
from elmo_mf.provenance import provenance
from elmo_mf.resources import base_elmo, demo_options

SENTENCES = [["The", "keeper", "of", "the", "light", "had", "not", "been", "paid", "."] * 2] * 32
FORMS = [("float32", True), ("bfloat16", True), ("bfloat16", False), ("int8", True), ("int8", False)]
"""Precisions, and whether the weights are kept in float32 too."""


def megabytes() -> float:
    """Return this process's memory without pages of files, which the system may drop at any time."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon:"))) * 1024 / 1e6


def settled_megabytes() -> float:
    """Return it after freed memory has been returned to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return megabytes()


@contextmanager
def sampled() -> Iterator[list[float]]:
    """Collect `megabytes` in intervals of a millisecond."""
    samples, done = [megabytes()], Event()

    def sample() -> None:
        while not done.wait(0.001):
            samples.append(megabytes())

    thread = Thread(target=sample)
    thread.start()
    yield samples
    done.set()
    thread.join()


def measured(folder: str, precision: Any, keep_float32: bool) -> dict[str, float]:
    """Return the MB that loading takes at most, and that are there after batches of 1 and 32 sentences."""
    Bilm.from_files(demo_options().parent, precision=precision, keep_float32=keep_float32).embed(SENTENCES)
    before = settled_megabytes()
    with sampled() as samples:
        bilm = Bilm.from_files(folder, precision=precision, keep_float32=keep_float32)
    for batch in (1, len(SENTENCES)):
        bilm.embed(SENTENCES[:batch], batch)
    return {"loading_mb": round(max(samples) - before, 1), "resident_mb": round(settled_megabytes() - before, 1)}


def in_child(*arguments: object) -> dict[str, float]:
    """Call `measured` in a process of its own."""
    command = [sys.executable, "-m", "docs.compression.memory", "--child", json.dumps(arguments)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return result


def save(elmo: str, folder: Path) -> None:
    """Write the embedded ELMo, or one of random weights of a published size, in float32 and in int8."""
    if elmo == "base":
        bilm = Bilm.from_files(*base_elmo())
    else:
        options = published_options(elmo)
        bilm = Bilm(options, random_weights(options, seed=0))
    for stored in ("float32", "int8"):
        bilm.save(folder / stored, stored)


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Measure each form of each ELMo."""
    for elmo in ("base", "original"):
        save(elmo, folder / elmo)
        for stored in ("float32", "int8"):
            for precision, keep_float32 in FORMS:
                form = {"elmo": elmo, "stored": stored, "precision": precision, "keep_float32": keep_float32}
                yield form | in_child(str(folder / elmo / stored), precision, keep_float32)


def main(record: Path) -> None:
    """Measure all forms and write the record."""
    with tempfile.TemporaryDirectory() as temporary:
        found = []
        for row in rows(Path(temporary)):
            print(row, flush=True)
            found.append(row)
    write_json(record, {"memory": found, **provenance().to_dict()})


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        print(json.dumps(measured(*json.loads(sys.argv[2]))))
    else:
        main(Path(sys.argv[1]))
