"""Checks of a sweep's files and disk space before its first run starts.

A file that passed is remembered by its hash, so that the next sweep into the same folder does not read it again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.errors import InputError
from elmo_mf.experiments import Workspace, workspace
from elmo_mf.io import TextLines, check_space
from elmo_mf.provenance import file_hash
from elmo_mf.records import Compression
from elmo_mf.records.run import Run
from elmo_mf.tasks._run_data import limited_data
from elmo_mf.tasks._word_vector_file import check_word_vectors, read_word_vectors, word_vector_dims
from elmo_mf.tasks.spec import SweepSpec

_CHECKPOINTS = 3  # that AllenNLP keeps in training: the last two and the best
_RECORD = 100_000  # bytes


def check_needs(spec: SweepSpec, runs: list[Run], output: Path, workers: int, option: str = "output") -> None:
    """Check the data, word vectors and texts of `runs`, each file as a whole, and the free disk space.

    Args:
        spec: The sweep.
        runs: The runs to check.
        output: Folder of the sweep.
        workers: Number of runs that train on this disk at a time; 0 for none.
        option: Name of `output`, for the message. Defaults to `output`.

    Raises:
        InputError: A run would fail on a file, perhaps after hours, or the disk is too full; the message says where.
    """
    with workspace(output, "checks", int(spec.cache_mb * 1e6)) as work:
        for run in {run.task: run for run in runs}.values():
            limited_data(spec, run, work)
        if any(run.identity.is_bilm for run in runs):
            _check_softmax(spec)
        for run in {(run.task, run.identity.words): run for run in runs}.values():
            _check_words(spec, run, work)
        for text in dict.fromkeys(itertools.chain.from_iterable(_texts(run.compression) for run in runs)):
            _once(work, "texts", text, partial(_check_text, text))
    check_space(option, output, _least_size(spec, runs, workers))


def _once(work: Workspace, kind: str, path: Path, check: Callable[[], None]) -> None:
    """Check a file unless one with the same content has already passed."""
    work.cache.get(kind, file_hash(path)[:32], lambda _: check())


def _check_words(spec: SweepSpec, run: Run, work: Workspace) -> None:
    path = spec.glove_of(run.task)
    if path is not None and run.identity.words is not None:
        if run.identity.is_probe:
            _once(work, "words", Path(path), partial(_check_readable, Path(path)))
        for dim in set(word_vector_dims(run.identity.config)):
            _once(work, f"words-{dim}", Path(path), partial(check_word_vectors, Path(path), dim))


def _check_softmax(spec: SweepSpec) -> None:
    from elmo_mf.tasks._bilm_run import softmax_files

    softmax_files(spec).read(BilmOptions.from_file(spec.options).lstm.projection_dim)
    if spec.smaller is not None:
        width = BilmOptions.from_file(spec.smaller_files().options).lstm.projection_dim
        softmax_files(spec, "smaller").read(width)


def _check_readable(words: Path) -> None:
    read_word_vectors(words)


def _texts(compression: Compression | None) -> list[Path]:
    """Return the texts that a compression reads for calibration and distillation."""
    if compression is None:
        return []
    paths = [compression.calibration, compression.distill and compression.distill.text]
    return [Path(path) for path in paths if path]


def _check_text(path: Path) -> None:
    if not sum(bool(line.split()) for line in TextLines(path)):  # reads the whole file
        raise InputError(path, "found no words, expected one tokenised sentence per line")


def _least_size(spec: SweepSpec, runs: list[Run], workers: int) -> int:
    """Return a lower bound of the bytes that will be written: checkpoints, which contain the encoder, and records."""
    if all(run.is_language_model for run in runs):
        return _RECORD * len(runs)
    return min(workers, len(runs)) * _CHECKPOINTS * Path(spec.weights).stat().st_size + _RECORD * len(runs)
