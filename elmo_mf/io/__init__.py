"""Files, as every command reads and writes them: whole or not at all, bounded, and with one-line errors.

Reading: `read_bytes`, `read_text`, `read_json`, `read_toml` for files that are read at once, `TextLines` for texts of
any size.
Writing: `atomic_path` for one file, `atomic_files` for several of one folder, `hdf5_file` for HDF5,
`checked_file` for other libraries that write; `staging` for what a piece of work needs meanwhile.
`exclusive` holds a folder or a file's neighbourhood for one process at a time.
"""

from elmo_mf.io.atomic import (
    atomic_files,
    atomic_path,
    check_settled,
    recover,
    remove_folder,
    replace_folder,
    scratch,
    staging,
    write_json,
    write_text,
)
from elmo_mf.io.checked import checked_file
from elmo_mf.io.hdf5 import hdf5_file
from elmo_mf.io.output import OutputError, check_folder, check_output, check_space, exclusive, output_errors
from elmo_mf.io.reading import (
    is_regular,
    open_regular,
    parse_json,
    read_bytes,
    read_json,
    read_text,
    read_toml,
    unique_pairs,
)
from elmo_mf.io.text_lines import TextLines

__all__ = [
    "OutputError",
    "TextLines",
    "atomic_files",
    "atomic_path",
    "check_folder",
    "check_output",
    "check_settled",
    "check_space",
    "checked_file",
    "exclusive",
    "hdf5_file",
    "is_regular",
    "open_regular",
    "output_errors",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_text",
    "read_toml",
    "recover",
    "remove_folder",
    "replace_folder",
    "scratch",
    "staging",
    "unique_pairs",
    "write_json",
    "write_text",
]
