"""Perplexity of the larger embedded ELMo at equal bytes: fewer parameters, fewer bits, or both.

From the project's root: `python -m docs.compression.equal_bytes TEXT RECORD`, with held-out text, one sentence a line.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elmo_mf import Bilm, Compression
from elmo_mf.io import write_json
from elmo_mf.pretrain.evaluate import evaluate
from elmo_mf.provenance import provenance
from elmo_mf.resources import base_elmo

SHARES = (None, 0.5, 0.25, 0.125, 0.0625)
DTYPES = ("float16", "int8")


def entries(text: Path) -> Iterator[dict[str, Any]]:
    """Store the encoder in each form, read it back, and measure it."""
    options, weights = base_elmo()
    for share in SHARES:
        compression = None if share is None else Compression(
            method="whitened_svd", targets="joint+projection", budget={"share": share}, highway_rank="budget"
        )  # fmt: skip
        bilm = Bilm.from_files(options, weights, compression=compression)
        for dtype in DTYPES:
            with tempfile.TemporaryDirectory() as folder:
                bilm.save(folder, dtype)
                stored = Path(folder) / "weights.hdf5"
                found = evaluate(Path(folder) / "options.json", stored, [text], beside=weights.parent)
                yield {"share": share, "dtype": dtype, "bytes": stored.stat().st_size, **found.to_dict()}


def main(text: Path, record: Path) -> None:
    """Write the record."""
    found = []
    for entry in entries(text):
        print(entry, flush=True)
        found.append(entry)
    write_json(record, {"stored": found, **provenance()})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
