"""Two sweeps side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from elmo_mf.report.compare import compare, verdict
from tests.report.records import record, write

FIRST = {1: (0.40, 0.33), 2: (0.42, 0.35), 3: (0.41, 0.36)}
SECOND = {1: (0.40, 0.39), 2: (0.42, 0.40), 3: (0.41, 0.43)}


def _sweep(folder: Path, scores: dict[int, tuple[float, float]], **changes: Any) -> Path:
    made = [
        record(rank, score, seed, **changes)
        for seed, both in scores.items()
        for rank, score in zip((None, 4), both, strict=True)
    ]
    return write(folder, made)


def test_differences(tmp_path: Path) -> None:
    """The same where every score is; the interval of one encoder's differences is SciPy's paired one."""
    first, second = _sweep(tmp_path / "a", FIRST), _sweep(tmp_path / "b", SECOND)
    write(second, [record(8, 0.5)])
    (found,) = compare(first, second)
    rows = [dict(row) for row in found.rows.to_dict("records")]
    dense, own = ({str(key): value for key, value in row.items()} for row in rows)
    assert (dense["encoder"], verdict(dense)) == ("dense", "the same")
    assert (own["encoder"], own["seeds"], verdict(own)) == ("svd all rank 4", 3, "changed")
    assert own["difference"] == pytest.approx(0.06) and (own["speed"], own["size"]) == (1, 1)
    assert found.only_second == ["svd all rank 8"] and found.only_first == [] and found.changed == []


def test_the_interval_is_of_all_encoders(tmp_path: Path) -> None:
    first = [record(rank, 0.4 + 0.01 * rank + 0.001 * seed, seed) for rank in (2, 4) for seed in (1, 2, 3)]
    noise = {(2, 1): 0.01, (2, 2): -0.01, (2, 3): 0.005, (4, 1): -0.02, (4, 2): 0.01, (4, 3): 0.0}
    second = [
        r
        | {"scores": {"accuracy": r["scores"]["accuracy"] + noise[r["cell"]["compression"]["rank"], r["cell"]["seed"]]}}
        for r in first
    ]
    (found,) = compare(write(tmp_path / "a", first), write(tmp_path / "b", second))
    one, other = ([noise[rank, seed] for seed in (1, 2, 3)] for rank in (2, 4))
    width = np.sqrt((np.var(one, ddof=1) + np.var(other, ddof=1)) / 2 / 3)
    alone = ttest_rel(one, [0, 0, 0]).confidence_interval()
    rows = found.rows.set_index("encoder")
    half = float(rows["high"]["svd all rank 2"] - rows["difference"]["svd all rank 2"])
    assert half == pytest.approx(2.776445 * width, rel=1e-5)  # Student's t with 4 degrees of freedom
    assert half < (alone.high - alone.low) / 2 * 3
    assert rows["within_noise"].all()


def test_what_else_changed(tmp_path: Path) -> None:
    machine = {"cpu": "another", "cores": 2, "threads": 2, "instructions": "AVX2", "system": "Linux x86_64"}
    second = _sweep(tmp_path / "b", SECOND, machine=machine, versions={"python": "3.12.0", "torch": "2.13.0"})
    (found,) = compare(_sweep(tmp_path / "a", FIRST), second)
    assert found.changed == ['versions.python: "3.11.7" -> "3.12.0"', 'machine.cpu: "a processor" -> "another"']


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    first, other = _sweep(tmp_path / "a", FIRST), write(tmp_path / "c", [record(None, 0.5, task="squad")])
    with pytest.raises(InputError, match=r"found records of squad, expected any of sst, as in .*a"):
        compare(first, other)
    another = record(None, 0.5)
    another["cell"]["config"] = {}
    write(tmp_path / "d", [record(None, 0.4), another])
    with pytest.raises(InputError, match="found sst in several settings"):
        compare(first, tmp_path / "d")
    with pytest.raises(InputError, match="found no records"):
        compare(tmp_path / "none", first)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = _sweep(tmp_path / "a", FIRST), _sweep(tmp_path / "b", SECOND)
    assert main(["compare", str(first), str(second), "--json", str(tmp_path / "c.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = (line.split() for line in lines if line.startswith("svd all rank 4"))
    assert row[4:6] == ["34.7", "40.7"] and "changed" in row
    assert "2 encoders: 1 the same, 1 changed" in lines
    saved = json.loads((tmp_path / "c.json").read_text())
    assert saved["sst"]["rows"][1]["seeds"] == 3
