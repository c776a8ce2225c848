from ._many_langs import ManyLangs, read_many_langs
from ._many_langs_files import is_many_langs
from .conversion import Conversion, convert, match_variables
from .layout import Layout, find_layout
from .tf_checkpoint import Checkpoint, Reader, checkpoint_files, find_checkpoint, open_checkpoint

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
