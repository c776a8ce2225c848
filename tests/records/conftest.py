from tests.sweeps import tiny_sweep

__all__ = ["tiny_sweep"]
