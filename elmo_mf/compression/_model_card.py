"""Model cards, `MODEL_CARD.md` next to weights: their source, how they were compressed or trained, and their use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.compression._activation_error import ActivationError
from elmo_mf.compression._report import CompressionReport
from elmo_mf.errors import without_breaks
from elmo_mf.escape import code, markdown, yaml
from elmo_mf.io import read_bytes, write_text
from elmo_mf.provenance import file_hash, provenance
from elmo_mf.records.compression import Compression, parse_compression
from elmo_mf.records.labels import compression_label
from elmo_mf.records.pretraining import PretrainRecord, StartRecord

CARD_FILE = "MODEL_CARD.md"
_ON_THE_HUB = "README.md"
NOT_STATED = "not stated"
_UNKNOWN = "unknown"
_LICENCE_TEXT = "license_text"
_HUB_LICENCES = {
    "afl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "gpl-3.0", "isc", "lgpl-3.0", "mit", "mpl-2.0",
    "odc-by", "pddl", "unlicense",
}  # fmt: skip
"""The common ones of the licences that the Hub knows: https://huggingface.co/docs/hub/repositories-licenses."""
_MOST_BYTES = 1_000_000
_MOST_TEXT = 10_000


@dataclass(frozen=True)
class Source:
    """The files of the checkpoint that was compressed, with their SHA-256, and its licence."""

    options: str
    weights: str
    licence: str

    @classmethod
    def of(cls, options: Path, weights: Path, licence: str | None) -> Source:
        """Hash a checkpoint's files, before the work, because files may change meanwhile.

        Args:
            options: Its options file.
            weights: Its weights file.
            licence: Its licence; None for the one on the source's own card.

        Raises:
            InputError: A card exists and cannot be read.
        """
        return cls(_file(options), _file(weights), licence or licence_on_card(weights.parent))


def write_compressed_card(
    folder: Path,
    source: Source,
    compression: Compression | None,
    hashed: Compression | None,
    report: CompressionReport,
    options: BilmOptions,
    dense: bool,
    dtype: str,
) -> None:
    """Write the card of a compressed checkpoint.

    Args:
        folder: Folder of the checkpoint.
        source: The checkpoint that was compressed.
        compression: What was done to it; None if its matrices were only rounded.
        hashed: The same with files by their SHA-256, see `with_file_hashes`.
        report: The report on the compression.
        options: Options of the compressed encoder.
        dense: Whether the rebuilt matrices were stored in place of the factors.
        dtype: Type of the stored weights, see `write_weights`.
    """
    size, error = report.size, report.activation_error
    stored = "rebuilt matrices, as large and as fast as before" if dense else "factors, which run as such"
    label = f"rounding to {dtype}" if compression is None else _label(compression)
    facts = {
        "source": source.weights,
        "its options": source.options,
        "licence": source.licence,
        "architecture": _architecture(options),
        "method": f"rounded to {dtype}, not factorized" if compression is None else f"{label} ({stored})",
        "stored as": _STORED.get(dtype, dtype),
        **_removed(report.cells, hashed),
        "parameters of the biLSTM": f"{size.lstm_parameters:,} of {size.lstm_dense_parameters:,}",
        "times smaller": f"{size.lstm_ratio:.2f} (with the {options.token_layer.title} {size.encoder_ratio:.2f})",
        "multiply-adds per token": f"{size.lstm_multiply_adds:,} of {size.lstm_dense_multiply_adds:,}",
        "activation error": f"{error.overall:.3f} on {error.sentences} sentences, by layer "
        + ", ".join(f"{one:.3f}" for one in error.layers),
        **_texts(compression, hashed),
    }
    rows = [
        (row.name, " x ".join(map(str, row.factorization.shape)), row.factorization.form,
         f"{row.factorization.parameters:,}", f"{row.factorization.error:.3f}", f"{row.factorization.input_error:.3f}")
        for row in report.rows
    ]  # fmt: skip
    errors = _table(("matrix", "shape", "rank", "parameters", "error", "error on inputs"), rows)
    fewer = report.cells[1] < report.cells[0]
    matrices = f"## Matrices\n\n{errors}\n\n{_ERRORS}{_OF_FEWER if fewer else ''}" if rows else ""
    _write(folder, f"ELMo compressed by {label}", facts, matrices, _COMPRESSED)


def _texts(compression: Compression | None, hashed: Compression | None) -> dict[str, str]:
    """Return what a card says of the texts that a compression read."""
    if compression is None or hashed is None:
        return {"calibrated on": "nothing", "distilled on": "nothing"}
    calibrated = _text(compression.calibration, hashed.calibration, "the text that comes with elmo-mf")
    distilled = "nothing"
    if compression.distill is not None and hashed.distill is not None:
        distilled = _named(Path(compression.distill.text), hashed.distill.text)
    return {"calibrated on": calibrated, "distilled on": distilled}


def write_smaller_card(
    folder: Path,
    source: Source,
    options: BilmOptions,
    cells: int,
    parameters: tuple[int, int],
    error: ActivationError,
    hashes: Mapping[str, str | None],
) -> None:
    """Write the card of an ELMo with fewer memory cells.

    Args:
        folder: Folder of its files.
        source: The ELMo that had more.
        options: Options of the result.
        cells: Number of cells that the source has in each direction of each layer.
        parameters: Number of parameters of the biLSTM before and after.
        error: Error of the layers' outputs.
        hashes: SHA-256 of the files `calibration` and `gradients`; None for those that were not given.
    """
    facts = {
        "source": source.weights,
        "its options": source.options,
        "licence": source.licence,
        "architecture": _architecture(options),
        **_kept((cells, options.lstm.dim), hashes["gradients"]),
        "parameters of the biLSTM": f"{parameters[1]:,} of {parameters[0]:,}",
        "activation error": f"{error.overall:.3f} on {error.sentences} sentences, by layer "
        + ", ".join(f"{one:.3f}" for one in error.layers),
        "calibrated on": f"a text, SHA-256 {hashes['calibration']}"
        if hashes["calibration"]
        else "the text that comes with elmo-mf",
    }
    _write(folder, f"ELMo with {options.lstm.dim:,} memory cells", facts, "", _COMPRESSED)


def _removed(cells: tuple[int, int], hashed: Compression | None) -> dict[str, str]:
    """Return what a card says of the memory cells that a compression removed."""
    if hashed is None or hashed.cells is None:
        return {}
    facts = _kept(cells, hashed.gradients)
    if hashed.cells == "budget":
        facts["memory cells"] += ", chosen within the budget"
    return facts


def _kept(cells: tuple[int, int], gradients: str | None) -> dict[str, str]:
    """Return what a card says of the memory cells that are left."""
    before, after = cells
    by = f"the loss, gradients with SHA-256 {gradients}" if gradients else "the outputs of the projection"
    kept = f"{after:,} of {before:,} in each direction of each layer"
    return {"memory cells": kept, "cells chosen by": by}


def write_pretrained_card(folder: Path, record: PretrainRecord, options: BilmOptions, licence: str | None) -> None:
    """Write the card of pretrained weights.

    Args:
        folder: Folder of the weights.
        record: Record of the run.
        options: Options of the ELMo.
        licence: Licence of the weights; None where it is not known.
    """
    compression = record.settings.get("compression")
    facts = {
        "licence": licence or NOT_STATED,
        "architecture": _architecture(options),
        "low-rank from the start": "no" if compression is None else _label(parse_compression(compression)),
        **_started(record.start),
        "trained on": f"{record.train_words:,} words, SHA-256 " + ", ".join(record.train_sha256),
        "held-out perplexity": f"{record.held_out_perplexity} on {record.held_out_words:,} words (a unigram model: "
        f"{record.held_out_unigram_perplexity:.1f})",
        "vocabulary of the softmax": f"{record.vocabulary_size:,} words",
        "command": code(record.command),
        "hours of training": f"{record.training_seconds / 3600:.2f} on {markdown(record.device)}",
        "weights": f"SHA-256 {record.weights_sha256}",
    }
    _write(folder, "ELMo, pretrained", facts, "", _PRETRAINED)


def _started(start: StartRecord | None) -> dict[str, str]:
    """Return what a card says of the ELMo that a training continued from."""
    if start is None:
        return {}
    facts = {"continued from": f"weights, SHA-256 {start.hashes['weights']}"}
    before = start.held_out_perplexity
    return facts if before is None else facts | {"held-out perplexity before": str(before)}


def write_converted_card(
    folder: Path,
    files: Sequence[Path],
    options_file: Path,
    options: BilmOptions,
    n_words: int | None,
    licence: str | None,
    source: str = "TensorFlow",
) -> None:
    """Write the card of converted weights.

    Args:
        folder: Folder of the result.
        files: The files that were converted.
        options_file: Their options.
        options: Options of the encoder.
        n_words: Size of the softmax's vocabulary; None if there is no softmax.
        licence: Licence of the weights.
        source: What the weights were converted from, for the title.
    """
    facts = {
        "source": "; ".join(map(_file, files)),
        "its options": _file(options_file),
        "licence": licence or NOT_STATED,
        "architecture": _architecture(options),
        "vocabulary of the softmax": "no softmax" if n_words is None else f"{n_words:,} words",
    }
    _write(folder, f"ELMo, converted from {source}", facts, "", _CONVERTED)


def licence_on_card(folder: Path) -> str:
    """Read the licence on the card in a folder; `not stated` where there is none.

    Without a `MODEL_CARD.md`, the front matter of a `README.md` counts, which a card is on the Hugging Face Hub.
    """
    text = _card(folder / CARD_FILE)
    if text is None:
        front = re.match(r"---\n(.*?\n)---\n", _card(folder / _ON_THE_HUB) or "", re.DOTALL)
        text = front[1] if front else ""
    lines = (re.search(rf"^{key}: (.+)$", text, re.MULTILINE) for key in (_LICENCE_TEXT, "license"))
    licence = next((_unquoted(_cell(line[1])) for line in lines if line), "")
    return licence if licence not in ("", _UNKNOWN) else NOT_STATED


def _card(path: Path) -> str | None:
    if not path.exists():
        return None
    return read_bytes(path, "model card", "a text of a few pages", most=_MOST_BYTES).decode("utf-8", "replace")


def _license(text: str) -> str:
    """The lines on a licence in the front matter: an identifier of the Hugging Face Hub, or `other` and the text."""
    if text == NOT_STATED:
        return f"license: {_UNKNOWN}"
    identifier = text.lower()
    if identifier in _HUB_LICENCES:
        return f"license: {identifier}"
    return f"license: other\n{_LICENCE_TEXT}: {yaml(text)}"


def _unquoted(value: str) -> str:
    """The text of a YAML value."""
    try:
        text = json.loads(value) if value.startswith('"') else value
    except ValueError:
        return value
    return _cell(text)


def _write(folder: Path, title: str, facts: Mapping[str, str], more: str, use: str) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in provenance().versions.items() if version)
    parts = [
        f"---\n{_license(_cell(facts['licence']))}\nlibrary_name: elmo-mf\n---",
        f"# {title}",
        _table(("", ""), list({**facts, "licence": markdown(_cell(facts["licence"]))}.items())),
        *([more] if more else []),
        f"## Use\n\n{use}\n\n{_LOADING}",
        f"Made with {versions}.",
    ]
    write_text(folder / CARD_FILE, "\n\n".join(parts) + "\n")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A text for a table: one line, without the character that divides columns, at most 10,000 characters."""
    return without_breaks(text, _MOST_TEXT).replace("|", "/")


def _label(compression: Compression) -> str:
    return markdown(compression_label(compression))


def _file(path: Path) -> str:
    return _named(path, file_hash(path))


def _text(path: str | None, sha256: str | None, otherwise: str) -> str:
    return otherwise if path is None else _named(Path(path), sha256)


def _named(path: Path, sha256: str | None) -> str:
    return f"{code(path.name)}, SHA-256 {sha256}"


def _architecture(options: BilmOptions) -> str:
    lstm = options.lstm
    return f"{lstm.n_layers} layers, {lstm.dim} cells and projections of {lstm.projection_dim} a direction"


_STORED = {
    "int8": "matrices of int8 with a scale for each output, the rest float16",
    "int4": "matrices of the biLSTM in four bits with a scale for 32 inputs of each output, the others of int8, the "
    "rest float16",
}
_ERRORS = (
    "Errors are relative: of the matrix in Frobenius norm, and of its products with real inputs. The activation error "
    "is |compressed - source| / |source| of the biLSTM layers' outputs."
)
_OF_FEWER = " Matrices are compared with those of the source without the cells that were removed."
_COMPRESSED = (
    "A replacement of the source where size or time matters. Its knowledge and its errors are the source's, plus the "
    "errors above; these do not predict a task's score, which has to be measured on that task."
)
_PRETRAINED = (
    "Vectors for words in sentences of the kind of text that it was trained on. It has that text's errors and "
    "prejudices, and was evaluated by perplexity only: measure it on the task that it is meant for."
)
_CONVERTED = "The numbers are the source's, and so are its knowledge and its errors: see what its authors say about it."
_LOADING = """```python
from elmo_mf import Bilm

bilm = Bilm.from_files("options.json", "weights.hdf5")
```"""
