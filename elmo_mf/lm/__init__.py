"""Language models whose core, a stack of LSTMs, can be compressed: the paper's first setting."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
