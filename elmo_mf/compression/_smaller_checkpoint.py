"""Write the files of an ELMo with fewer memory cells."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elmo_mf.bilm import BilmOptions, read_weights
from elmo_mf.bilm.checkpoint import FLOAT_DTYPES
from elmo_mf.bilm.checkpoint_files import CheckpointFiles, checkpoint_files
from elmo_mf.compression._cell_checks import check_cells
from elmo_mf.errors import InputError, one_of
from elmo_mf.io import atomic_files, check_folder, exclusive, is_regular
from elmo_mf.io.sentences import check_texts
from elmo_mf.provenance import regular_hash

if TYPE_CHECKING:
    from elmo_mf.compression._activation_error import ActivationError

SMALLER_FILES = ("options.json", "weights.hdf5", "MODEL_CARD.md")
"""Names of the files that `shrink_checkpoint` always writes."""
SOFTMAX_FILES = ("softmax.hdf5", "vocabulary.txt")
"""Names of the files that it copies, where they are next to the weights."""


@dataclass(frozen=True)
class SmallerCheckpoint:
    """An ELMo with fewer memory cells in a folder.

    Attributes:
        folder: The folder.
        cells: Number of cells in each direction of each layer, before and after.
        parameters: Number of the biLSTM's parameters, before and after.
        activation_error: Error of the layers' outputs.
    """

    folder: Path
    cells: tuple[int, int]
    parameters: tuple[int, int]
    activation_error: ActivationError


def shrink_checkpoint(
    options: str | Path,
    weights: str | Path | None = None,
    *,
    out: str | Path,
    cells: int,
    calibration: str | Path | None = None,
    gradients: str | Path | None = None,
    dtype: str = "float32",
    licence: str | None = None,
) -> SmallerCheckpoint:
    """Remove memory cells of an ELMo, and write the result with a model card; `elmo-mf shrink` calls this function.

    The result is a dense ELMo in the official layout, which can be compressed further. A softmax next to the weights
    is copied, because the smaller ELMo predicts words with it too. All files are replaced together, or not at all.

    Args:
        options: `options.json` of the ELMo; or, without `weights`, a folder or a zip with all its files.
        weights: Weights of the ELMo, HDF5.
        out: Folder for the result.
        cells: Number of cells to keep in each direction of each layer, see `remove_cells`.
        calibration: Tokenised text, one sentence per line. Defaults to the text that comes with elmo-mf.
        gradients: File that `elmo-mf gradients` wrote for this ELMo. Defaults to none.
        dtype: Type of the stored weights: `float32` or `float16`. Defaults to float32.
        licence: Licence for the model card. Defaults to the one on the card of the weights.

    Returns:
        What was written, with its error.

    Raises:
        InputError: See `remove_cells`; or a file cannot be read or written.

    Examples:
        >>> from tempfile import mkdtemp
        >>> from elmo_mf.compression import shrink_checkpoint
        >>> smaller = shrink_checkpoint("weights/demo", out=mkdtemp(), cells=256)
        >>> smaller.cells
        (512, 256)
    """
    if dtype not in FLOAT_DTYPES:
        raise InputError("dtype", f"found {dtype}, {one_of(dtype, FLOAT_DTYPES)}")
    texts = {name: None if path is None else Path(path) for name, path in
             (("calibration", calibration), ("gradients", gradients))}  # fmt: skip
    with checkpoint_files(options, weights) as files:
        check_folder("out", Path(out), (*SMALLER_FILES, *SOFTMAX_FILES), (*files.inputs, *texts.values()))
        check_texts([texts["calibration"]])
        return _shrink(files, Path(out), cells, texts, dtype, licence)


def _shrink(
    files: CheckpointFiles, out: Path, cells: int, texts: dict[str, Path | None], dtype: str, licence: str | None
) -> SmallerCheckpoint:
    hashes = {name: _hash(name, path) for name, path in texts.items()}
    parsed = BilmOptions.from_file(files.options)
    before = read_weights(files.weights, parsed, files.vocabulary)
    check_cells(before, cells)
    # only now those that import torch: what was wrong so far is said at once
    from elmo_mf.bilm import Bilm
    from elmo_mf.compression._activation_error import activation_error
    from elmo_mf.compression._model_card import Source, write_smaller_card
    from elmo_mf.compression.calibration import CALIBRATION_TEXT, calibration_sentences
    from elmo_mf.compression.cells import remove_cells
    from elmo_mf.compression.size import size_report

    text = texts["calibration"] or CALIBRATION_TEXT
    after, smaller = remove_cells(before, parsed, cells, text, texts["gradients"])
    noted = smaller.followed_by({"cells": cells, **hashes})
    error = activation_error(Bilm(parsed, before).eval(), Bilm(noted, after).eval(), calibration_sentences(text))
    sizes = size_report(before, parsed), size_report(after, noted)
    parameters = sizes[0].lstm_parameters, sizes[1].lstm_parameters
    result = SmallerCheckpoint(out, (parsed.lstm.dim, cells), parameters, error)
    with exclusive(out, f"a result to {out}"), atomic_files(out, obsolete=SOFTMAX_FILES) as staging:
        Bilm(noted, after).save(staging, dtype)
        for name in SOFTMAX_FILES:
            if is_regular(beside := files.weights.parent / name):
                shutil.copyfile(beside, staging / name)
        source = Source.of(files.options, files.weights, licence)
        write_smaller_card(staging, source, noted, parsed.lstm.dim, parameters, error, hashes)
    return result


def _hash(name: str, path: Path | None) -> str | None:
    return None if path is None else regular_hash(str(path), f"file of {name}", "one that can be read")
