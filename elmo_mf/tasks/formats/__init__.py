"""File formats of the tasks' data, one per module."""

from __future__ import annotations

from elmo_mf.tasks.formats._data_format import Contents, DataFormat, Example
from elmo_mf.tasks.formats.labelled_texts import LabelledText, LabelledTexts
from elmo_mf.tasks.formats.ptb_trees import PtbTrees
from elmo_mf.tasks.formats.sentence_lines import SentenceLines
from elmo_mf.tasks.formats.snli_jsonl import SnliJsonl
from elmo_mf.tasks.formats.squad_json import SquadJson

__all__ = [
    "FORMATS",
    "Contents",
    "DataFormat",
    "Example",
    "LabelledText",
    "LabelledTexts",
    "PtbTrees",
    "SentenceLines",
    "SnliJsonl",
    "SquadJson",
]

FORMATS: dict[str, DataFormat] = {
    data_format.NAME: data_format
    for data_format in (PtbTrees(), SnliJsonl(), SquadJson(), SentenceLines(), LabelledTexts())
}
"""Formats by registered name."""
