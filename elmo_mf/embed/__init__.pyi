from ._embed_settings import KEEP, EmbedSettings
from ._fasta import read_fasta
from ._job import embed_file
from ._output_file import check_new
from ._text import TextFile

__all__ = [
    "KEEP",
    "EmbedSettings",
    "TextFile",
    "check_new",
    "embed_file",
    "read_fasta",
]
