from ._catalogue import CATALOGUES, Kind, Source
from ._download import ProgressCallback
from ._fetch import LOCK, fetch, foreign_files

__all__ = [
    "CATALOGUES",
    "LOCK",
    "Kind",
    "ProgressCallback",
    "Source",
    "fetch",
    "foreign_files",
]
