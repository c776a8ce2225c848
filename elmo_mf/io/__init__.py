"""Read and write files: reading is bounded, writing is atomic, and errors are one line.

Reading: `read_bytes`, `read_text`, `read_json` and `read_toml` read a whole file; `TextLines` iterates over a text of
any size.
Writing: `atomic_path` replaces one file, `atomic_files` several files of a folder;
`checked_file` serves other libraries that write; `staging` is a folder for temporary files.
Locking: `exclusive` reserves a folder for one process.
"""

from elmo_mf.io._atomic import (
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
from elmo_mf.io._checked import checked_file
from elmo_mf.io._output import (
    OutputError,
    check_folder,
    check_no_file,
    check_output,
    check_space,
    exclusive,
    output_errors,
)
from elmo_mf.io._text_lines import TextLines
from elmo_mf.io.reading import (
    content_kind,
    is_folder,
    is_regular,
    open_regular,
    parse_json,
    read_bytes,
    read_json,
    read_text,
    read_toml,
    unique_pairs,
)

__all__ = [
    "OutputError",
    "TextLines",
    "atomic_files",
    "atomic_path",
    "check_folder",
    "check_no_file",
    "check_output",
    "check_settled",
    "check_space",
    "checked_file",
    "content_kind",
    "exclusive",
    "is_folder",
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
