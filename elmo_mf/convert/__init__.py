"""Convert ELMos of other programs into the files that this project reads."""

from elmo_mf.convert.checkpoint import Checkpoint, Reader, checkpoint_files, find_checkpoint, open_checkpoint
from elmo_mf.convert.conversion import Conversion, convert, plan
from elmo_mf.convert.layout import Layout, find_layout

__all__ = [
    "Checkpoint",
    "Conversion",
    "Layout",
    "Reader",
    "checkpoint_files",
    "convert",
    "find_checkpoint",
    "find_layout",
    "open_checkpoint",
    "plan",
]
