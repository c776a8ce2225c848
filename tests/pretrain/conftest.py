"""Fixtures: a small language, and settings of a model that learns it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elmo_mf.pretrain import PretrainSettings, Trainer
from tests.conftest import raw_options

TINY = PretrainSettings(
    cell=16,
    projection=8,
    architecture=raw_options(dim=16, projection_dim=8),
    epochs=2,
    batch_tokens=128,
    min_count=1,
    learning_rate=0.01,
    dropout=0.1,
)
Texts = tuple[Path, Path]


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    """Files of a language in which each word, except the first, is determined by the one before."""
    return write_texts(tmp_path)


def write_texts(folder: Path) -> Texts:
    rng, words = np.random.default_rng(0), "red green blue black white".split()
    lines = []
    for _ in range(240):
        start, length = rng.integers(5), rng.integers(3, 9)
        lines.append(" ".join(words[(start + step) % 5] for step in range(length)))
    files = folder / "train.txt", folder / "valid.txt"
    for file, part in zip(files, (lines[:200], lines[200:]), strict=True):
        file.write_text("\n".join(part) + "\n")
    return files


def replace(settings: PretrainSettings, **changes: Any) -> PretrainSettings:
    """Return validated settings with some fields changed."""
    return PretrainSettings.model_validate(settings.model_dump() | changes)


def trainer(texts: Texts, out: Path, settings: PretrainSettings = TINY, device: str = "cpu") -> Trainer:
    return Trainer([texts[0]], [texts[1]], out, settings, device=torch.device(device))
