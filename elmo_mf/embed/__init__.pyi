from ._fasta import read_fasta
from ._job import KEEP, EmbedSettings, check_new, embed_file
from ._text import TextFile

__all__ = [
    "KEEP",
    "EmbedSettings",
    "TextFile",
    "check_new",
    "embed_file",
    "read_fasta",
]
