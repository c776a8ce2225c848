"""Model cards, `MODEL_CARD.md` beside weights: where they come from, what was done to them, what they are for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.factorize import Compression
from elmo_mf.factorize.report import named_rows
from elmo_mf.io import atomic_path
from elmo_mf.provenance import file_hash, provenance

CARD_FILE = "MODEL_CARD.md"
NOT_STATED = "not stated"


def write_compressed_card(
    folder: Path, source: tuple[Path, Path], compression: Compression, report: Mapping[str, Any], options: BilmOptions,
    licence: str | None, dense: bool,
) -> None:  # fmt: skip
    """That of a compressed checkpoint.

    # Parameters
    source: options and weights before.
    report: see `compression_report`.
    licence: None for the one on the source's own card.
    dense: whether the rebuilt matrices were stored.
    """
    size, error = report["size"], report["activation_error"]
    form = "rebuilt matrices, as large and as fast as before" if dense else "factors, which run as such"
    facts = {
        "source": _file(source[1]),
        "its options": _file(source[0]),
        "licence": licence or licence_on_card(source[1].parent),
        "architecture": _architecture(options),
        "method": f"{compression} ({form})",
        "parameters of the biLSTM": f"{size['lstm_parameters']:,} of {size['lstm_dense_parameters']:,}",
        "times smaller": f"{size['lstm_ratio']:.2f} (with the character CNN {size['encoder_ratio']:.2f})",
        "multiply-adds a token": f"{size['lstm_multiply_adds']:,} of {size['lstm_dense_multiply_adds']:,}",
        "activation error": f"{error['all']:.3f} on {error['sentences']} sentences, by layer "
        + ", ".join(f"{one:.3f}" for one in error["layers"]),
        "calibrated on": _text(compression.calibration, "the text that comes with elmo-mf"),
        "distilled on": "nothing" if compression.distill is None else _text(compression.distill.text, ""),
    }
    rows = [
        (name, " x ".join(map(str, row["shape"])),
         str(row["rank"] or "pruned"), f"{row['parameters']:,}", f"{row['error']:.3f}", f"{row['input_error']:.3f}")
        for name, row in named_rows(report)
    ]  # fmt: skip
    errors = _table(("matrix", "shape", "rank", "parameters", "error", "error on inputs"), rows)
    _write(folder, f"ELMo compressed by {compression}", facts, f"## Matrices\n\n{errors}\n\n{_ERRORS}", _COMPRESSED)


def write_pretrained_card(folder: Path, record: Mapping[str, Any], options: BilmOptions, licence: str | None) -> None:
    """That of pretrained weights; `record` is what lies beside them as `pretrain.json`."""
    perplexity = record["held_out_perplexity"]
    compression = record["settings"].get("compression")
    facts = {
        "licence": licence or NOT_STATED,
        "architecture": _architecture(options),
        "low-rank from the start": "no" if compression is None else str(Compression.from_dict(compression)),
        "trained on": f"{record['train_words']:,} words, SHA-256 " + ", ".join(record["train_sha256"]),
        "held-out perplexity": f"forward {perplexity['forward']:.1f}, backward {perplexity['backward']:.1f} on "
        f"{record['held_out_words']:,} words (a unigram model: {record['held_out_unigram_perplexity']:.1f})",
        "vocabulary of the softmax": f"{record['vocabulary_size']:,} words",
        "command": f"`{record['command']}`",
        "hours of training": f"{record['training_seconds'] / 3600:.2f} on {record['device']}",
        "weights": f"SHA-256 {record['weights_sha256']}",
    }
    _write(folder, "ELMo, pretrained", facts, "", _PRETRAINED)


def licence_on_card(folder: Path) -> str:
    """What the card in a folder says, `not stated` where there is none."""
    path = folder / CARD_FILE
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = re.search(r"^licence: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else NOT_STATED


def _write(folder: Path, title: str, facts: Mapping[str, str], more: str, use: str) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in provenance()["versions"].items() if version)
    parts = [
        f"---\nlicence: {facts['licence']}\nlibrary: elmo-mf\n---",
        f"# {title}",
        _table(("", ""), list(facts.items())),
        *([more] if more else []),
        f"## Use\n\n{use}\n\n{_LOADING}",
        f"Made with {versions}.",
    ]
    with atomic_path(folder / CARD_FILE) as path:
        path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _file(path: Path) -> str:
    return f"`{path.name}`, SHA-256 {file_hash(path)}"


def _text(path: str | None, otherwise: str) -> str:
    return otherwise if path is None else _file(Path(path))


def _architecture(options: BilmOptions) -> str:
    lstm = options.lstm
    return f"{lstm.n_layers} layers, {lstm.dim} cells and projections of {lstm.projection_dim} a direction"


_ERRORS = (
    "Errors are relative: of the matrix in Frobenius norm, and of what it gives for inputs that it really has. The "
    "activation error is |own - source's| / |source's| of the biLSTM layers' outputs."
)
_COMPRESSED = (
    "In place of the source, where its size or its time counts. What it knows, and what it has wrong, is the source's, "
    "less what the errors above stand for; they tell nothing of a task's score, which is to be measured on that task."
)
_PRETRAINED = (
    "Vectors for words in sentences of the kind of text that it was trained on. It has that text's errors and "
    "prejudices, and was judged by perplexity only: measure it on the task that it is for."
)
_LOADING = """```python
from elmo_mf import Bilm

bilm = Bilm.from_files("options.json", "weights.hdf5")
```"""
