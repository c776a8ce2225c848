"""Records as a sweep writes them, with numbers that a test chooses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from elmo_mf.compression import Compression
from elmo_mf.records.record import FORMAT
from elmo_mf.tasks.grid import CODE, digest

MACHINE = {"cpu": "a processor", "cores": 2, "threads": 2, "instructions": "AVX2", "system": "Linux x86_64"}


def record(
    rank: int | None,
    score: float,
    seed: int = 1,
    task: str = "sst",
    chance: float = 0.2,
    speed_up: float = 2.0,
    **changes: Any,
) -> dict[str, Any]:
    """One record; rank None is the dense encoder."""
    compression = None if rank is None else Compression(method="svd", rank=rank, targets="all").to_dict()
    times = {"median_ms": 10.0, "p95_ms": 12.0, "dense_median_ms": 20.0, "dense_p95_ms": 24.0, "speed_up": speed_up}
    latency = {part: {"1": dict(times), "32": dict(times)} for part in ("encoder", "model")}
    config = {"random_seed": "SEED", "trainer": {"num_epochs": 12}, "dataset_reader": {"type": "r"}}
    limits = {split: {"sha256": "d" * 64, "limit": None} for split in ("train", "validation", "test")}
    primary = {"sst": "accuracy", "snli": "accuracy", "squad": "f1"}.get(task, "perplexity")
    parameters = 1000 if rank is None else 10 * rank
    made = {
        "format": FORMAT,
        "id": "",
        "run": {
            "task": task,
            "card": {},
            "compression": compression,
            "seed": seed,
            "elmo": {"options": "o" * 64, "weights": "w" * 64},
            "words": None,
            "data": limits,
            "config": config,
            "code": CODE,
        },
        "scores": {primary: score, "loss": 1.0},
        "validation": {primary: score},
        "best_epoch": 3,
        "epochs": 5,
        "examples": {"train": 8544, "validation": 1101, "test": 2210},
        "chance": chance,
        "size": {
            "lstm_parameters": parameters, "lstm_dense_parameters": 1000, "encoder_parameters": parameters + 500,
            "lstm_bytes": 4 * parameters, "encoder_bytes": 4 * parameters + 2000, "lstm_ratio": 1000 / parameters,
            "encoder_ratio": 1500 / (parameters + 500), "lstm_multiply_adds": parameters,
            "lstm_dense_multiply_adds": 1000, "char_cnn_multiply_adds": 500,
        },
        "activation_error": None,
        "matrices": [],
        "factorization_seconds": None,
        "latency": latency,
        "elmo": {"name": "demo/weights.hdf5", "layers": 2, "cell": 512, "projection": 64},
        "data": "demo",
        "seconds": 60.0,
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "machine": MACHINE,
    } | changes  # fmt: skip
    return signed(made)


def signed(made: dict[str, Any]) -> dict[str, Any]:
    """A record with the id that its run has."""
    return made | {"id": digest(made["run"])}


def write(folder: Path, records: list[dict[str, Any]]) -> Path:
    """Store records as a sweep would; returns the folder."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    for index, item in enumerate(records):
        made = signed(item)
        (folder / "records" / f"{index:05}-{made['id'][:10]}.json").write_text(json.dumps(made))
    return folder
