"""The ways in which the encoder's recurrence runs, and the products that they share.

`_choice.Runtimes` chooses one for each call; `RuntimeSettings` has all thresholds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
