"""Table of `docs/sweeps.md`: differences between preset `paper` and the configs that AllenNLP published."""

from __future__ import annotations

from docs.tables.page import Rows, Tables, read_json


def _differences() -> Rows:
    body = [
        [one["what"], ", ".join(one["keys"]), one["why"]] for one in read_json("sweeps/published.json")["differences"]
    ]
    return [["what differs", "in", "why"], *body]


TABLES: Tables = {"published": _differences}
