"""Activations of a frozen encoder on a task's sentences, in files that runs share.

`vectors` contains float32 numbers (tokens, layers, 2p), sentence after sentence; `sentences.npy` contains the key and
length of each sentence.
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
CHUNK = 1024
"""Number of sentences that are sorted by length together before they are encoded."""
_BATCH = 64
_ERRORS = (
    ValueError,
    EOFError,
    SyntaxError,
    TypeError,
    MemoryError,
    OverflowError,
    TokenError,
    zipfile.BadZipFile,
)
_MAX_BYTES = 1 << 30  # of the keys and lengths
_MAX_TOKENS = 1 << 24  # of a sentence


class StoredActivations(Mapping[bytes, Tensor]):
    """Activations (layers, tokens + 2, 2p) by `sentence_key`, memory-mapped, so that only those in use take memory.

    Args:
        folder: Folder of the files.
        layers: Number of layers, including the token layer.
        width: Numbers per token and layer.

    Raises:
        InputError: A file is missing, or the files do not match each other or the given sizes.
    """

    def __init__(self, folder: Path, layers: int, width: int) -> None:
        sentences = _read_sentences(folder / "sentences.npy")
        lengths = sentences["length"]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        shape = (int(starts[-1]), layers, width)
        expected = f"{shape[0]:,} tokens of {layers} layers with {width} numbers"
        with open_regular(folder / "vectors", "file of activations", expected) as file:
            if (size := os.fstat(file.fileno()).st_size) != 4 * math.prod(shape):
                raise InputError(folder / "vectors", f"found {size:,} bytes, expected {expected}")
            self._vectors = np.zeros(shape, np.float32)
            if size:  # a map cannot be empty; copy-on-write, because PyTorch warns about read-only arrays
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
    content = read_bytes(path, "list of sentences", expected, most=_MAX_BYTES)
    try:
        sentences = np.load(io.BytesIO(content), allow_pickle=False, max_header_size=10_000)
        if not isinstance(sentences, np.ndarray) or sentences.dtype != _KEYS or sentences.ndim != 1:
            raise ValueError("other columns")
        if ((sentences["length"] < 1) | (sentences["length"] > _MAX_TOKENS)).any():
            raise ValueError("lengths out of range")
    except _ERRORS as error:
        raise InputError(path, f"found no list of sentences ({one_line(error)}), expected {expected}") from None
    return sentences


def write_activations(
    folder: Path,
    bilm: Bilm,
    batches: Iterable[Tensor],
    has_room: Callable[[int], bool],
    pause: Callable[[], None] = lambda: None,
    chunk_size: int = CHUNK,
) -> None:
    """Run the encoder on each sentence once and write the activations to `folder`.

    Args:
        folder: Folder of the files.
        bilm: The encoder.
        batches: Character ids, each (sentences, longest, characters).
        has_room: Returns whether a number of bytes can be written; if not, the remaining sentences are skipped.
        pause: Called between batches.
        chunk_size: Number of sentences that are sorted by length together.
    """
    written: list[tuple[bytes, int]] = []
    seen: set[bytes] = set()
    bytes_per_token = 4 * (bilm.options.lstm.n_layers + 1) * bilm.output_dim
    with open(folder / "vectors", "wb") as file:
        for chunk in _chunks(batches, seen, chunk_size):
            if not has_room(sum(len(ids) + 2 for ids in chunk.values()) * bytes_per_token):
                break
            ordered = sorted(chunk, key=lambda key: len(chunk[key]))
            for start in range(0, len(ordered), _BATCH):
                keys = ordered[start : start + _BATCH]
                vectors = sentence_vectors(bilm, [chunk[key] for key in keys])
                for key, vector in zip(keys, vectors, strict=True):
                    file.write(vector.transpose(0, 1).contiguous().cpu().numpy().tobytes())
                    written.append((key, vector.shape[1]))
                pause()
    with open(folder / "sentences.npy", "wb") as file:
        np.save(file, np.array(written, _KEYS), allow_pickle=False)


def _chunks(batches: Iterable[Tensor], seen: set[bytes], size: int) -> Iterator[dict[bytes, Tensor]]:
    """Yield new sentences by key, at least `size` at a time except the last."""
    chunk: dict[bytes, Tensor] = {}
    for ids in batches:
        for sentence in split_sentences(ids):
            key = sentence_key(sentence)
            if key not in seen:
                seen.add(key)
                chunk[key] = sentence.clone()
        if len(chunk) >= size:
            yield chunk
            chunk = {}
    if chunk:
        yield chunk
