"""Tables of trained models that were accelerated, from the records in `docs/acceleration/`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from docs.tables.page import DOCS, Rows, Tables, read_json

_MODELS = {
    "sst": "BCN, SST",
    "snli": "ESIM, SNLI",
    "squad": "BiDAF, SQuAD",
    "tagger": "CRF tagger, names",
}
_FORMS = ("AllenNLP's ELMo", "`accelerate`", "`accelerate --data --tolerance 1`")


class Accelerated(NamedTuple):
    """The record of a model: of the search, and of `allennlp predict` with the original, dense and chosen forms."""

    name: str
    search: dict[str, Any]
    predict: list[dict[str, Any]]

    def per_second(self, batch: int) -> list[dict[str, Any]]:
        """Return what was measured of each archive at a batch size."""
        return list(next(one for one in self.predict if one["batch"] == batch)["archives"])


def models() -> Iterator[Accelerated]:
    """Yield the records that are there."""
    for model, name in _MODELS.items():
        if (DOCS / "acceleration" / f"{model}.json").exists():
            record = read_json(f"acceleration/{model}.json")
            yield Accelerated(name, record["search"], record["predict"])


def _in_short() -> Rows:
    head = ["", "score, test", "chosen form", "points lost, 95 %", "encoder MB", "batch 1", "batch 32"]
    body = []
    for model in models():
        test, metric = model.search["test"], model.search["metric"]
        estimate, low, high = test["loss"]
        original, written = model.search["rows"][0], _written(model)
        sizes = [f"{4 * row['encoder_parameters'] / 1e6:.1f}" for row in (original, written)]
        body.append(
            [
                model.name,
                f"{100 * test['original'][metric]:.1f} → {100 * test['result'][metric]:.1f}",
                written["name"],
                f"{estimate:.1f} ({low:.1f} to {high:.1f})",
                " → ".join(sizes),
                *(_rates(model, batch) for batch in (1, 32)),
            ]
        )
    return [head, *body]


def _rates(model: Accelerated, batch: int) -> str:
    before, *after = model.per_second(batch)
    rates = " → ".join(f"{one['per_second']:.0f}" for one in (before, *after))
    times = " and ".join(f"{one['ratio']:.1f}" for one in after)
    return f"{rates} ({times} times)"


def _written(model: Accelerated) -> dict[str, Any]:
    return next(row for row in model.search["rows"] if row["name"] == model.search["written"])


def _stages() -> Rows:
    """Return the milliseconds of an example in each stage, one at a time."""
    stages = ("reading", "indexing", "ELMo", "task model", "output")
    body = []
    for model in models():
        examples = model.predict[0]["examples"]
        for form, archive in zip(_FORMS, model.per_second(1), strict=True):
            milliseconds = [1000 * archive["seconds"][stage] / examples for stage in stages]
            body.append([model.name, form, *(f"{one:.2f}" for one in milliseconds), f"{sum(milliseconds):.1f}"])
    return [["model", "with", *stages, "all"], *body]


TABLES: Tables = {"in-short": _in_short, "stages": _stages}
