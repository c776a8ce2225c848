from ._catalogue import CATALOGUES, Kind, Source
from ._download import DownloadSettings, ProgressCallback
from ._fetch import LOCK, fetch, foreign_files

__all__ = [
    "CATALOGUES",
    "LOCK",
    "DownloadSettings",
    "Kind",
    "ProgressCallback",
    "Source",
    "fetch",
    "foreign_files",
]
