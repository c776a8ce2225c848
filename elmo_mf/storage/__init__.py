"""Files of arrays and of states: HDF5, which `hdf5_file` writes, state dictionaries, and the states of long runs."""

from elmo_mf.storage._hdf5 import hdf5_file

__all__ = ["hdf5_file"]
