"""Embed a text file into HDF5, in bounded memory and resumably.

The result has the layout of the `allennlp elmo` command: one dataset for each line, named by its number counted from
0, and `sentence_to_index`, see `_index.py`.

The vectors of each window of lines are written to a part, a file in `OUTPUT.parts`, see `_parts.py`. When all parts are
complete, they are joined into OUTPUT and the folder is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from elmo_mf.bilm.chunks import embed_in_chunks
from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.weights import Array
from elmo_mf.embed._embed_settings import EmbedSettings, Keep
from elmo_mf.embed._fasta import keys_of
from elmo_mf.embed._index import SentenceIndex
from elmo_mf.embed._output_file import expect_none, parts_folder
from elmo_mf.embed._parts import Parts, finished
from elmo_mf.embed._text import TextFile, Window, split, windows
from elmo_mf.errors import InputError
from elmo_mf.io import atomic_path, check_space, exclusive, output_errors, remove_folder
from elmo_mf.progress import stage
from elmo_mf.storage import hdf5_file


def embed_file(
    bilm: Bilm,
    encoder_identity: dict[str, Any],
    text: TextFile,
    output: Path,
    settings: EmbedSettings,
    resuming: Callable[[Path], None] = lambda _: None,
    identifiers: Sequence[str] | None = None,
) -> int:
    """Write the vectors of a text, resuming an interrupted run.

    Args:
        bilm: The encoder.
        encoder_identity: What the encoder depends on (hashes, compression); parts of other encoders are rejected.
        text: The text.
        output: The HDF5 file to write.
        settings: How the text is embedded.
        resuming: Called with the folder of existing parts, if there are any.
        identifiers: Names of the lines, see `_fasta.py`. They name the datasets, in place of the lines' numbers and of
            `sentence_to_index`.

    Returns:
        The number of lines whose vectors existed already.

    Raises:
        InputError: `output` exists, parts of another run lie next to it, another process is writing it, or the disk has
            too little space.
        OutputError: A file cannot be written.
    """
    folder = parts_folder(output)
    identity = json.loads(json.dumps({"input": text.sha256, "keep": settings.keep, "elmo": encoder_identity}))
    if settings.mean:
        identity["mean"] = True
    if identifiers is not None:
        identity["identifiers"] = hashlib.sha256("\n".join(identifiers).encode()).hexdigest()
    with output_errors(output), exclusive(folder, f"the output {output}"):
        if os.path.lexists(output) and finished(folder, identity, output):
            remove_folder(folder)
            return text.lines
        expect_none(output)
        parts = Parts(folder, identity)
        _check_space(bilm, text, output, settings, parts.size())
        if parts.size():
            resuming(folder)
        with SentenceIndex(folder) as index:
            files, reused = _write_missing_parts(bilm, text, settings, parts, index)
            with atomic_path(output) as path:
                join_parts(files, index if identifiers is None else identifiers, path)
                _check_complete(path, text.lines, output, 1 if identifiers is None else 0)
                expect_none(output)  # another process may have created it meanwhile
                parts.record_result(path)
        remove_folder(folder)
    return reused


def _check_space(bilm: Bilm, text: TextFile, output: Path, settings: EmbedSettings, written: int) -> None:
    """Check the disk space for the parts and the result, which exist side by side at the end."""
    layers = bilm.options.lstm.n_layers + 1 if settings.keep == "all" else 1
    tokens = text.lines if settings.mean else text.words
    vectors = 4 * layers * tokens * 2 * bilm.options.lstm.projection_dim
    check_space("OUTPUT", output, 2 * vectors - min(written, vectors))


def _write_missing_parts(
    bilm: Bilm,
    text: TextFile,
    settings: EmbedSettings,
    parts: Parts,
    index: SentenceIndex,
) -> tuple[list[Path], int]:
    """Write the missing parts; return the paths of all, and the number of lines in those that existed."""
    files, reused = [], 0
    with stage("embedding", text.lines, "sentences") as advance:
        for window in windows(text, settings.window_lines, settings.window_tokens):
            if parts.have(window):
                reused += len(window.sentences)
            else:
                with parts.writing(window) as path:
                    _write_part(bilm, window, path, settings)
            files.append(parts.path(window))
            for number, sentence in enumerate(window.sentences, start=window.start):
                index.add(sentence, number)
            advance(len(window.sentences))
    return files, reused


def _write_part(bilm: Bilm, window: Window, path: Path, settings: EmbedSettings) -> None:
    """Write the vectors of a window in the order of its lines, computed in batches of similar length."""
    sentences = [split(sentence) for sentence in window.sentences]
    short = sorted(
        (n for n, words in enumerate(sentences) if len(words) <= settings.chunk), key=lambda n: len(sentences[n])
    )
    vectors: dict[int, Array] = {}
    for chosen in _batches(short, sentences, settings):
        for index, layers in zip(chosen, bilm.embed([sentences[n] for n in chosen], settings.batch), strict=True):
            kept = _kept(layers, settings.keep)
            vectors[index] = _mean(kept) if settings.mean else kept
    with hdf5_file(path) as file:
        for index, words in enumerate(sentences):
            name = str(window.start + index)
            if index in vectors:
                file[name] = vectors.pop(index)
            else:
                _write_long(bilm, words, file, name, settings)


def _batches(order: list[int], sentences: Sequence[Sequence[str]], settings: EmbedSettings) -> Iterator[list[int]]:
    """Yield batches of at most `batch` sentences and about eight chunks of tokens, or of one longer sentence."""
    chosen: list[int] = []
    for index in order:
        if chosen and (len(chosen) == settings.batch or (len(chosen) + 1) * len(sentences[index]) > 8 * settings.chunk):
            yield chosen
            chosen = []
        chosen.append(index)
    if chosen:
        yield chosen


def _write_long(bilm: Bilm, words: Sequence[str], file: h5py.File, name: str, settings: EmbedSettings) -> None:
    p, layers = bilm.options.lstm.projection_dim, bilm.options.lstm.n_layers + 1
    outer = (layers,) if settings.keep == "all" else ()
    total = np.zeros((*outer, 2 * p))
    dataset = file.create_dataset(name, (*outer, 2 * p) if settings.mean else (*outer, len(words), 2 * p), np.float32)
    for start, direction, vectors in embed_in_chunks(bilm, words, settings.chunk):
        kept, columns = _kept(vectors, settings.keep), slice(direction * p, (direction + 1) * p)
        if settings.mean:
            total[..., columns] += kept.sum(axis=-2, dtype=np.float64)
        else:
            dataset[..., start : start + vectors.shape[1], columns] = kept
    if settings.mean:
        dataset[...] = total / len(words)


def _kept(layers: Array, keep: Keep) -> Array:
    if keep == "all":
        return layers
    return layers[-1] if keep == "top" else np.asarray(layers.mean(axis=0), np.float32)


def _mean(vectors: Array) -> Array:
    """Return the mean over the tokens; zeros for a line without any."""
    tokens = max(vectors.shape[-2], 1)
    return np.asarray(vectors.sum(axis=-2, dtype=np.float64) / tokens, np.float32)


def join_parts(files: list[Path], index: SentenceIndex | Sequence[str], path: Path) -> None:
    """Copy the datasets of all parts into one file.

    Args:
        files: The parts, HDF5 files.
        index: The index to add; or the identifiers by which the datasets are named instead of numbers.
        path: The file to write.
    """
    with hdf5_file(path) as joined:
        for part in files:
            with h5py.File(part) as file:
                for name in file:
                    if isinstance(index, SentenceIndex):
                        file.copy(name, joined)
                    else:
                        identifier = index[int(name)]
                        (key,) = keys_of([identifier])
                        file.copy(name, joined, key)
                        joined[key].attrs["id"] = identifier
        if isinstance(index, SentenceIndex):
            index.write(joined)


def _check_complete(path: Path, lines: int, output: Path, others: int) -> None:
    """Check the number of lines with vectors; `others` are other datasets."""
    with h5py.File(path) as file:
        complete = len(file) - others
    if complete != lines:
        raise InputError(output, f"found vectors of {complete} lines, expected {lines}; run the command again")
