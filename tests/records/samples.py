"""Build records like those of a sweep, with numbers that a test chooses.

Records are JSON objects here, so that a test can change any value; `parsed` converts them to `Record` objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from elmo_mf.io.validation import validated_json
from elmo_mf.leaderboard import Board, boards
from elmo_mf.records import Compression, Measurements, Record, RunIdentity, digest
from elmo_mf.records.record import FORMAT, parse_record

MACHINE: dict[str, Any] = {
    "cpu": "a processor",
    "cores": 2,
    "threads": 2,
    "instructions": "AVX2",
    "system": "Linux x86_64",
}
_PRIMARY = {"sst": "accuracy", "snli": "accuracy", "squad": "f1"}


def record(
    rank: int | None,
    score: float,
    seed: int = 1,
    task: str = "sst",
    chance: float = 0.2,
    speed_up: float = 2.0,
    **changes: Any,
) -> dict[str, Any]:
    """Build a record; rank None is the dense encoder."""
    compression = None if rank is None else Compression(method="svd", rank=rank, targets="all").to_dict()
    times = {"median_ms": 10.0, "p95_ms": 12.0, "dense_median_ms": 20.0, "dense_p95_ms": 24.0, "speed_up": speed_up}
    latency = {part: {"1": dict(times), "32": dict(times)} for part in ("encoder", "model")}
    config = {"random_seed": "SEED", "trainer": {"num_epochs": 12}, "dataset_reader": {"type": "r"}}
    limits = {split: {"sha256": "d" * 64, "limit": None} for split in ("train", "validation", "test")}
    primary = _PRIMARY.get(task, "perplexity")
    metrics = {primary: "lower" if primary == "perplexity" else "higher", "loss": "lower"}
    parameters = 1000 if rank is None else 10 * rank
    entry = {
        "format": FORMAT,
        "id": "",
        "run": {
            "task": task,
            "scoring": {"format": "f", "split": "test", "primary": primary, "metrics": metrics, "chance": "majority"},
            "compression": compression,
            "seed": seed,
            "elmo": {"options": "o" * 64, "weights": "w" * 64},
            "words": None,
            "data": limits,
            "config": config,
            "versions": {"encoder": 1, "training": 1, "f": 1} | ({} if rank is None else {"svd": 1}),
        },
        "task": {"title": f"The task {task}", "source": "somewhere", "licence": "a licence"},
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
        "data": "data",
        "seconds": 60.0,
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "machine": MACHINE,
    } | changes  # fmt: skip
    return signed(entry)


def signed(entry: dict[str, Any]) -> dict[str, Any]:
    """Set the id of a record to that of its run, or of the invalid value in the run's place."""
    try:
        run = RunIdentity.model_validate_json(json.dumps(entry["run"])).to_dict()
    except ValidationError:
        run = entry["run"]
    return entry | {"id": digest(run)}


def parsed(entry: dict[str, Any]) -> Record:
    """Validate a record as a `Record`, with the id of its run."""
    return parse_record(json.dumps(signed(entry)).encode(), "a record")


def plain(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a record as a sweep writes it to its file."""
    return parsed(entry).to_dict()


def boards_of(records: Iterable[dict[str, Any]]) -> list[Board]:
    """Build the boards of some records."""
    return boards([parsed(one) for one in records])


def measurements(entry: dict[str, Any]) -> Measurements:
    """Return the measurements in a record."""
    values = {key: value for key, value in entry.items() if key not in ("format", "id", "run")}
    return validated_json(Measurements, json.dumps(values), "measurements", "JSON")


def write(folder: Path, records: list[dict[str, Any]]) -> Path:
    """Write records into a folder like a sweep does, and return the folder."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    for index, item in enumerate(records):
        entry = signed(item)
        (folder / "records" / f"{index:05}-{entry['id'][:10]}.json").write_text(json.dumps(entry))
    return folder
