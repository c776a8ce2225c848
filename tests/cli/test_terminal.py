"""Tests of printing on terminals of any encoding."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from elmo_mf.cli import _terminal
from elmo_mf.cli._console import Console
from elmo_mf.cli._fitted_table import fitted_table
from elmo_mf.cli.main import main
from elmo_mf.leaderboard import Unit
from tests.records.samples import MACHINE, record, write

Files = Callable[..., tuple[Path, Path]]
_ESCAPES = "\x1b[31m \x9b0m \u202e [bold]x[/b] :smile: \r \x07"


def _records(folder: Path) -> Path:
    """Write records whose board has every mark: recommended, Pareto front, chance and spreads."""
    machine = MACHINE | {"cpu": f"caf\xe9 \u2713 {_ESCAPES}"}
    norms = dict.fromkeys(("l1", "frobenius", "spectral", "nuclear", "std", "effective_rank"), 1.0)
    matrix = {"direction": "forward", "layer": 0, "target": "input", "shape": [8, 4], "rank": 4, "parameters": 48,
              "energy": 0.5, "error": 0.1, "input_error": 0.2, "norms": norms}  # fmt: skip
    more: dict[str, Any] = {"matrices": [matrix], "activation_error": {"layers": [0.1], "all": 0.1}}
    records = []
    for seed in (1, 2, 3):
        records += [record(None, 0.40 + seed / 100, seed), record(2, 0.1, seed), record(8, 0.41 + seed / 100, seed)]
        one = record(4, 0.40, seed, machine=machine, **more)
        one["run"]["compression"]["targets"] = ["input"]
        records.append(one)
        baseline = record(None, 0.2, seed)
        baseline["run"]["baseline"] = "no-encoder"
        records.append(baseline)
    other = record(None, 0.3)
    other["run"]["config"][f"[/b] {_ESCAPES}"] = _ESCAPES
    return write(folder, [*records, other])


def _printed(monkeypatch: pytest.MonkeyPatch, encoding: str, words: list[str]) -> str:
    """Return what a command has printed in an encoding, without waiting for its end; the command must succeed."""
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    with monkeypatch.context() as patch:
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        assert main(words) == 0
    return "".join(stream.buffer.getvalue().decode(encoding) for stream in streams.values())


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.usefixtures("nothing_drawn")
def test_every_encoding(encoding: str, elmo_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks that an encoding lacks are replaced, and no control character reaches the terminal."""
    folder, other = _records(tmp_path / "caf\xe9 \u2713"), _records(tmp_path / "other")
    for path in other.glob("records/00015*"):
        path.unlink()
    monkeypatch.setattr("elmo_mf.leaderboard.readme.write_figures", lambda *_: None)
    options, weights = map(str, elmo_files("\u2713"))
    sweep = ["sweep", "--tasks", "sst", "--ranks", "4", "--output", str(folder)]
    for words in (
        ["leaderboard", str(folder)],
        ["compare", str(other), str(other)],
        ["explain", str(folder)],
        ["inspect", options, weights, "--no-gates"],
        ["compress", options, weights, "--rank", "2", "--out", str(tmp_path / "out \u2713")],
        ["tasks"],
        ["--help"],
        [*sweep, "--status"],
        [*sweep, "--dry-run"],
    ):
        output = _printed(monkeypatch, encoding, words)
        assert output.replace("\n", "").isprintable(), (words, output)
        if words[0] == "leaderboard":
            marks = "★◆±†" if encoding == "utf-8" else "*^+"
            assert all(mark in output for mark in marks)
            assert all(f"\n{mark}: " in output for mark in marks[:2]) and ": within two standard errors" in output


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_drawn")
def test_tables_on_a_terminal_of_80_characters(
    elmo_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No column is cut, and no line is broken by the terminal."""
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    options, weights = map(str, elmo_files())
    for words in (["inspect", options, weights], ["explain", str(_records(tmp_path / "run"))]):
        assert main(words) == 0
        lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
        assert len(lines) > 10 and "\u2026" not in "".join(lines)
        assert [line for line in lines if len(line) > 80] in ([], lines[-1:])  # the last names the files


def test_characters_without_a_replacement_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    _terminal.set_up()
    _terminal.echo("a ★ \u20ac \udcff\n\x1b[31m")
    stream.flush()
    assert stream.buffer.getvalue() == b"a * \\u20ac \\udcff\\n\\x1b[31m\n"


def test_texts_are_printed_literally() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, color_system="truecolor")
    console.print("[/b] [bold]x[/bold] :smile: \x1b[31m \u202e")
    assert file.getvalue() == "[/b] [bold]x[/bold] :smile: \\x1b[31m \\u202e\n"


def test_tables_leave_out_columns_before_they_shorten_names() -> None:
    cells = pd.DataFrame(
        {"encoder": ["svd all rank 8"], "perplexity": ["181,818 ± 9,967"], "vs dense": ["+" + 40 * "1"]}
    )
    for width, kept in ((80, 3), (60, 2), (30, 1)):
        file = io.StringIO()
        Console(file=file, width=width).print(fitted_table("a board", cells, width))
        _title, head, row = file.getvalue().splitlines()
        assert head.split("  ")[0] == "encoder" and row.startswith("svd all rank 8")
        assert [str(name) in head for name in cells] == [True] * kept + [False] * (3 - kept)


def test_perplexities_in_the_thousands_have_no_decimals() -> None:
    unit, share = Unit(1, 2, "perplexity", "perplexity"), Unit(100, 1, "accuracy %", "points")
    assert [unit.text(one) for one in (999.994, 1000.4, 181817.52)] == ["999.99", "1,000", "181,818"]
    assert [unit.signed(one) for one in (-0.001, -1234.5, 12.345)] == ["+0.00", "-1,234", "+12.35"]
    assert [share.text(0.4995), share.signed(-0.0004)] == ["50.0", "+0.0"]
