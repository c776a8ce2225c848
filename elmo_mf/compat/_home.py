"""A temporary folder for the caches of AllenNLP and its libraries if the home folder is not writable.

AllenNLP creates `~/.allennlp/cache` even to read local files, and cannot be imported without a home folder, for example
in a container whose user has no passwd entry.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_KEPT = {
    "ALLENNLP_CACHE_ROOT": "allennlp",
    "CACHED_PATH_CACHE_ROOT": "cached_path",
    "HF_HOME": "huggingface",
    "MPLCONFIGDIR": "matplotlib",
}
"""Environment variables for the libraries' cache folders, and the name of each folder here."""


def ensure_home() -> None:
    """Ensure that AllenNLP's cache can be created, in the home folder or in a temporary folder of this process.

    Child processes inherit the folder. Variables that are already set are kept.
    """
    try:
        home = Path.home()
    except RuntimeError:
        os.environ["HOME"] = _temporary()
        return
    root = Path(os.environ.get("ALLENNLP_CACHE_ROOT", home / ".allennlp"))
    if _can_be_made(root / "cache"):
        return
    folder = _temporary()
    for variable, name in _KEPT.items():
        os.environ.setdefault(variable, str(Path(folder) / name))


def _can_be_made(folder: Path) -> bool:
    """Return whether a folder exists or can be created, by trying: for root, permissions alone are not conclusive."""
    if folder.is_dir():
        return True
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _temporary() -> str:
    folder, owner = tempfile.mkdtemp(prefix="elmo-mf-home-"), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
