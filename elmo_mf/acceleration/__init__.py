"""Put this project's encoder into trained AllenNLP models, in archives or in memory."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elmo_mf.acceleration.archive import ModelArchive, open_archive
    from elmo_mf.acceleration.example_scores import Evaluation, Goal, evaluate
    from elmo_mf.acceleration.figure import plot_search
    from elmo_mf.acceleration.form_search import Candidate, Row, SearchResult, candidates, fastest, in_sequence, search
    from elmo_mf.acceleration.load import LoadedModel, load_stock, read_instances
    from elmo_mf.acceleration.model_comparison import Comparison, Loss
    from elmo_mf.acceleration.replace_encoder import EncoderSettings, accelerate
    from elmo_mf.acceleration.speed import Speed, peak_memory, speeds, vector_difference
    from elmo_mf.acceleration.stock import StockSettings
    from elmo_mf.acceleration.write_archive import accelerated, encoder_parameters, write_accelerated, write_stock

_MODULES = {
    "archive": (
        "ModelArchive",
        "open_archive",
    ),
    "example_scores": (
        "Evaluation",
        "Goal",
        "evaluate",
    ),
    "figure": ("plot_search",),
    "load": (
        "LoadedModel",
        "load_stock",
        "read_instances",
    ),
    "model_comparison": (
        "Comparison",
        "Loss",
    ),
    "replace_encoder": (
        "EncoderSettings",
        "accelerate",
    ),
    "form_search": (
        "Candidate",
        "Row",
        "SearchResult",
        "candidates",
        "fastest",
        "in_sequence",
        "search",
    ),
    "speed": (
        "Speed",
        "peak_memory",
        "speeds",
        "vector_difference",
    ),
    "stock": ("StockSettings",),
    "write_archive": (
        "accelerated",
        "encoder_parameters",
        "write_accelerated",
        "write_stock",
    ),
}

__all__ = [
    "Candidate",
    "Comparison",
    "EncoderSettings",
    "Evaluation",
    "Goal",
    "LoadedModel",
    "Loss",
    "ModelArchive",
    "Row",
    "SearchResult",
    "Speed",
    "StockSettings",
    "accelerate",
    "accelerated",
    "candidates",
    "encoder_parameters",
    "evaluate",
    "fastest",
    "in_sequence",
    "load_stock",
    "open_archive",
    "peak_memory",
    "plot_search",
    "read_instances",
    "search",
    "speeds",
    "vector_difference",
    "write_accelerated",
    "write_stock",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: most of the modules import PyTorch and AllenNLP."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
