"""Tables of `docs/compression.md`, from the board's records and those in `docs/compression/`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import log2
from pathlib import Path
from typing import Any

import numpy as np

from docs.tables.page import DOCS, Rows, Tables, read_json
from elmo_mf.leaderboard import Board, boards, outputs_of, records_of
from elmo_mf.records import Record
from elmo_mf.records.compression import parse_compression
from elmo_mf.records.identity import STORED_TYPES, EncoderIdentity
from elmo_mf.records.labels import encoder_names

Row = dict[str, Any]

_BUDGET, _BY_MATRICES = "budget {} parameters", "budget {} parameters by matrices"
_JOINT = "`whitened_svd` `joint+projection`"
_WAYS = {
    "`svd`, one rank": "svd all",
    "`svd`, budget by matrices": f"svd all {_BY_MATRICES}",
    "`svd`, budget": f"svd all {_BUDGET}",
    "`whitened_svd`, one rank": "whitened_svd all",
    "`whitened_svd`, budget by matrices": f"whitened_svd all {_BY_MATRICES}",
    "`whitened_svd`, budget": f"whitened_svd all {_BUDGET}",
    f"{_JOINT}, budget by matrices": f"whitened_svd joint+projection {_BY_MATRICES}",
    f"{_JOINT}, budget": f"whitened_svd joint+projection {_BUDGET}",
}


_SMALL, _SHARED = _BUDGET.format(403_456), f"{_BUDGET.format(501_760)} with highways"
_SMALL_BY_MATRICES = _BY_MATRICES.format(403_456)
_LARGER = {
    "`svd`, rank 32": "svd all rank 32",
    "the same, highway layer at rank 64": "svd all rank 32 highways 64",
    f"{_JOINT}, budget": f"whitened_svd joint+projection {_SMALL}",
    f"{_JOINT}, budget with the highway layer": f"whitened_svd joint+projection {_SHARED}",
    "`svd`, budget": f"svd all {_SMALL}",
    f"{_JOINT}, budget by matrices": f"whitened_svd joint+projection {_SMALL_BY_MATRICES}",
    "that, highway layer at rank 64": f"whitened_svd joint+projection {_SMALL_BY_MATRICES} highways 64",
    "`whitened_svd`, rank 16": "whitened_svd all rank 16",
    "`svd`, rank 16": "svd all rank 16",
}
"""Encoders of the larger embedded ELMo that were scored, by their label in the tables."""


def _errors() -> Rows:
    """Return activation errors by requested size."""
    sizes, ranks = (84_992, 161_792, 315_392, 468_992), (4, 8, 16, 24)
    all_reports = reports()
    body = []
    for label, way in _WAYS.items():
        names = _names(way, sizes, ranks)
        body.append([label, *(f"{all_reports[name]['activation_error']['all']:.2f}" for name in names)])
    dense = next(iter(all_reports.values()))["size"]["lstm_dense_parameters"]
    smaller = ["times smaller", *(f"{dense / size:.1f}" for size in sizes)]
    head = ["parameters of the biLSTM", *(f"{size:,}" for size in sizes)]
    return [head, smaller, ["its rank, where it has one", *map(str, ranks)], *_least_in_bold(body)]


def _names(way: str, sizes: Sequence[int], ranks: Sequence[int]) -> list[str]:
    """Return the names of one of `_WAYS` at several sizes: with a budget, or else with a rank."""
    return [way.format(size) for size in sizes] if "{}" in way else [f"{way} rank {rank}" for rank in ranks]


def _scores() -> Rows:
    """Return what each encoder of the larger embedded ELMo loses in trained models, in the probe, and in perplexity."""
    columns = {
        "SST accuracy": board("sst", "base", "swapped"),
        "SNLI accuracy": board("snli", "base", "swapped"),
        "syntax probe": board("syntax-probe", "base"),
    }
    probe, bilm = columns["syntax probe"], board("wikitext2-bilm", "base")
    partial = {row.encoder for row in _boards()["syntax-probe", "base", "retrained"].rows if row.is_partial}
    compressed = (
        row for name, row in probe.items() if row["compressed"] and name not in partial and not _counts_bytes(name)
    )
    body = []
    for row in (probe["dense"], *sorted(compressed, key=lambda row: (-row["megabytes"], -row["score"]))):
        name = row["encoder"]
        losses = (_difference(rows[name]) if name in rows else "" for rows in columns.values())
        scores = [f"{100 * rows['dense']['score']:.1f}" for rows in columns.values()] if name == "dense" else losses
        times = " / ".join(f"{row[f'encoder_{batch}_original']:.1f}" for batch in (1, 32))
        perplexity = f"{bilm[name]['score']:,.1f}"
        label = name if name == "dense" else f"`{name}`"
        body.append([label, f"{row['megabytes']:.2f}", f"{row['parameters']:,.0f}", *scores, perplexity, times])
    return [["", "MB", "parameters", *columns, "perplexity", "times as fast, batch 1 / 32"], *body]


_DENSE_IN_FLOAT16 = 2 * 2_959_360  # bytes of the larger embedded ELMo's biLSTM


@dataclass(frozen=True)
class SizedEncoder:
    """An encoder of the comparison at equal bytes, with its rows on the boards.

    Attributes:
        label: What it is, for people.
        dtype: Type in which it is stored.
        megabytes: Megabytes of its biLSTM.
        cells: Its number of memory cells.
        perplexity: Its row as a language model.
        general: Perplexity of the same, calibrated on the included text; None if there is none.
        probe: Its row on the board of the probe of syntax.
        snli: Its row on the board of SNLI; None if there is none.
    """

    label: str
    dtype: str
    megabytes: float
    cells: int
    perplexity: float
    general: float | None
    probe: Row
    snli: Row | None

    @property
    def share(self) -> float:
        """The power of two that is closest to its share of the bytes in float16."""
        return float(2 ** round(log2(1e6 * self.megabytes / _DENSE_IN_FLOAT16)))


@cache
def sized_encoders() -> tuple[SizedEncoder, ...]:
    """Return the encoders of the comparison at equal bytes, by falling size and rising perplexity."""
    bilm, probe, snli = (_by_identity(*key) for key in (("wikitext2-bilm",), ("syntax-probe",), ("snli", "swapped")))
    found = []
    for key, (record, row) in bilm.items():
        compression = record.run.compression
        in_bytes = compression is not None and compression.budget is not None and compression.budget.bytes is not None
        calibrated = compression is not None and compression.calibration is not None
        rounded = compression is None and record.run.baseline is None and record.run.precision is not None
        if not (rounded or (in_bytes and calibrated) or record.run.baseline == "smaller"):
            continue
        label, dtype, cells = _described(record)
        assert record.size is not None
        stored = 2 * record.size.lstm_parameters if record.run.baseline else record.size.lstm_bytes
        general = bilm.get(_key(record, {"calibration": None})) if calibrated else None
        found.append(
            SizedEncoder(
                label, dtype, stored / 1e6, cells, row["score"], None if general is None else general[1]["score"],
                probe[key][1], snli[key][1] if key in snli else None,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-one.share, one.perplexity)))


def _described(record: Record) -> tuple[str, str, int]:
    """What an encoder is, the type in which it is stored, and its number of memory cells."""
    if record.run.baseline == "smaller":
        return "trained from scratch", "float16", 320
    label = "dense" if record.run.compression is None else f"`{record.run.compression.method}`"
    cells = next((one.shape[1] for one in record.matrices if one.target == "projection"), 640)
    return label, STORED_TYPES[record.run.precision], cells


def _by_identity(task: str, view: str = "retrained") -> dict[str, tuple[Record, Row]]:
    """Return a record and the row of each encoder of the larger embedded ELMo, whatever its name on that board is."""
    rows = {}
    for name, row in board(task, "base", view).items():
        record = board_records(task, "base", name, view)[0]
        rows[_key(record)] = record, row
    return rows


def _key(record: Record, changes: Mapping[str, object] | None = None) -> str:
    """What distinguishes an encoder on all boards, with changes of its compression."""
    run = record.run
    compression = None if run.compression is None else run.compression.model_copy(update=changes).to_dict()
    return f"{compression} {run.precision} {run.baseline}"


def _sizes() -> Rows:
    """Compare encoders at equal bytes of the biLSTM: perplexity, probe, trained models, and speed."""
    dense, body = board("wikitext2-bilm", "base")["dense"]["score"], []
    for one in sized_encoders():
        times = " / ".join(f"{one.probe[f'encoder_{batch}_original']:.1f}" for batch in (1, 32))
        body.append([
            f"1/{1 / one.share:.0f}", f"{one.megabytes:.2f}", one.label, one.dtype, f"{one.cells}",
            f"{one.perplexity:.1f} ({one.perplexity / dense - 1:+z.1%})",
            "" if one.general is None else f"{one.general:.1f}",
            _difference(one.probe), "" if one.snli is None else _difference(one.snli), times,
        ])  # fmt: skip
    head = [
        "of the bytes", "biLSTM, MB", "encoder", "stored as", "cells", "perplexity", "with the included text",
        "syntax probe",
        "SNLI accuracy", "times as fast, batch 1 / 32",
    ]  # fmt: skip
    return [head, *body]


def _counts_bytes(encoder: str) -> bool:
    """Whether an encoder of the probe's board belongs to the comparison at equal bytes alone."""
    compression = board_records("syntax-probe", "base", encoder)[0].run.compression
    return compression is not None and compression.budget is not None and compression.budget.bytes is not None


def _difference(row: Row) -> str:
    within = "" if np.isnan(row["low"]) else f" [{100 * row['low']:+z.1f}, {100 * row['high']:+z.1f}]"
    return f"{100 * row['difference']:+z.1f}{within}"


def _language(task: str) -> Rows:
    rows = board(task)
    methods = ("svd", "whitened_svd", "fisher_svd", "semi_nmf", "prune", "nmf", "random")
    body = []
    for rank in (128, 32, 8):
        for method in methods:
            what = f"as many weights as rank {rank}" if method == "prune" else f"rank {rank}"
            names = [f"{method} {target} rank {rank}" for target in ("input", "recurrent", "all")]
            body.append([f"`{method}`, {what}", *(_perplexity(task, rows.get(name)) for name in names)])
    budgets = {
        "`svd`, budget of 324,000 parameters, as rank 32 of both has": "svd",
        "`whitened_svd`, the same budget": "whitened_svd",
    }
    for label, method in budgets.items():
        body.append([label, "", "", _perplexity(task, rows[f"{method} all {_BUDGET.format(324000)}"])])
    return [["", "input", "recurrent", "both"], *body]


def _tuned() -> Rows:
    body = []
    for task, title in (("ptb", "Penn Treebank"), ("wikitext2", "WikiText-2")):
        rows = board(task)
        for method in ("svd", "whitened_svd"):
            names = [f"{method} {target} rank 32 fine-tuned 1" for target in ("input", "recurrent", "all")]
            body.append([f"{title}, `{method}`, rank 32", *(_perplexity(task, rows.get(name)) for name in names)])
    return [["", "input", "recurrent", "both"], *body]


def _perplexity(task: str, row: Row | None) -> str:
    """Format a perplexity with its difference to the dense model that was tuned likewise."""
    if row is None:
        return ""
    return f"{row['score']:.1f} ({row['difference']:+.1f}){elsewhere(task, None, row['encoder'])}"


def elsewhere(task: str, elmo: str | None, encoder: str) -> str:
    """Return the mark of a row that was scored on another processor than its baseline, or an empty text."""
    against = board(task, elmo)[encoder]["baseline"]
    machines, baseline_machines = (
        {(one.machine.cpu, one.machine.instructions) for one in board_records(task, elmo, name)}
        for name in (encoder, against)
    )
    return "" if machines == baseline_machines else " *"


def _elmo_targets() -> Rows:
    perplexities = _both_ways("perplexities")
    targets = ("input", "recurrent", "projection", "all")
    ways = [("svd", 64), ("svd", 32), ("svd", 16), ("whitened_svd", 32), ("whitened_svd", 16)]
    body = [
        [f"`{method}`, rank {rank}", *(perplexities.get(f"{method} {name} rank {rank}", "") for name in targets)]
        for method, rank in ways
    ]
    return [["", *targets], *body]


def _elmo_budgets() -> Rows:
    perplexities = _both_ways("perplexities")
    sizes, ranks = (403_456, 796_672), (16, 32)
    body = [
        [label, *(perplexities.get(name, "") for name in _names(way, sizes, ranks))] for label, way in _WAYS.items()
    ]
    head = ["parameters", *(f"{size:,} (rank {rank})" for size, rank in zip(sizes, ranks, strict=True))]
    return [head, *_least_in_bold([row for row in body if any(row[1:])])]


def _highways() -> Rows:
    perplexities = _both_ways("highways")
    highway = _json("highways")["report"]["highways"][0]
    n_rows, n_columns = highway["shape"]
    body = [["dense", f"{n_rows * n_columns:,}", _both_ways("perplexities")["whitened_svd all rank 32"]]]
    for rank in (256, 128, 64, 32, 16):
        numbers = f"{rank * (n_rows + n_columns):,}"
        body.append([str(rank), numbers, perplexities[f"whitened_svd all rank 32 highways {rank}"]])
    return [["rank of the highway layer", "numbers in it", "forward, backward"], *body]


def _longer() -> Rows:
    """Compare an ELMo trained for longer with the embedded one of its size: perplexities and errors."""
    record = _json("longer")
    perplexities = _both_ways("highways") | _both_ways("perplexities"), _both_ways("longer")
    body = [["dense", *(of["as it is"] for of in perplexities), ""]]
    for label, name in _LARGER.items():
        errors = record["activation_error"][name]
        error = f"{errors['embedded']:.2f}, {errors['longer']:.2f}"
        body.append([label, *(of[name] for of in perplexities), error])
    return [["", "perplexity, embedded", "longer", "activation error"], *body]


def _equal_bytes() -> Rows:
    """Compare what is stored in float16 and in int8, by the size of the file."""
    stored = sorted(_json("equal-bytes")["stored"], key=lambda one: (-one["bytes"], one["dtype"]))
    dense = stored[0]
    body = [
        [
            f"{one['bytes'] / 1e6:.2f}",
            f"{one['bytes'] / dense['bytes']:.0%}",
            "dense" if one["share"] is None else f"{_family(one['family'])}, {100 * one['share']:g} %",
            one["dtype"],
            f"{one['forward']:.1f}, {one['backward']:.1f}",
            f"{_mean(one) / _mean(dense) - 1:z.1%}",
        ]
        for one in stored
    ]
    return [["MB", "of dense in float16", "encoder", "stored as", "forward, backward", "more than dense"], *body]


def _cells() -> Rows:
    """Show perplexities by the number of memory cells and the share of the parameters."""

    def cell(one: Row, dense: Row) -> str:
        return f"{one['forward']:.1f}, {one['backward']:.1f} ({_mean(one) / _mean(dense) - 1:+z.1%})"

    return _by_cells(cell)


def _cell_speeds() -> Rows:
    """Show the speed of the biLSTM for 1 and 32 sentences, by the number of cells and the share of the parameters."""
    return _by_cells(lambda one, _: f"{one['speed_up_1']:.1f}, {one['speed_up_32']:.1f}")


def _by_cells(show: Callable[[Row, Row], str]) -> Rows:
    stored = _json("fewer-cells")["stored"]
    dense, by_place = stored[0], {(one["cells"], one["share"]): one for one in stored}
    shares = (None, 0.5, 0.25, 0.125, 0.0625)
    body = []
    for number in dict.fromkeys(one["cells"] for one in stored):
        rows = (by_place.get((number, share)) for share in shares)
        body.append([f"{number}", *("" if one is None else show(one, dense) for one in rows)])
    return [["cells", "dense", *(f"{100 * share:g} %" for share in shares if share)], *body]


def _four_bits() -> Rows:
    """Show encoders in int8 and in int4 by the size of the file, without those that are worse than a smaller one."""
    stored = sorted([*_json("fewer-cells")["stored"], *_json("four-bits")["stored"]], key=lambda one: -one["bytes"])
    dense = _json("fewer-cells")["stored"][0]
    body, best = [], float("inf")
    for one in reversed(stored):
        if _mean(one) < best:
            best = _mean(one)
            share = "dense" if one["share"] is None else f"{100 * one['share']:g} %"
            both, more = f"{one['forward']:.1f}, {one['backward']:.1f}", f"{best / _mean(dense) - 1:z.1%}"
            body.append([f"{one['bytes'] / 1e6:.2f}", f"{one['cells']}", share, one["dtype"], both, more])
    head = ["MB", "cells", "parameters", "stored as", "forward, backward", "more than dense"]
    return [head, *reversed(body)]


def _roundings() -> Rows:
    """Show how much the perplexity rises with each way of rounding."""
    rounded = _json("rounding")["rounded"]
    names = {(640, None): "dense", (640, 0.25): "25 %", (640, 0.125): "12.5 %"}
    rises: dict[tuple[int, int | None, str], list[str]] = {}
    exact = {(one["cells"], one["share"]): one for one in _json("fewer-cells")["stored"]}
    for one in rounded:
        place = one["cells"], one["share"]
        if place in names:
            rise = _mean(one) / _mean(exact[place]) - 1
            rises.setdefault((one["bits"], one["group"], one["way"]), []).append(f"{rise:z.1%}")
    body = [
        [f"{bits}", "all inputs" if group is None else f"{group} inputs", _WAYS_TO_ROUND[way], *row]
        for (bits, group, way), row in rises.items()
    ]
    return [["bits", "a scale for", "rounding", *names.values()], *body]


_WAYS_TO_ROUND = {"nearest": "nearest", "clipped": "nearest, best scale", "gptq": "GPTQ"}


def _sparse_rest() -> Rows:
    """Show perplexities at low rank with a block-sparse rest, by the shape of the blocks."""
    compressed = _json("sparse-rest")["compressed"]
    by_way = {(one["share"], str(one["blocks"]), one["sparse"]): one for one in compressed}
    body = []
    for blocks, part in dict.fromkeys((str(one["blocks"]), one["sparse"]) for one in compressed):
        shape = " x ".join(blocks.strip("[]").split(", "))
        label = "none" if blocks == "None" else shape
        cells = [by_way.get((share, blocks, part)) for share in (0.25, 0.125)]
        texts = ["" if one is None else f"{one['forward']:.1f}, {one['backward']:.1f}" for one in cells]
        body.append([label, f"{100 * part:g} %", *texts])
    return [["blocks", "of the parameters in the rest", "25 %", "12.5 %"], *body]


def _family(name: str) -> str:
    """Return the method as code, and what follows it."""
    method, *more = name.split(" ", 1)
    return " ".join([f"`{method}`", *more])


def _mean(one: Row) -> float:
    """Return the perplexity of both directions together."""
    return float(np.sqrt(one["forward"] * one["backward"]))


def _books() -> Rows:
    """Compare `weights/books`, also after its first epoch, with `weights/base` as language models, compressed alike."""
    books, base = board("wikitext2-bilm", "books"), board("wikitext2-bilm", "base")
    recorded = read_json("compression/books.json")["first_epoch"]["perplexities"]
    first = {name: {"score": perplexity} for name, perplexity in recorded.items()}
    body = []
    for name in sorted(books, key=lambda name: float(books[name]["score"])):
        run = board_records("wikitext2-bilm", "books", name)[0].run
        random = run.compression is not None and run.compression.method == "random"
        if books[name]["is_baseline"] or run.precision is not None or random:
            continue
        both = (_more(rows, name) if name in rows else "" for rows in (base, first, books))
        parameters = dict.fromkeys(f"{rows[name]['parameters']:,.0f}" for rows in (base, books) if name in rows)
        body.append([f"`{name}`", " / ".join(parameters), *both])
    return [["", "parameters", "`base`", "`books`, first epoch", "`books`"], *body]


def _more(rows: dict[str, Row], name: str) -> str:
    """Format a perplexity and how much more it is than that of dense."""
    score, dense = rows[name]["score"], rows["dense"]["score"]
    return f"{score:,.1f}" if name == "dense" else f"{score:,.1f} (+{score / dense - 1:.0%})"


TABLES: Tables = {
    "errors": _errors,
    "scores": _scores,
    "sizes": _sizes,
    "ptb": lambda: _language("ptb"),
    "wikitext2": lambda: _language("wikitext2"),
    "tuned": _tuned,
    "elmo-targets": _elmo_targets,
    "elmo-budgets": _elmo_budgets,
    "equal-bytes": _equal_bytes,
    "fewer-cells": _cells,
    "fewer-cells-speed": _cell_speeds,
    "four-bits": _four_bits,
    "roundings": _roundings,
    "sparse-rest": _sparse_rest,
    "highways": _highways,
    "longer": _longer,
    "books": _books,
}


@cache
def board(task: str, elmo: str | None = None, view: str = "retrained") -> dict[str, Row]:
    """Return the rows of a published board by encoder."""
    return {str(row["encoder"]): dict(row) for _, row in _boards()[task, elmo, view].frame.iterrows()}


def board_records(task: str, elmo: str | None, encoder: str, view: str = "retrained") -> list[Record]:
    """Return the records of an encoder on a published board."""
    return _by_key(task, elmo, view)[board(task, elmo, view)[encoder]["key"]]


@cache
def _by_key(task: str, elmo: str | None, view: str) -> dict[str, list[Record]]:
    published, by_key = _boards()[task, elmo, view], defaultdict(list)
    for record, key in zip(published.records, published.keys, strict=True):
        by_key[key].append(record)
    return by_key


@cache
def _boards() -> dict[tuple[str, str | None, str], Board]:
    by_name: dict[tuple[str, str | None, str], Board] = {}
    folder = DOCS.parent / "leaderboard"
    for one in boards(records_of(folder), outputs_of(folder)):
        elmo = one.first.elmo
        by_name[one.task, Path(elmo.name).parent.name if elmo else None, one.first.run.view] = one
    return by_name


def _both_ways(name: str) -> dict[str, str]:
    """Return forward and backward perplexities as text, by encoder."""
    return {one["encoder"]: f"{one['forward']:.1f}, {one['backward']:.1f}" for one in _json(name)["perplexities"]}


def _json(name: str) -> Any:
    return read_json(f"compression/{name}.json")


def reports() -> dict[str, Row]:
    """Return the reports of `elmo-mf compress` on the smaller embedded ELMo, by encoder."""
    recorded = _json("reports")["reports"]
    encoders = [EncoderIdentity(compression=parse_compression(one["compression"])) for one in recorded]
    names = encoder_names(encoders)
    return {names[encoder.key]: one for encoder, one in zip(encoders, recorded, strict=True)}


def _least_in_bold(body: Sequence[list[str]]) -> Rows:
    """Mark the smallest entries of each column in bold, compared by the first number of each."""

    def first(text: str) -> float:
        return float(text.split(",")[0]) if text else float("inf")

    labels, *columns = zip(*body, strict=True)
    marked = [
        [f"**{text}**" if first(text) == min(map(first, column)) else text for text in column] for column in columns
    ]
    return [list(row) for row in zip(labels, *marked, strict=True)]
