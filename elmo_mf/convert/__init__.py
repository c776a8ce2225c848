"""Convert ELMos of other programs into the files that this project reads."""

from elmo_mf.convert._many_langs import ManyLangs, is_many_langs, read_many_langs
from elmo_mf.convert.conversion import Conversion, convert, match_variables
from elmo_mf.convert.layout import Layout, find_layout
from elmo_mf.convert.tf_checkpoint import Checkpoint, Reader, checkpoint_files, find_checkpoint, open_checkpoint

__all__ = [
    "Checkpoint",
    "Conversion",
    "Layout",
    "ManyLangs",
    "Reader",
    "checkpoint_files",
    "convert",
    "find_checkpoint",
    "find_layout",
    "is_many_langs",
    "match_variables",
    "open_checkpoint",
    "read_many_langs",
]
