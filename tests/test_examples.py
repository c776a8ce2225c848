"""The examples in docstrings run, and print what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "elmo_mf").rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


SLOW = {
    f"elmo_mf.{name}"
    for name in (
        "bench._timed_elmo", "compression._checkpoint_compression", "compression._smaller_checkpoint",
        "compression.cells", "leaderboard._leaderboard", "pretrain._perplexity", "tasks._sweep",
    )
}  # fmt: skip


@pytest.mark.parametrize("module", [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in MODULES])
def test_examples(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(import_module(module))
    assert result.failed == 0 and result.attempted > 0


def test_methods_have_examples() -> None:
    """Each factorization method, and the classes and functions that most people use."""
    methods = {
        f"elmo_mf.compression.methods.{path.stem}" for path in (ROOT / "elmo_mf/compression/methods").glob("*.py")
    }
    bases = {f"elmo_mf.compression.methods.{name}" for name in ("__init__", "_truncation")}
    assert methods - bases <= set(MODULES)
    used = {
        "acceleration.replace_encoder",
        "bilm.checkpoint",
        "bilm.encoder",
        "compression.apply",
        "leaderboard.aggregate",
        "lm.core_compression",
        "plugin.token_embedder",
        "records.compression",
        "records.record",
    }
    assert {f"elmo_mf.{name}" for name in used} <= set(MODULES)
