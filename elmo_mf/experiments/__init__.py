"""Sweep engine: executes runs of any kind, each exactly once, in local processes or on a cluster.

The caller supplies the runs (`Run`) and the function that executes one (`Work`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
