"""What a cell's process needs, imported once for all of them."""

from __future__ import annotations

import gc
import importlib

from allennlp.common.plugins import import_plugins
from threadpoolctl import ThreadpoolController

_MODULES = (
    "allennlp.commands.train",
    "elmo_mf.cli.main",  # what a process forked from a sweep imports as its main module
    "elmo_mf.harness.cell",
    "elmo_mf.harness.sweep",
    "elmo_mf.plugin.tokenizer",
)
for name in _MODULES:
    importlib.import_module(name)
import_plugins()
pools = ThreadpoolController()  # to look for them takes longer than to fork
gc.collect()
gc.freeze()  # or each process would write to all of this memory, and so copy it, when it first collects garbage
