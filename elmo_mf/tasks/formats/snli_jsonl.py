"""SNLI 1.0 as JSON lines."""

from __future__ import annotations

import json

from elmo_mf.errors import shown
from elmo_mf.io import unique_pairs
from elmo_mf.tasks.formats._data_format import encodable
from elmo_mf.tasks.formats._lines import LineFormat

_LABELS = ("entailment", "neutral", "contradiction", "-")


class SnliJsonl(LineFormat):
    """SNLI 1.0 as JSON lines; pairs with the label `-` are skipped."""

    NAME = "snli-jsonl"
    VERSION = 1
    expected = "a JSON object with gold_label, sentence1 and sentence2; elmo-mf fetch data snli gets them"

    def label(self, line: str) -> str:
        """Return the gold label.

        Raises:
            ValueError: The line is not an object with two sentences and a known label.
        """
        row = json.loads(line, object_pairs_hook=unique_pairs)
        if not isinstance(row, dict):
            raise ValueError("it is not a JSON object")
        for name in ("sentence1", "sentence2"):
            text = row.get(name)
            if not isinstance(text, str) or not text.split() or not encodable(text):
                raise ValueError(f"{name} is {shown(text, 40)}, not a sentence")
        label = row.get("gold_label")
        if label not in _LABELS:
            raise ValueError(f"gold_label is {shown(label, 40)}, not one of {', '.join(_LABELS)}")
        return str(label)

    def foreign(self, line: str) -> str | None:
        """See `LineFormat.foreign`."""
        if line.startswith(("gold_label\t", "gold_label,")):
            return "SNLI as a table"
        if '"premise"' in line and '"hypothesis"' in line:
            return "Hugging Face's format, with premise, hypothesis and a number as label"
        return None

    @staticmethod
    def accepts_blank(line: str) -> bool:
        """Return False, because every line must be an object."""
        return False
