"""`sentence_to_index`: a dataset that maps each sentence to its line number, or to its last one, as JSON.

It is an array with one string, as the `allennlp elmo` command wrote it. HDF5 cannot store a string of 2 GiB or more,
so a larger index is split into several strings, each a JSON object with some of the sentences. If a sentence is in
several, the last one is valid.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TextIO

import h5py
import numpy as np

from elmo_mf.embed._text import text_writer


class SentenceIndex:
    """Collects the index in files, so that it need not fit in memory.

    Args:
        folder: Folder of these files until the index is written.
        characters: Largest number of characters of one string, unless a single sentence has more. Defaults to 2^30.
    """

    def __init__(self, folder: Path, characters: int = 1 << 30) -> None:
        self._folder, self._characters, self._paths = folder, characters, list[Path]()
        self._open, self._size = contextlib.ExitStack(), 0
        self._file: TextIO | None = None

    def __enter__(self) -> SentenceIndex:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def add(self, sentence: str, number: int) -> None:
        """Add a sentence and its line number."""
        entry = f'{json.dumps(sentence)}: "{number}"'
        if self._file is None or self._size + len(entry) + 2 > self._characters:
            self._end()
            self._paths.append(self._folder / f"sentence_to_index.{len(self._paths)}.json")
            self._file = self._open.enter_context(text_writer(self._paths[-1]))
            self._size = 0
        self._size += self._file.write("," if self._size else "{")
        self._size += self._file.write(entry)

    def write(self, joined: h5py.File) -> None:
        """Write the index into an HDF5 file; shorter strings are padded with null characters."""
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
