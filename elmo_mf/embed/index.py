"""`sentence_to_index`: from each sentence to its number (the last one's where a sentence repeats), as JSON.

As the `allennlp elmo` command writes it, an array of one text. HDF5 takes no text of 2 GiB: where the sentences fill
more than one, the array has several, and all together are the whole.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TextIO

import h5py
import numpy as np

from elmo_mf.embed.text import written

MOST_CHARACTERS = 1 << 30
"""Of one text, but for a sentence that has more by itself."""


class SentenceIndex:
    """The index while it grows: in files, which are mapped in the end and never read into memory.

    # Parameters
    folder: where the files lie meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._paths = folder, list[Path]()
        self._open, self._size = contextlib.ExitStack(), 0
        self._file: TextIO | None = None

    def __enter__(self) -> SentenceIndex:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def add(self, sentence: str, number: int) -> None:
        """Note the number of a sentence."""
        entry = f'{json.dumps(sentence)}: "{number}"'
        if self._file is None or self._size + len(entry) + 2 > MOST_CHARACTERS:
            self._end()
            self._paths.append(self._folder / f"sentence_to_index.{len(self._paths)}.json")
            self._file = self._open.enter_context(written(self._paths[-1]))
            self._size = 0
        self._size += self._file.write("," if self._size else "{")
        self._size += self._file.write(entry)

    def write(self, joined: h5py.File) -> None:
        """Put the whole index into a file; texts that are shorter than others end in null characters."""
        self._end()
        size = max(path.stat().st_size for path in self._paths)
        texts = joined.create_dataset("sentence_to_index", (len(self._paths),), f"S{size}")
        for number, path in enumerate(self._paths):
            os.truncate(path, size)
            texts.write_direct(np.memmap(path, f"S{size}", "r", shape=(1,)), dest_sel=np.s_[number : number + 1])

    def _end(self) -> None:
        if self._file is not None:
            self._file.write("}")
            self._open.close()
