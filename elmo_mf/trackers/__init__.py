"""Experiment trackers: TensorBoard, MLflow, and others that are registered by name.

A tracker sees what runs do and has no part in it: what it raises becomes a warning of one line.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
