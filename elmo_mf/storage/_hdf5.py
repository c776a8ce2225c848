"""Write HDF5 files without losing errors.

HDF5 writes much of its data when a dataset or the file is closed, where h5py drops errors, and a file that cannot be
flushed crashes the process at exit. Therefore HDF5 writes to a `checked_file`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from elmo_mf.io import checked_file

if TYPE_CHECKING:
    import h5py


@contextlib.contextmanager
def hdf5_file(path: str | Path, compact: bool = False) -> Iterator[h5py.File]:
    """Provide a new HDF5 file; all bytes are on disk when the context ends.

    Use it inside `atomic_path`, so that an incomplete file never appears.

    Args:
        path: The file.
        compact: Whether to use the layout of HDF5 1.10, which takes about a kilobyte less for each dataset. Defaults to
            False.

    Raises:
        OutputError: A write failed.
    """
    import h5py

    with checked_file(path) as checked, h5py.File(checked, "w", libver="v110" if compact else None) as file:
        yield file
