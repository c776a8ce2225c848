"""Model cards describe the files beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from elmo_mf import Bilm
from elmo_mf.cli.main import main
from elmo_mf.compression import licence_on_card
from elmo_mf.provenance import file_hash

Files = Callable[..., tuple[Path, Path]]


def _facts(folder: Path) -> dict[str, str]:
    """The first table."""
    text = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    table = text.split("\n\n")[2].splitlines()[2:]
    return dict((cell.strip() for cell in line.split("|")[1:-1]) for line in table)  # type: ignore[misc]


def _compress(files: tuple[Path, Path], out: Path, *more: str) -> Path:
    assert main(["compress", *map(str, files), "--out", str(out), *more]) == 0
    return out


@pytest.mark.slow
def test_the_card_of_a_compressed_elmo(elmo_files: Files, tmp_path: Path) -> None:
    files = elmo_files()
    out = _compress(files, tmp_path / "out", "--rank", "2", "--targets", "input", "--highway-rank", "3",
                    "--licence", "CC0-1.0")  # fmt: skip
    facts, report = _facts(out), json.loads((out / "report.json").read_text())
    assert file_hash(files[1]) in facts["source"] and file_hash(files[0]) in facts["its options"]
    assert facts["licence"] == "CC0-1.0" and facts["method"].startswith("svd input rank 2 highways 3 (factors")
    assert facts["parameters of the biLSTM"].startswith(f"{report['size']['lstm_parameters']:,} of ")
    assert facts["activation error"].startswith(f"{report['activation_error']['all']:.3f} on ")
    text = (out / "MODEL_CARD.md").read_text()
    for row in report["matrices"]:
        name = f"{row['direction']} {row['layer']} {row['target']}"
        assert f"| {name} | 48 x 6 | 2 | {row['parameters']:,} | {row['error']:.3f} |" in text
    for row in report["highways"]:
        assert f"| highway {row['layer']} | 34 x 17 | 3 | 153 | {row['error']:.3f} | {row['input_error']:.3f} |" in text
    assert "matrices, as large" in _facts(_compress(files, tmp_path / "dense", "--rank", "2", "--dense"))["method"]


@pytest.mark.slow
def test_the_code_on_the_card_runs(elmo_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = _compress(elmo_files(), tmp_path / "out", "--rank", "2")
    code = (out / "MODEL_CARD.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(out)
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(names["bilm"], Bilm)


@pytest.mark.slow
def test_a_licence_is_passed_on(elmo_files: Files, tmp_path: Path) -> None:
    files = elmo_files()
    assert _facts(_compress(files, tmp_path / "a", "--rank", "2"))["licence"] == "not stated"
    (files[1].parent / "MODEL_CARD.md").write_text("---\nlicense: apache-2.0\n---\n")
    first = _compress(files, tmp_path / "b", "--rank", "2", "--targets", "input")
    again = (first / "options.json", first / "weights.hdf5")
    assert _facts(_compress(again, tmp_path / "c", "--rank", "2", "--targets", "recurrent"))["licence"] == "apache-2.0"
    assert licence_on_card(tmp_path) == "not stated"


@pytest.mark.slow
def test_the_card_of_a_pretrained_elmo(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a b c d\n" * 50)
    text, out = str(tmp_path / "t.txt"), tmp_path / "out"
    sizes = "--cell 8 --projection 4 --epochs 1 --batch-tokens 64 --rank 2 --licence CC-BY-4.0".split()
    assert main(["pretrain", text, "--valid", text, "--out", str(out), *sizes]) == 0
    facts, record = _facts(out), json.loads((out / "pretrain.json").read_text())
    hub = ModelCard.load(out / "MODEL_CARD.md").data  # as the Hugging Face Hub reads it
    assert (hub.license, hub.library_name) == ("cc-by-4.0", "elmo-mf")
    assert facts["licence"] == "CC-BY-4.0" and facts["low-rank from the start"] == "svd all rank 2"
    assert facts["trained on"] == f"200 words, SHA-256 {file_hash(tmp_path / 't.txt')}"
    assert facts["held-out perplexity"].startswith(f"forward {record['held_out_perplexity']['forward']:.1f}, ")
    assert facts["weights"] == f"SHA-256 {file_hash(out / 'weights.hdf5')}"
    assert facts["architecture"] == "2 layers, 8 cells and projections of 4 a direction"
