"""HDF5 files that are written without losing an error.

HDF5 writes much of its data when a dataset or the file is closed, where h5py drops errors, and a file that cannot be
flushed crashes the process when it ends. So HDF5 is given a `checked_file`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from elmo_mf.io.checked import checked_file

if TYPE_CHECKING:
    import h5py


@contextlib.contextmanager
def hdf5_file(path: str | Path) -> Iterator[h5py.File]:
    """A new HDF5 file at `path`; every byte is on disk when the context ends.

    Combine with `atomic_path`, so that a file that could not be written whole gets no name.

    Raises:
        OutputError: a write failed.
    """
    import h5py

    with checked_file(path) as checked, h5py.File(checked, "w") as file:
        yield file
