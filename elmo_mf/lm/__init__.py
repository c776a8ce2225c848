"""Language models whose core, a stack of LSTMs, can be compressed: the paper's first setting."""

from elmo_mf.lm.compress import compress_core
from elmo_mf.lm.core import CoreLstm

__all__ = ["CoreLstm", "compress_core"]
