"""A frozen encoder's activations on a task's sentences, in files that all runs with both share.

`vectors` holds float32 (tokens, layers, 2p), sentence after sentence; `sentences.npy` each sentence's key and length.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.errors import InputError, one_line
from elmo_mf.io import open_regular, read_bytes
from elmo_mf.plugin.activation_cache import sentence_key, sentence_vectors, split_sentences

_KEYS = np.dtype([("key", "V16"), ("length", np.int64)])
_CHUNK = 1024  # sentences sorted by length before they are run
_BATCH = 64
_NO_ARRAY = (ValueError, EOFError, SyntaxError, TypeError, MemoryError, OverflowError, TokenError, zipfile.BadZipFile)
_MOST_SENTENCES = 1 << 30  # bytes of their keys and lengths
_MOST_TOKENS = 1 << 24  # of a sentence


class StoredActivations(Mapping[bytes, Tensor]):
    """Activations (layers, tokens + 2, 2p) by `sentence_key`, memory-mapped: what is not read costs no memory.

    Raises:
        InputError: a file is missing, or they are not of one another or of such an encoder.
    """

    def __init__(self, folder: Path, layers: int, width: int) -> None:
        sentences = _read_sentences(folder / "sentences.npy")
        lengths = sentences["length"]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        shape = (int(starts[-1]), layers, width)
        expected = f"{shape[0]:,} tokens of {layers} layers with {width} numbers"
        with open_regular(folder / "vectors", "file of activations", expected) as file:
            if (size := os.fstat(file.fileno()).st_size) != 4 * math.prod(shape):
                raise InputError(f"{folder / 'vectors'}: found {size:,} bytes, expected {expected}")
            self._vectors = np.zeros(shape, np.float32)
            if size:  # a map cannot be empty; copy on write, because PyTorch warns of what it cannot write to
                self._vectors = np.memmap(file, np.float32, "c", shape=shape)
        rows = zip(sentences["key"], starts[:-1].tolist(), starts[1:].tolist(), strict=True)
        self._places = {key.tobytes(): (start, end) for key, start, end in rows}

    def __getitem__(self, key: bytes) -> Tensor:
        start, end = self._places[key]
        return torch.from_numpy(self._vectors[start:end]).transpose(0, 1)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _read_sentences(path: Path) -> np.ndarray[Any, np.dtype[np.void]]:
    expected = "keys and lengths of sentences"
    content = read_bytes(path, "list of sentences", expected, most=_MOST_SENTENCES)
    try:
        sentences = np.load(io.BytesIO(content), allow_pickle=False, max_header_size=10_000)
        if not isinstance(sentences, np.ndarray) or sentences.dtype != _KEYS or sentences.ndim != 1:
            raise ValueError("other columns")
        if ((sentences["length"] < 1) | (sentences["length"] > _MOST_TOKENS)).any():
            raise ValueError("lengths out of range")
    except _NO_ARRAY as error:
        raise InputError(f"{path}: found no list of sentences ({one_line(error)}), expected {expected}") from None
    return sentences


def write_activations(
    folder: Path,
    bilm: Bilm,
    batches: Iterable[Tensor],
    has_room: Callable[[int], bool],
    rest: Callable[[], None] = lambda: None,
) -> None:
    """Run each sentence of `batches` (sentences, longest, characters) once and write its activations to `folder`.

    Args:
        has_room: whether so many bytes more may be written; when not, the sentences that are left are left out.
        rest: called between batches.
    """
    written: list[tuple[bytes, int]] = []
    seen: set[bytes] = set()
    bytes_a_token = 4 * (bilm.options.lstm.n_layers + 1) * bilm.output_dim
    with open(folder / "vectors", "wb") as file:
        for chunk in _chunks(batches, seen):
            if not has_room(sum(len(ids) + 2 for ids in chunk.values()) * bytes_a_token):
                break
            ordered = sorted(chunk, key=lambda key: len(chunk[key]))
            for start in range(0, len(ordered), _BATCH):
                keys = ordered[start : start + _BATCH]
                vectors = sentence_vectors(bilm, [chunk[key] for key in keys])
                for key, vector in zip(keys, vectors, strict=True):
                    file.write(vector.transpose(0, 1).contiguous().cpu().numpy().tobytes())
                    written.append((key, vector.shape[1]))
                rest()
    with open(folder / "sentences.npy", "wb") as file:
        np.save(file, np.array(written, _KEYS), allow_pickle=False)


def _chunks(batches: Iterable[Tensor], seen: set[bytes]) -> Iterator[dict[bytes, Tensor]]:
    """New sentences by key, so many at a time."""
    chunk: dict[bytes, Tensor] = {}
    for ids in batches:
        for sentence in split_sentences(ids):
            key = sentence_key(sentence)
            if key not in seen:
                seen.add(key)
                chunk[key] = sentence.clone()
        if len(chunk) >= _CHUNK:
            yield chunk
            chunk = {}
    if chunk:
        yield chunk
