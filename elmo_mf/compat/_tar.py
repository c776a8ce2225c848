"""A safe replacement for `tarfile` in AllenNLP, for versions of Python without extraction filters."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any


class _Archive(tarfile.TarFile):
    """Archive that extracts only regular files and folders, and only into one folder."""

    def extractall(self, path: Any = ".", members: Any = None, **kwargs: Any) -> None:
        """Extract like `tarfile.TarFile.extractall`.

        Raises:
            ReadError: A member is outside the folder, or is a link or a device.
        """
        root = Path(path).resolve()
        chosen = list(self.getmembers() if members is None else members)
        for member in chosen:
            if not (member.isfile() or member.isdir()):
                raise tarfile.ReadError(f"{member.name}: found a link or a device, expected files and folders")
            if not (root / member.name).resolve().is_relative_to(root):
                raise tarfile.ReadError(f"{member.name}: found a path outside the archive, expected one inside")
        super().extractall(path, chosen, **kwargs)


open = _Archive.open
