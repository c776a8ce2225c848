"""Embed text files into HDF5 files of ELMo vectors."""
