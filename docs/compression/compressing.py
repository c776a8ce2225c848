"""Time and memory that compressing an ELMo of the original size takes, with random weights, which change neither.

From the project's root, on Linux: `python -m docs.compression.compressing RECORD`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from elmo_mf import Bilm
from elmo_mf.bench import published_options
from elmo_mf.bilm.initialization import random_weights
from elmo_mf.io import write_json
from elmo_mf.provenance import provenance

SETTINGS = [
    "--method", "whitened_svd", "--targets", "joint+projection", "--budget", "10%", "--highway-rank", "budget",
]  # fmt: skip


def main(record: Path) -> None:
    """Run `elmo-mf compress` once, and write the record."""
    with tempfile.TemporaryDirectory() as temporary:
        options = published_options("original")
        Bilm(options, random_weights(options, seed=0)).save(f"{temporary}/elmo")
        started = time.perf_counter()
        command = [sys.executable, "-m", "elmo_mf", "compress", f"{temporary}/elmo", *SETTINGS]
        subprocess.run([*command, "--out", f"{temporary}/small"], check=True)
        seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        report = json.loads(Path(temporary, "small", "report.json").read_text())
    measured = {
        "settings": SETTINGS,
        "seconds": round(seconds, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss * 1024 / 1e6),
        "activation_error": report["activation_error"],
        "ranks": {f"{one['direction']} {one['layer']} {one['target']}": one["rank"] for one in report["matrices"]},
    }
    write_json(record, {"compressing": measured, **provenance().to_dict()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
