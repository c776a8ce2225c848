"""Imports of the modules that every run needs, in the server that runs are forked from."""

from __future__ import annotations

import importlib

from elmo_mf.bilm.runtime_settings import RuntimeSettings
from elmo_mf.experiments.executors import preload

_MODULES = ("allennlp.commands.train", "elmo_mf.tasks._execution", "elmo_mf.tasks._measurement")


def _import() -> None:
    for module in _MODULES:
        importlib.import_module(module)
    from elmo_mf.plugin.tokenizer import english
    from elmo_mf.tasks._training import plugins

    if RuntimeSettings().may_compile():
        importlib.import_module("elmo_mf.bilm.runtime.kernel.compiled")
    plugins()
    english()


preload(_import)
