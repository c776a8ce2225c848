"""Allocation of ranks: which rank each matrix gets so that all of them stay within one budget."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
