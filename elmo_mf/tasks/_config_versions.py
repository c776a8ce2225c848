"""Versions of the readers and tokenizers of this project that an AllenNLP config names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from elmo_mf.records.identity import LANGUAGE_TEXT, SPACY_RULES, SST_PHRASES, TEXT_STREAMS
from elmo_mf.tasks._plugin_versions import plugin_version

_MODULES = {
    LANGUAGE_TEXT: "language_text",
    TEXT_STREAMS: "language_text",
    SPACY_RULES: "tokenizer",
    SST_PHRASES: "sst_phrases",
}


def config_versions(config: dict[str, Any]) -> dict[str, int]:
    """Return the version of each reader, data loader and tokenizer, by its registered name."""
    named = set(_types(config))
    return {name: plugin_version(module) for name, module in _MODULES.items() if name in named}


def _types(config: Any) -> Iterator[str]:
    """Yield the registered names in a config, at any depth."""
    if isinstance(config, dict):
        if isinstance(name := config.get("type"), str):
            yield name
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _types(value)
