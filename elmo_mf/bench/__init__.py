"""Benchmark the encoder against AllenNLP's and against the limits of the machine."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
