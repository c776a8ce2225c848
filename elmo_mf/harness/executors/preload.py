"""What a cell's process needs, imported once for all of them."""

from __future__ import annotations

import gc
import importlib
import os

from threadpoolctl import ThreadpoolController

_MODULES = (
    "allennlp.commands.train",
    "elmo_mf.cli.main",  # what a process forked from a sweep imports as its main module
    "elmo_mf.harness.cell",
    "elmo_mf.harness.sweep",
    "elmo_mf.harness.training",
    "elmo_mf.plugin.tokenizer",
)
# modules that are imported look for GPUs: had CUDA itself been asked, no process that is forked later could use one
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
gc.disable()  # it would look through the growing modules again and again, for a seventh of the time that they take
*_, training, tokenizer = map(importlib.import_module, _MODULES)
training.plugins()
tokenizer.english()
pools = ThreadpoolController()  # to look for them takes longer than to fork
gc.collect()
gc.freeze()  # or each process would write to all of this memory, and so copy it, when it first collects garbage
gc.enable()
