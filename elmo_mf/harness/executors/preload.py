"""What a cell's process needs, imported once for all of them."""

from __future__ import annotations

import gc
import importlib

from threadpoolctl import ThreadpoolController

from elmo_mf.harness.training import plugins
from elmo_mf.plugin.tokenizer import english

_MODULES = (
    "allennlp.commands.train",
    "elmo_mf.cli.main",  # what a process forked from a sweep imports as its main module
    "elmo_mf.harness.cell",
    "elmo_mf.harness.sweep",
)
gc.disable()  # it would look through the growing modules again and again, for a seventh of the time that they take
for name in _MODULES:
    importlib.import_module(name)
plugins()
english()
pools = ThreadpoolController()  # to look for them takes longer than to fork
gc.collect()
gc.freeze()  # or each process would write to all of this memory, and so copy it, when it first collects garbage
gc.enable()
