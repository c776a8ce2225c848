"""Tests of all reports with untrusted text in every field of a record."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from elmo_mf.cli.main import main
from elmo_mf.figures import THEMES
from elmo_mf.leaderboard import write_reports
from elmo_mf.records.store import RecordStore
from tests.records.samples import MACHINE, record, signed, write

pytestmark = pytest.mark.slow

HOSTILE = (
    "x\n\n# Mine\n\n<script>alert(1)</script><img src=http://127.0.0.1:9/a.png> ![](http://127.0.0.1:9/b.png) "
    "[l](http://127.0.0.1:9/c) | `c` **b** $\\frac{$ \\input{/etc/passwd} %\r =cmd|' /C calc'!A0 [/b] [red]r[/red] "
    "\x1b[31m\x07 \u202e \u2028 &lt; </script><!-- {{ 7 * 7 }} \\"
)
KEY = "k\n\n# Mine\n\n<script>x</script> ![](http://127.0.0.1:9/b.png) | `c` $\\frac{$ \\input{x} [/b] \x1b[31m \u202e"
_ALLOWED = {
    "heading_open", "heading_close", "inline", "bullet_list_open", "bullet_list_close", "list_item_open",
    "list_item_close", "paragraph_open", "paragraph_close", "table_open", "table_close", "thead_open", "thead_close",
    "tbody_open", "tbody_close", "tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close", "text",
    "text_special", "code_inline", "strong_open", "strong_close", "em_open", "em_close", "softbreak", "html_inline",
    "html_block",
}  # fmt: skip


def full() -> dict[str, Any]:
    """Build a record that has every field."""
    norms = dict.fromkeys(("l1", "frobenius", "spectral", "nuclear", "std", "effective_rank"), 1.0)
    matrix = {"direction": "forward", "layer": 0, "target": "input", "shape": [8, 4], "rank": 4, "parameters": 48,
              "energy": 0.5, "error": 0.1, "input_error": 0.2, "norms": norms}  # fmt: skip
    machine = MACHINE | {"gpu": "a GPU", "environment": {"ELMO_MF_NATIVE": "0"}}
    timed = {"versions": {"torch": "3.0"}, "machine": machine}
    entry = record(
        4, 0.4, matrices=[matrix], activation_error={"layers": [0.1], "all": 0.1}, machine=machine, timed=timed,
        phases={"training": 1.0},
    )  # fmt: skip
    entry["run"]["compression"] |= {"targets": ["input"], "calibration": "c" * 64}
    entry["run"]["config"]["tokens"] = {"delimiter": "\t"}
    return json.loads(json.dumps(entry))  # type: ignore[no-any-return]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """Yield the path of every text and key in a value, and whether it is a key."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(key, str):
            yield (*path, key), True
        if isinstance(inner, str):
            yield (*path, key), False
        elif isinstance(inner, (dict, list)):
            yield from places(inner, (*path, key))


def changed(path: tuple[Any, ...], is_key: bool, text: str) -> dict[str, Any]:
    """Build the full record with another text at a path."""
    entry = full()
    holder: Any = entry
    for key in path[:-1]:
        holder = holder[key]
    if is_key:
        holder[text] = holder.pop(path[-1])
    else:
        holder[path[-1]] = text
    return signed(entry)


def _dense(seed: int) -> dict[str, Any]:
    entry = full() | {"matrices": [], "activation_error": None}
    entry["run"] |= {"compression": None, "seed": seed}
    return signed(entry)


def _each() -> list[dict[str, Any]]:
    """Build a record for every field and key, in which it is hostile; each has its own seed."""
    records = []
    for seed, (path, is_key) in enumerate((one for one in places(full()) if one != (("run",), True)), start=1):
        one = changed(path, is_key, KEY if is_key else HOSTILE)
        if isinstance(one["run"].get("seed"), int):
            one["run"]["seed"] = seed
        records.append(signed(one))
    return records


@pytest.mark.usefixtures("nothing_drawn")
def test_every_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Hostile records are left out with a warning, or shown as text in every format and on the terminal."""
    monkeypatch.setattr("elmo_mf.leaderboard.readme.write_figures", lambda *_: None)
    dense = [_dense(seed) for seed in range(200)]
    folder, one_setting = write(tmp_path / "all", [*dense, *_each()]), write(tmp_path / "one", [*dense, full()])
    assert 20 < len([1 for one in RecordStore(folder).records() if one.run.compression]) < len(_each())
    assert main(["leaderboard", str(folder), "--export", "csv,tex,json,parquet"]) == 0
    assert main(["explain", str(folder)]) == 0
    other = write(tmp_path / "other", [*dense, changed(("machine", "environment", "ELMO_MF_NATIVE"), True, KEY)])
    assert main(["compare", str(one_setting), str(other)]) == 0
    assert main(["sweep", "--tasks", "sst", "--ranks", "4", "--seeds", "1", "--output", str(folder), "--status"]) == 0
    output = "".join(capfd.readouterr())
    assert output.replace("\n", "").isprintable()
    for name in ("README.md", "EXPLAIN.md"):
        _check_markdown((folder / name).read_text(encoding="utf-8"))
    _check_exports(folder)
    _check_page((folder / "index.html").read_text(encoding="utf-8"))


def _tokens(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _tokens(token.children or [])


def _check_markdown(text: str) -> None:
    assert text.replace("\n", "").isprintable()
    for token in _tokens(MarkdownIt("commonmark").enable("table").parse(text)):
        assert token.type in _ALLOWED, (token.type, token.content)
        if token.type == "html_block":
            assert re.fullmatch(r"<details><summary>[\w ]+</summary>\n|</details>\n", token.content)
        if token.type == "html_inline":
            assert re.fullmatch(r'</?picture>|<source [^<>]*>|<img alt="[^"<>]*" src="[a-z0-9-]+\.svg">', token.content)
    headings = re.findall(r"^#.*", text, re.MULTILINE)
    assert not any(line.startswith("# Mine") for line in headings)


def _check_exports(folder: Path) -> None:
    for row in csv.reader(io.StringIO((folder / "board.csv").read_text(encoding="utf-8"))):
        for cell in row:
            assert cell.isprintable() and (not cell.startswith(tuple("=+-@")) or _is_number(cell))
    latex = (folder / "board.tex").read_text(encoding="utf-8")
    assert latex.replace("\n", "").isprintable()
    for line in latex.splitlines():
        commands = set() if line.startswith("%") else set(re.findall(r"\\([A-Za-z]+)", line))
        assert commands <= {
            "begin", "end", "toprule", "midrule", "bottomrule", "star", "diamond", "approx", "dag", "ddag", "pm",
            "textbackslash", "ensuremath",
        }  # fmt: skip
    json.loads((folder / "board.json").read_text(), parse_constant=lambda _: pytest.fail("no JSON"))


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"-?[0-9.]+(e[+-]?[0-9]+)?", cell) is not None


def _check_page(page: str) -> None:
    """Check that the data is JSON that does not end its element, and that no markup is from records."""
    assert len(re.findall("(?i)</script", page)) == 4
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    value = json.loads(data[1], parse_constant=lambda _: pytest.fail("no JSON"))
    markup = [value[name] for name in ("header", "notes")] + [
        board[name] for name in ("lead", "about") for board in value["boards"]
    ]
    assert {tag for text in markup for tag in re.findall(r"<([a-z0-9]+)", text)} <= {
        "h1", "h2", "p", "ul", "li", "code", "strong", "em",
    }  # fmt: skip


def hostile() -> list[dict[str, Any]]:
    """Build records with hostile texts in many fields at once."""
    other = full()
    machine = {"cpu": HOSTILE, "cores": 1, "threads": 1, "instructions": HOSTILE, "system": HOSTILE, "gpu": HOSTILE,
               "environment": {KEY: HOSTILE}}  # fmt: skip
    other |= {"machine": machine, "timed": {"versions": {KEY: HOSTILE}, "machine": machine}, "data": HOSTILE}
    other["elmo"]["name"] = f"$\\frac$ {HOSTILE}"  # its beginning is part of titles
    other["run"]["config"] |= {KEY: HOSTILE}
    other["run"]["compression"]["calibration"] = HOSTILE
    other["run"]["elmo"]["weights"] = f"$\\frac$ {HOSTILE}"
    plain = json.loads(json.dumps(other))
    del plain["run"]["compression"]["calibration"]
    return [_dense(1), full(), signed(other), signed(plain)]


def test_pictures(tmp_path: Path) -> None:
    """Figures show dollar signs and titles literally."""
    _, boards = write_reports(write(tmp_path, hostile()))
    for theme in THEMES:
        for board in boards:
            text = (tmp_path / f"board-{board.name}-{theme}.svg").read_text(encoding="utf-8")
            tags = {element.tag.partition("}")[2] for element in ET.fromstring(text).iter()}
            assert not tags & {"script", "image", "a", "foreignObject"}
    assert any("$" in board.title for board in boards)
