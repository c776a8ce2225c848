"""Tables of trained models that were accelerated, from the records in `docs/acceleration/`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from docs.tables.page import Rows, Tables, read_json

_MODELS = {"tagger": "CRF tagger, names", "sst": "BCN, SST", "snli": "ESIM, SNLI", "squad": "BiDAF, SQuAD"}
_FORMS = ("AllenNLP's ELMo", "first command", "second command")
_ORIGINAL_FORMS = ("AllenNLP's ELMo", "dense", "dense, int8", "rank 128, int8")
_BATCHES = (1, 32)


class Accelerated(NamedTuple):
    """The record of a model: the search, if there was one, and `allennlp predict` with each archive by batch size."""

    name: str
    search: dict[str, Any] | None
    predict: dict[int, list[dict[str, Any]]]
    examples: int

    @classmethod
    def read(cls, name: str, file: str) -> Accelerated:
        """Read a record."""
        record = read_json(f"acceleration/{file}.json")
        predict = {one["batch"]: one["archives"] for one in record["predict"]}
        return cls(name, record.get("search"), predict, record["predict"][0]["examples"])


def models() -> Iterator[Accelerated]:
    """Yield the records of the trained models."""
    for model, name in _MODELS.items():
        yield Accelerated.read(name, model)


def _in_short() -> Rows:
    head = ["", "score on test", "form", "points lost, 95 %", "encoder, MB", "batch 1", "batch 32"]
    return [head, *([model.name, *_chosen(model), *_rates(model)] for model in models())]


def _chosen(model: Accelerated) -> list[str]:
    if model.search is None:
        return ["", "dense", "", ""]
    test, metric = model.search["test"], model.search["metric"]
    estimate, low, high = test["loss"]
    rows = {row["name"]: row for row in model.search["rows"]}
    megabytes = [rows[name]["encoder_bytes"] / 1e6 for name in ("original", model.search["written"])]
    return [
        f"{100 * test['original'][metric]:.1f}",
        model.search["written"],
        f"{estimate:z.1f} ({low:z.1f} to {high:z.1f})",
        " → ".join(f"{one:.1f}" for one in megabytes),
    ]


def _rates(model: Accelerated) -> list[str]:
    return [" → ".join(f"{one['per_second']:.0f}" for one in model.predict[batch]) for batch in _BATCHES]


def _stages() -> Rows:
    """Return the milliseconds of an example in each stage, one at a time."""
    stages = ("reading", "indexing", "ELMo", "task model", "output")
    body = []
    for model in models():
        for form, archive in zip(_FORMS, model.predict[1], strict=False):
            milliseconds = [1000 * archive["seconds"][stage] / model.examples for stage in stages]
            body.append([model.name, form, *(f"{one:.2f}" for one in milliseconds), f"{archive['ratio']:.1f}"])
    return [["", "with", *stages, "times as fast"], *body]


def _original() -> Rows:
    record = Accelerated.read("", "original")
    body = []
    for number, form in enumerate(_ORIGINAL_FORMS):
        archives = [record.predict[batch][number] for batch in _BATCHES]
        body.append([form, *(f"{one['per_second']:.1f} ({one['ratio']:.1f})" for one in archives)])
    return [["", *(f"batch {batch}" for batch in _BATCHES)], *body]


TABLES: Tables = {"in-short": _in_short, "stages": _stages, "original": _original}
