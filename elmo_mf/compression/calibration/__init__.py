"""Calibration statistics: what data-aware methods and budgets measure on a text or a task."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
