"""A folder for what AllenNLP and its libraries keep in the home folder, where that cannot be written to.

AllenNLP makes `~/.allennlp/cache` even to read local files, and does not import where there is no home folder at all,
as for a user of a container whom no passwd file knows.
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
"""Environment variables that say where a library keeps its files, and what its folder is called here."""


def ensure_home() -> None:
    """See to it that AllenNLP's cache can be made: in the home folder, or else in a folder that goes with this process.

    Child processes inherit the choice. Variables that are set already stay as they are.
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
    """Whether a folder is there or can be made; root may pass every check of rights and yet be refused."""
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
