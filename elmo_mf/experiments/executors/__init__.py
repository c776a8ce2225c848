"""Executors of runs: processes on this machine (`local`) or a Ray cluster (`cluster`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
