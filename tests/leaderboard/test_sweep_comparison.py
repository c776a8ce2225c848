"""Tests of the comparison of two sweeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import ttest_rel

from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from elmo_mf.leaderboard import compare, verdict
from tests.records.samples import record, write

FIRST = {1: (0.40, 0.33), 2: (0.42, 0.35), 3: (0.41, 0.36)}
SECOND = {1: (0.40, 0.39), 2: (0.42, 0.40), 3: (0.41, 0.43)}


def _sweep(folder: Path, scores: dict[int, tuple[float, float]], **changes: Any) -> Path:
    records = [
        record(rank, score, seed, **changes)
        for seed, both in scores.items()
        for rank, score in zip((None, 4), both, strict=True)
    ]
    return write(folder, records)


def test_differences(tmp_path: Path) -> None:
    """Encoders with equal scores are the same; others have a verdict."""
    first, second = _sweep(tmp_path / "a", FIRST), _sweep(tmp_path / "b", SECOND)
    write(second, [record(8, 0.5)])
    (comparison,) = compare(first, second)
    dense, compressed = comparison.rows
    assert (dense.encoder, verdict(dense)) == ("dense", "the same")
    assert (compressed.encoder, compressed.seeds, verdict(compressed)) == ("svd all rank 4", 3, "better")
    assert compressed.difference == pytest.approx(0.06) and (compressed.speed, compressed.size) == (1, 1)
    assert comparison.only_second == ["svd all rank 8"] and comparison.only_first == [] and comparison.changed == []


@pytest.mark.slow
def test_the_interval_is_scipys(tmp_path: Path) -> None:
    noise = [0.01, -0.01, 0.005]
    first, second = (write(tmp_path / name, [record(4, 0.4 + x, seed) for seed, x in enumerate(values)])
                     for name, values in (("a", [0.0] * 3), ("b", noise)))  # fmt: skip
    (comparison,) = compare(first, second)
    wanted = ttest_rel([0.4 + x for x in noise], [0.4] * 3).confidence_interval()
    (row,) = comparison.rows
    assert [row.low, row.high] == pytest.approx([wanted.low, wanted.high])
    assert verdict(row) == "undecided"
    two = [write(tmp_path / f"two {name}", [record(4, 0.4 + x, seed) for seed, x in enumerate(values)])
           for name, values in (("a", [0.0] * 2), ("b", noise[:2]))]  # fmt: skip
    (few,) = compare(*two)[0].rows
    assert verdict(few) == "undecided" and verdict(compare(*two, margin=50)[0].rows[0]) == "equivalent"


@pytest.mark.slow
def test_what_else_changed(tmp_path: Path) -> None:
    machine = {"cpu": "another", "cores": 2, "threads": 2, "instructions": "AVX2", "system": "Linux x86_64"}
    second = _sweep(tmp_path / "b", SECOND, machine=machine, versions={"python": "3.12.0", "torch": "2.13.0"})
    (comparison,) = compare(_sweep(tmp_path / "a", FIRST), second)
    assert comparison.changed == ['versions.python: "3.11.7" -> "3.12.0"', 'machine.cpu: "a processor" -> "another"']
    timed = {"versions": {"torch": "3.0"}, "machine": machine}
    (comparison,) = compare(_sweep(tmp_path / "a", FIRST), _sweep(tmp_path / "c", SECOND, timed=timed))
    assert comparison.changed[0] == 'timed on.cpu: nothing -> "another"' and len(comparison.changed) == len(machine)


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    first, other = _sweep(tmp_path / "a", FIRST), write(tmp_path / "c", [record(None, 0.5, task="squad")])
    with pytest.raises(InputError, match=r"records of squad"):
        compare(first, other)
    another = record(None, 0.5)
    another["run"]["config"] = {}
    write(tmp_path / "d", [record(None, 0.4), another])
    with pytest.raises(InputError, match="sst in several"):
        compare(first, tmp_path / "d")
    with pytest.raises(InputError, match="found no records"):
        compare(tmp_path / "none", first)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = _sweep(tmp_path / "a", FIRST), _sweep(tmp_path / "b", SECOND)
    assert main(["compare", str(first), str(second), "--json", str(tmp_path / "c.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = (line.split() for line in lines if line.startswith("svd all rank 4"))
    assert row[4:6] == ["34.7", "40.7"] and "better" in row
    assert "2 encoders: 1 the same, 1 better" in lines
    saved = json.loads((tmp_path / "c.json").read_text())
    assert saved["sst"]["rows"][1]["seeds"] == 3
