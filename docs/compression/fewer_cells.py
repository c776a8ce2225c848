"""Perplexity and speed of the larger embedded ELMo with fewer memory cells, dense and at low rank.

From the project's root: `python -m docs.compression.fewer_cells TEXT CALIBRATION FOLDER RECORD`, with the texts of
`equal_bytes.py`. The encoders stay in the folder, where `rounding.py` reads them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from docs.compression.equal_bytes import HIGHWAY_RANKS, stored_form, write_gradients
from elmo_mf import Bilm, Compression
from elmo_mf.bench import interleaved
from elmo_mf.bilm import BilmOptions, read_weights
from elmo_mf.bilm.packing import Packing
from elmo_mf.compression import size_report
from elmo_mf.compression.cells import remove_cells
from elmo_mf.io import write_json
from elmo_mf.provenance import file_hash, provenance
from elmo_mf.resources import base_elmo

CELLS = (640, 480, 320, 240, 160)
BATCHES, TOKENS, SECONDS = (1, 32), 24, 20.0


def compressions(options: Path, weights: Path, folder: Path, calibration: Path) -> Iterator[tuple[float | None, Bilm]]:
    """Yield the ELMo of a folder as it is, and at low rank, with the share of the larger ELMo's parameters."""
    files = folder / "options.json", folder / "weights.hdf5"
    yield None, Bilm.from_files(*files)
    gradients = folder / "gradients.hdf5"
    write_gradients(gradients, calibration, *files, weights.parent)
    sizes = [size_report(Bilm.from_files(*both).weights(), BilmOptions.from_file(options)) for both in
             ((options, weights), files)]  # fmt: skip
    for share, highway_rank in HIGHWAY_RANKS.items():
        parameters = int(share * sizes[0].lstm_parameters)
        if parameters < sizes[1].lstm_parameters:
            compression = Compression(
                method="kfac_svd",
                targets="joint+projection",
                budget={"parameters": parameters},
                calibration=str(calibration),
                gradients=str(gradients),
                allocation="loss",
                inputs="compressed",
                highway_rank=highway_rank,
            )
            yield share, Bilm.from_files(*files, compression=compression)


def write_smaller(folder: Path, cells: int, calibration: Path, gradients: Path) -> None:
    """Write the larger embedded ELMo with fewer cells, or with all of them."""
    options_file, weight_file = base_elmo()
    options = BilmOptions.from_file(options_file)
    weights = read_weights(weight_file, options)
    if cells < options.lstm.dim:
        weights, options = remove_cells(weights, options, cells, calibration, gradients)
    Bilm(options, weights).save(folder)


@torch.inference_mode()
def speed_ups(folders: Sequence[Path], batch: int) -> list[float]:
    """Return how many times as fast as in the first folder each biLSTM is, in one thread; medians over the rounds."""
    torch.set_num_threads(1)
    packing = Packing.of(torch.full((batch,), TOKENS))
    runs = []
    for folder in folders:
        bilm = Bilm.from_files(folder / "options.json", folder / "weights.hdf5")
        vectors = torch.randn(batch * TOKENS, bilm.options.lstm.projection_dim, generator=torch.manual_seed(0))
        runs.append(lambda bilm=bilm, vectors=vectors: bilm.contextualize(vectors, packing))
    for run in runs:
        run()
    times = interleaved(runs, torch.device("cpu"), SECONDS, 5)
    return [float(np.median(times[0] / one)) for one in times]


def main(text: Path, calibration: Path, root: Path, record: Path) -> None:
    """Store each encoder in int8, measure it, and write the record."""
    options, weights = base_elmo()
    stored: list[dict[str, Any]] = []
    folders = []
    root.mkdir()
    write_gradients(root / "gradients.hdf5", calibration, options, weights, weights.parent)
    for cells in CELLS:
        write_smaller(root / f"{cells}", cells, calibration, root / "gradients.hdf5")
        for share, bilm in compressions(options, weights, root / f"{cells}", calibration):
            folders.append(root / f"{cells} {share}")
            facts = {"cells": cells, "share": share}
            stored.append(facts | stored_form(bilm, "int8", folders[-1], text, weights.parent))
            print(stored[-1], flush=True)
    for batch in BATCHES:
        for one, speed_up in zip(stored, speed_ups(folders, batch), strict=True):
            one[f"speed_up_{batch}"] = round(speed_up, 3)
    write_json(record, {"stored": stored, "calibration": file_hash(calibration), **provenance().to_dict()})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
