"""Perplexity of the larger embedded ELMo at equal bytes: fewer parameters, fewer bits, or both.

From the project's root: `python -m docs.compression.equal_bytes TEXT CALIBRATION RECORD`, with a held-out text and a
text for calibration, one sentence per line.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elmo_mf import Bilm, Compression
from elmo_mf.io import write_json
from elmo_mf.io.sentences import read_with_hash
from elmo_mf.pretrain import Corpus
from elmo_mf.pretrain._evaluate import evaluate, read_language_model
from elmo_mf.provenance import file_hash, provenance
from elmo_mf.resources import base_elmo
from elmo_mf.tasks._bilm_gradients import loss_gradients

HIGHWAY_RANKS = {0.5: 160, 0.25: 64, 0.125: 64, 0.0625: 64}
"""Ranks of the highway layer by share of the budget, for `kfac_svd`, whose budgets by the loss leave it out."""


def compressions(calibration: Path, gradients: Path) -> Iterator[tuple[str, str, Compression | None]]:
    """Yield the family of each encoder, the type that it is stored in, and its compression."""
    for dtype in ("float16", "int8"):
        yield "dense", dtype, None
    for share, highway_rank in HIGHWAY_RANKS.items():
        known: dict[str, Any] = {
            "targets": "joint+projection", "budget": {"share": share}, "calibration": str(calibration)
        }  # fmt: skip
        whitened = Compression(method="whitened_svd", highway_rank="budget", **known)
        yield "whitened_svd", "float16", whitened
        yield "whitened_svd", "int8", whitened
        by_loss = {"allocation": "loss", "gradients": str(gradients), "highway_rank": highway_rank}
        yield "kfac_svd", "int8", Compression(method="kfac_svd", **known, **by_loss)
        in_order = Compression(method="kfac_svd", inputs="compressed", **known, **by_loss)
        yield "kfac_svd in order", "int8", in_order


def write_gradients(path: Path, text: Path, options: Path, weights: Path, beside: Path) -> None:
    """Write the gradients of an ELMo's own loss, with the softmax and the vocabulary in the folder `beside`."""
    model, vocabulary = read_language_model(options, weights, None, beside)
    corpus = Corpus(read_with_hash(text, 80, None)[0], vocabulary, model.bilm.token_layer.word_ids)
    moments = loss_gradients(model, corpus.batches(1000, None), corpus.characters)
    moments.write(path, {"words": corpus.n_words})


def stored_form(bilm: Bilm, dtype: str, folder: Path, text: Path, beside: Path) -> dict[str, Any]:
    """Store an encoder, read it back, and measure it."""
    bilm.save(folder, dtype)
    stored = folder / "weights.hdf5"
    measured = evaluate(folder / "options.json", stored, [text], beside=beside).to_dict()
    del measured["encoder"], measured["compression"]
    return {"dtype": dtype, "bytes": stored.stat().st_size} | measured


def main(text: Path, calibration: Path, record: Path) -> None:
    """Store the encoder in each form, read it back, measure it, and write the record."""
    options, weights = base_elmo()
    stored_forms = []
    with tempfile.TemporaryDirectory() as temporary:
        gradients, folder = Path(temporary) / "gradients.hdf5", Path(temporary) / "elmo"
        write_gradients(gradients, calibration, options, weights, weights.parent)
        for family, dtype, compression in compressions(calibration, gradients):
            bilm = Bilm.from_files(options, weights, compression=compression)
            share = None if compression is None or compression.budget is None else compression.budget.share
            measured = stored_form(bilm, dtype, folder, text, weights.parent)
            stored_forms.append({"family": family, "share": share} | measured)
            print(stored_forms[-1], flush=True)
    write_json(record, {"stored": stored_forms, "calibration": file_hash(calibration), **provenance().to_dict()})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
