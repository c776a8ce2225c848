from ._fasta import read_fasta
from ._job import EmbedSettings, embed_file
from ._output import KEEP, check_new
from ._text import TextFile

__all__ = [
    "KEEP",
    "EmbedSettings",
    "TextFile",
    "check_new",
    "embed_file",
    "read_fasta",
]
