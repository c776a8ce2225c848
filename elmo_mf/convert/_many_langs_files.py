"""Names of the files of ELMoForManyLangs, by which its folders are recognised without PyTorch."""

from __future__ import annotations

from pathlib import Path

CONFIG, TOKEN_EMBEDDER, ENCODER = "config.json", "token_embedder.pkl", "encoder.pkl"


def is_many_langs(path: Path) -> bool:
    """Return whether a path is a folder of ELMoForManyLangs: one with either of its weight files."""
    return path.is_dir() and any((path / name).exists() for name in (TOKEN_EMBEDDER, ENCODER))
