"""Tables of `docs/performance.md`, from the benchmarks' records in `docs/performance/`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from docs.tables.page import Rows, Tables, read_json

Case = dict[str, Any]


class Column(NamedTuple):
    """A column of a table: one encoder in one part of a benchmark."""

    title: str
    record: str
    part: str
    variant: str

    @property
    def cases(self) -> list[Case]:
        return bench(self.record, self.part)

    def of(self, like: Case) -> dict[str, Any]:
        """Return the times of the encoder for the sentences of a case."""
        case = next(one for one in self.cases if one["lengths"] == like["lengths"])
        return next(one for one in case["variants"] if one["variant"] == self.variant)

    def milliseconds(self, like: Case) -> float:
        return float(self.of(like)["median_ms"])


@cache
def bench(record: str, part: str) -> list[Case]:
    """Return the cases of one part in the record of a benchmark."""
    return [case for case in read_json(f"performance/{record}.json")["cases"] if case["part"] == part]


def _columns(record: str, part: str, *variants: str) -> list[Column]:
    return [Column(variant.removeprefix("svd all "), record, part, variant) for variant in variants]


def _sentences(case: Case) -> str:
    longest = max(case["lengths"])
    return f"batch {case['batch']}, length {f'{longest // 2} to ' if _ragged(case) else ''}{longest}"


def short_label(case: Case) -> str:
    """Return a label of a case that leaves out a length of 20."""
    longest = max(case["lengths"])
    if _ragged(case):
        return f"batch {case['batch']}, ragged"
    return f"batch {case['batch']}" if longest == 20 else _sentences(case)


def _ragged(case: Case) -> bool:
    return len(set(case["lengths"])) > 1


def _ratios(columns: Sequence[Column], label: Callable[[Case], str] = _sentences) -> Rows:
    """Return speed-ups over AllenNLP, with a row for each case of the column that has fewest."""
    fewest = min((column.cases for column in columns), key=len)
    body = [[label(case), *(f"{column.of(case)['ratio']:.1f}" for column in columns)] for case in fewest]
    return [["", *(column.title for column in columns)], *body]


def _precisions(
    record: str, part: str, ranks: Sequence[int], precisions: Sequence[str] = (), by_rank: bool = True
) -> Rows:
    """Return speed-ups of dense and low-rank encoders, by rank and precision; without `by_rank`, vice versa."""
    encoders = ["dense", *(f"svd all rank {rank}" for rank in ranks)]
    endings = ["", *(f", {precision}" for precision in precisions)]
    if by_rank:
        variants = [f"{encoder}{ending}" for encoder in encoders for ending in endings]
    else:
        variants = [f"{encoder}{ending}" for ending in endings for encoder in encoders]
    return _ratios(_columns(record, part, *variants))


def _aims() -> Rows:
    """Return speed-ups with their targets in brackets."""
    aims = {
        "batch 1, length 20": (6, 25, 70, None, None, None),
        "batch 8, length 20": (3.5, 16, 35, None, None, None),
        "batch 32, length 10 to 20": (2, 7, 15, 3, 10.5, 22.5),
    }
    head, *body = _precisions("original", "lstm", (128, 32), ["bfloat16"], by_rank=False)
    rows = {label: ratios for label, *ratios in body}
    return [
        head,
        *(
            [label, *(f"{text} ({at})" if at else text for text, at in zip(rows[label], targets, strict=True))]
            for label, targets in aims.items()
        ),
    ]


def _joint() -> Rows:
    ways = {"all three targets": "svd all rank 128", "joint+projection": "svd joint+projection rank 128"}
    columns = [
        Column(f"{title.removesuffix(' targets') if ending else title}{ending}", "joint", "lstm", f"{variant}{ending}")
        for title, variant in ways.items()
        for ending in ("", ", bfloat16")
    ]
    return _ratios(columns)


def _characters() -> Rows:
    """Return the character CNN's share of the encoder's time, and its time when all words are cached."""
    record = "original-encoder"
    encoders = {
        "AllenNLP": ("AllenNLP", "AllenNLP"),
        "dense": ("dense", "dense"),
        "rank 32": ("dense", "svd all rank 32"),
        "rank 32, int8": ("dense, int8", "svd all rank 32, int8"),
    }
    body = []
    for case in bench(record, "characters"):
        row = [_sentences(case)]
        for alone, whole in encoders.values():
            part = Column("", record, "characters", alone).milliseconds(case)
            total = Column("", record, "encoder", whole).milliseconds(case)
            row.append(f"{part:.1f} of {total:.{0 if total >= 100 else 1}f} ms, {part / total:.0%}")
        kept = Column("", record, "characters", "dense, words kept").milliseconds(case)
        body.append([*row, f"{kept:.1f} ms"])
    return [["", *encoders, "words kept"], *body]


def _highways() -> Rows:
    """Return speed-ups of the character CNN and the encoder with dense and factorized highway layers."""
    factored = "svd all rank 32 highways 256"
    columns = [
        Column("CNN: dense", "original-highways", "characters", "dense"),
        Column("highways 256", "original-highways", "characters", factored),
    ]
    for title, ending in (("encoder at rank 32", ""), ("bfloat16", ", bfloat16"), ("int8", ", int8")):
        columns += [
            Column(title, "original-encoder", "encoder", f"svd all rank 32{ending}"),
            Column("highways 256", "original-highways", "encoder", f"{factored}{ending}"),
        ]
    return _ratios(columns)


def _avx2(part: str, record: str) -> Rows:
    """Return speed-ups of the original and the small size side by side."""
    original = _columns(f"original-{record}", part, "dense", "svd all rank 128", "svd all rank 32")
    small = _columns(f"small-{record}", part, "dense", "svd all rank 32", "svd all rank 8")
    firsts = [original[0]._replace(title="original: dense"), small[0]._replace(title="small: dense")]
    return _ratios([firsts[0], *original[1:], firsts[1], *small[1:]])


def _lookup() -> Rows:
    """Return speed-ups of the character CNN by convolutions and by table lookup."""
    columns = []
    for size in ("original", "small"):
        for title, part, variant in (
            (f"{size}: CNN alone", "characters", "dense"),
            ("encoder at rank 32", "encoder", "svd all rank 32"),
        ):
            record = f"{size}-characters-avx2"
            columns += [Column(title, f"{record}-convolutions", part, variant), Column("", record, part, variant)]
    return _ratios(columns)


def _registers() -> Rows:
    """Return speed-ups with blocks of four rows by four vectors, and of six by two."""
    columns = []
    for column in _columns("original-avx2-4x4", "lstm", "dense", "svd all rank 128", "svd all rank 32"):
        columns += [column, column._replace(title="", record="original-avx2-6x2")]
    return _ratios(columns)


def _in_short() -> Rows:
    """Return the rounded speed-ups in the README, for one sentence of 20 words and for 32."""
    ranks = ("dense", "svd all rank 128", "svd all rank 32")
    int8 = tuple(f"{encoder}, int8" for encoder in ranks)
    rows = {
        "biLSTM, AVX-512": ("original", "lstm", ranks),
        "biLSTM, AVX2": ("original-avx2", "lstm", ranks),
        "whole encoder, AVX-512": ("original-encoder", "encoder", ranks),
        "whole encoder, AVX-512, `precision: 'int8'`": ("original-encoder", "encoder", int8),
        "whole encoder, AVX-512, `highway_rank: 256`": (
            "original-highways", "encoder", ("", "", "svd all rank 32 highways 256"),
        ),
        "whole encoder, AVX2": ("original-characters-avx2", "encoder", ranks),
    }  # fmt: skip
    body = []
    for label, (record, part, variants) in rows.items():
        cases = [case for case in bench(record, part) if set(case["lengths"]) == {20} and case["batch"] in (1, 32)]
        columns = [Column("", record, part, variant) for variant in variants]
        texts = [
            ", ".join(f"{column.of(case)['ratio']:.0f}" for case in cases) if column.variant else ""
            for column in columns
        ]
        body.append([label, *texts])
    return [["", "dense", "rank 128", "rank 32"], *body]


def _gpu(part: str, *variants: str) -> Rows:
    """Return speed-ups on a GPU for batches of length 20, followed by other lengths for the biLSTM alone."""
    columns = _columns("gpu", part, *variants, "dense", "svd all rank 128", "svd all rank 32")
    head, *body = _ratios(columns, short_label)
    if part == "lstm":
        body += _ratios([column._replace(record="gpu-long") for column in columns], short_label)[1:]
    return [["biLSTM alone" if part == "lstm" else "whole encoder", *head[1:]], *body]


def _whole(number: int) -> Rows:
    """Return everything that was recorded of one case."""
    case = bench("original", "lstm")[number]
    body = []
    for one in case["variants"]:
        low, high = (_figures(time, 3) for time in one["spread_ms"])
        speeds = [f"{one['ratio']:.1f}", f"{one['gb_s']:.1f}", f"{one['read_share']:.0%}"]
        products = [f"{one['gflop_s']:.0f}", f"{one['product_share']:.0%}"]
        error = "" if one["error"] is None else f"{one['error']:.0e}"
        body.append([one["variant"], _figures(one["median_ms"], 4), f"{low}-{high}", *speeds, *products, error])
    head = ["encoder", "ms", "25-75 %", "ratio", "GB/s", "of read", "GFLOP/s", "of product", "error"]
    return [head, *body]


def _figures(number: float, how_many: int) -> str:
    return f"{float(f'{number:.{how_many}g}'):g}"


IN_SHORT: Tables = {"speeds": _in_short}

TABLES: Tables = {
    "aims": _aims,
    "long": partial(_precisions, "original-long", "lstm", (128, 32), ["bfloat16"]),
    "joint": _joint,
    "high-ranks": partial(_precisions, "original-high-ranks", "lstm", (256, 448)),
    "medium": partial(_precisions, "medium", "lstm", (64, 16), ["bfloat16"]),
    "small": partial(_precisions, "small", "lstm", (32, 8), ["bfloat16"]),
    "original-encoder": partial(_precisions, "original-encoder", "encoder", (128, 32), ["bfloat16", "int8"]),
    "medium-encoder": partial(_precisions, "medium-encoder", "encoder", (64, 16), ["bfloat16", "int8"]),
    "small-encoder": partial(_precisions, "small-encoder", "encoder", (32, 8), ["bfloat16", "int8"]),
    "characters": _characters,
    "highways": _highways,
    "without-llvmlite": partial(_precisions, "original-without-llvmlite", "lstm", (128, 32), ["bfloat16"]),
    "avx2": partial(_avx2, "lstm", "avx2"),
    "avx2-encoder": partial(_avx2, "encoder", "characters-avx2"),
    "lookup": _lookup,
    "registers": _registers,
    "gpu": partial(_gpu, "lstm", "torch.nn.LSTM"),
    "gpu-encoder": partial(_gpu, "encoder"),
    **{f"whole-{number}": partial(_whole, number) for number in range(4)},
}
