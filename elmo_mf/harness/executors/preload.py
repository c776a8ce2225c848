"""What a cell's process needs, imported once for all of them."""

from __future__ import annotations

import importlib

from allennlp.common.plugins import import_plugins

for name in ("allennlp.commands.train", "elmo_mf.harness.cell", "elmo_mf.plugin.tokenizer"):
    importlib.import_module(name)
import_plugins()
