"""Embed a text file into HDF5: in bounded memory, and resumable.

The result has the layout of the `allennlp elmo` command: a dataset for each line, named by its number from 0 on, and
`sentence_to_index`, a JSON text from each sentence to its number (the last one's where a sentence repeats).

Each window of lines becomes a part, a file of its own in `OUTPUT.parts`, written whole or not at all. When all are
there they are joined into OUTPUT, and the folder goes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from elmo_mf.bilm.bilm import Bilm
from elmo_mf.bilm.pieces import embed_in_pieces
from elmo_mf.bilm.weights import Array
from elmo_mf.embed.text import TextFile, Window, windows
from elmo_mf.errors import InputError
from elmo_mf.io import atomic_path, hdf5_file

Keep = Literal["all", "top", "average"]
KEEP: tuple[Keep, ...] = ("all", "top", "average")
WINDOW_TOKENS = 16_384


@dataclass(frozen=True)
class Settings:
    """How a file is embedded.

    # Parameters
    keep: `all` layers (n_layers + 1, tokens, 2p), the `top` one or their `average`, both (tokens, 2p).
    batch: sentences a batch.
    piece: tokens; longer sentences run in pieces of so many.
    """

    keep: Keep = "all"
    batch: int = 32
    piece: int = 1024


def embed_file(
    bilm: Bilm,
    made_by: dict[str, Any],
    text: TextFile,
    output: Path,
    settings: Settings,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the vectors of `text` to `output`, going on where a run that was cut had stopped.

    # Parameters
    made_by: what the encoder depends on (hashes, compression), to tell whether parts that are there can be used.
    progress: told how many lines are done.

    # Raises
    InputError: `output` exists, or parts of another run lie beside it.
    """
    if output.exists():
        raise InputError(f"{output}: found a file already, expected a new name")
    parts = output.with_name(output.name + ".parts")
    _claim(parts, {"input": text.sha256, "keep": settings.keep, "elmo": made_by})
    files = []
    for window in windows(text, 32 * settings.batch, WINDOW_TOKENS):
        files.append(parts / f"{window.start:012d}.hdf5")
        if not files[-1].exists():
            with atomic_path(files[-1]) as path:
                _write_part(bilm, window, path, settings)
        progress(window.start + len(window.sentences))
    with atomic_path(output) as path:
        _join(files, text, path, parts)
    shutil.rmtree(parts)


def _claim(parts: Path, identity: dict[str, Any]) -> None:
    """Make the folder of parts, or check that the one there is of the same run."""
    note = parts / "run.json"
    if not parts.exists():
        with atomic_path(note) as path:
            path.write_text(json.dumps(identity), encoding="utf-8")
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found != json.loads(json.dumps(identity)):
        raise InputError(
            f"{parts}: found parts of another run, expected none; remove the folder or choose another name"
        )


def _write_part(bilm: Bilm, window: Window, path: Path, settings: Settings) -> None:
    """Vectors of a window, computed in batches of similar length and written in the order of the lines."""
    sentences = [sentence.split() for sentence in window.sentences]
    short = sorted(
        (n for n, words in enumerate(sentences) if len(words) <= settings.piece), key=lambda n: len(sentences[n])
    )
    vectors: dict[int, Array] = {}
    for chosen in _batches(short, sentences, settings):
        for index, layers in zip(chosen, bilm.embed([sentences[n] for n in chosen], settings.batch), strict=True):
            vectors[index] = _kept(layers, settings.keep)
    with hdf5_file(path) as file:
        for index, words in enumerate(sentences):
            name = str(window.start + index)
            if index in vectors:
                file[name] = vectors.pop(index)
            else:
                _write_long(bilm, words, file, name, settings)


def _batches(order: list[int], sentences: list[list[str]], settings: Settings) -> Iterator[list[int]]:
    """At most `batch` sentences and, but for a single one, about eight pieces of tokens at a time."""
    chosen: list[int] = []
    for index in order:
        if chosen and (len(chosen) == settings.batch or (len(chosen) + 1) * len(sentences[index]) > 8 * settings.piece):
            yield chosen
            chosen = []
        chosen.append(index)
    if chosen:
        yield chosen


def _write_long(bilm: Bilm, words: Sequence[str], file: h5py.File, name: str, settings: Settings) -> None:
    p, layers = bilm.options.lstm.projection_dim, bilm.options.lstm.n_layers + 1
    shape = (layers, len(words), 2 * p) if settings.keep == "all" else (len(words), 2 * p)
    dataset = file.create_dataset(name, shape, np.float32)
    for start, direction, vectors in embed_in_pieces(bilm, words, settings.piece):
        kept = _kept(vectors, settings.keep)
        dataset[..., start : start + vectors.shape[1], direction * p : (direction + 1) * p] = kept


def _kept(layers: Array, keep: Keep) -> Array:
    if keep == "all":
        return layers
    return layers[-1] if keep == "top" else np.asarray(layers.mean(axis=0), np.float32)


def _join(files: list[Path], text: TextFile, path: Path, parts: Path) -> None:
    with hdf5_file(path) as joined:
        for part in files:
            with h5py.File(part) as file:
                for name in file:
                    file.copy(name, joined)
        _write_index(text, joined, parts / "sentence_to_index.json")


def _write_index(text: TextFile, joined: h5py.File, spool: Path) -> None:
    """`sentence_to_index`, spooled through a file that is mapped and never read into memory."""
    with open(spool, "w", encoding="utf-8") as file:
        for number, sentence in enumerate(text.sentences()):
            file.write(f'{"," if number else "{"}{json.dumps(sentence)}: "{number}"')
        file.write("}")
    size = spool.stat().st_size
    mapped = np.memmap(spool, dtype=f"S{size}", mode="r", shape=(1,))
    joined.create_dataset("sentence_to_index", data=mapped)
