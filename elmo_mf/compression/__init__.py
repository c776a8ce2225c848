"""Compression of an encoder's matrices: factorization methods, calibration, allocation of ranks, recovery."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
