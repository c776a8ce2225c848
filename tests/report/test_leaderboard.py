"""The page that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from elmo_mf.errors import InputError
from elmo_mf.report.leaderboard import write_leaderboard
from tests.conftest import ROOT
from tests.report.records import record, write


def _page(folder: Path, *records: dict[str, object]) -> str:
    return write_leaderboard(write(folder, list(records)))[0].read_text(encoding="utf-8")


def test_table(tmp_path: Path) -> None:
    page = _page(tmp_path, record(None, 0.40, 1), record(None, 0.42, 2), record(4, 0.33, 1), record(4, 0.35, 2))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    header, _, dense, compressed = rows
    assert header[:6] == ["encoder", "accuracy %", "vs dense", "seeds", "parameters", "smaller"]
    assert dense[:6] == ["dense", "41.0 ± 1.4", "", "2", "1,000", "1.0x"]
    assert compressed[:6] == ["**svd all rank 4** ★", "34.0 ± 1.4", "-7.0", "2", "40", "25.0x"]
    assert header[6:8] == ["encoder ms, batch 1", "speed-up, encoder, batch 1"]
    assert compressed[6:8] == ["10.0 (12.0)", "2.00x"]


def test_header_says_what_and_where(tmp_path: Path) -> None:
    page = _page(tmp_path, record(None, 0.40))
    for text in ("2 layers, cell 512, projection 64", "wwwwwwwwwwww", "a processor", "2 threads", "torch 2.13.0",
                 "chance is 20.0 %", "8,544 train", "demo data written for this project"):  # fmt: skip
        assert text in page


def test_remarks(tmp_path: Path) -> None:
    page = _page(tmp_path, record(None, 0.21), record(4, 0.20))
    assert "The dense encoder itself is at chance" in page and "21.0 †" in page and "One seed only" in page
    cut = record(4, 0.35)
    cut["cell"]["data"]["train"]["limit"] = 100
    page = _page(tmp_path / "cut", cut)
    assert "no dense encoder to compare with" in page and "cut to the sizes given" in page


def test_a_language_models_table(tmp_path: Path) -> None:
    """Perplexities as they are, the lowest first; at chance from the unigram's on."""
    about: dict[str, Any] = {"task": "ptb", "chance": 600.0, "elmo": None}
    records = [record(None, 100.0, **about), record(4, 602.5, **about), record(8, 110.25, **about)]
    for made in records:
        made["cell"]["elmo"] = None
    page = _page(tmp_path, *records)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    assert [row[:3] for row in rows if not row[0].startswith(":")] == [
        ["encoder", "perplexity", "vs dense"],
        ["dense", "100.00", ""],
        ["**svd all rank 8** ★", "110.25", "+10.25"],
        ["svd all rank 4", "602.50 †", "+502.50"],
    ]
    for text in ("ELMo: none", "perplexity on the test split; chance is 600.00.", "Lower is better", "`torch.nn.LSTM`"):
        assert text in page


def test_same_records_same_bytes(tmp_path: Path) -> None:
    records = [record(None, 0.4), record(4, 0.3), record(4, 0.3, task="snli"), record(None, 0.9, task="snli")]
    page = _page(tmp_path / "board", *records)
    (tmp_path / "again").mkdir()
    assert _page(tmp_path / "again" / "board", *records) == page
    assert not [path for path in (tmp_path / "board").iterdir() if path.name not in ("README.md", "records")]


def test_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no records"):
        write_leaderboard(tmp_path)
    assert not (tmp_path / "README.md").exists()


def test_the_published_board_is_its_records(tmp_path: Path) -> None:
    published = ROOT / "leaderboard"
    (tmp_path / "leaderboard").mkdir()
    (tmp_path / "leaderboard" / "records").symlink_to(published / "records")
    path, _ = write_leaderboard(tmp_path / "leaderboard")
    assert path.read_bytes() == (published / "README.md").read_bytes()
