from .distillation import Distilled, checkpoint_size, distill

__all__ = [
    "Distilled",
    "checkpoint_size",
    "distill",
]
