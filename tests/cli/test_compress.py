"""Tests that `elmo-mf compress` leaves one complete result in its folder, and every input intact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from elmo_mf import Bilm, Compression
from elmo_mf.cli.main import main
from elmo_mf.compression import activation_error, size_report
from elmo_mf.compression.calibration import CALIBRATION_TEXT, calibration_sentences
from tests.bilm.test_checkpoint import numbers_of
from tests.io.test_atomic import in_a_child

Files = Callable[..., tuple[Path, Path]]
NAMES = {"options.json", "weights.hdf5", "report.json", "MODEL_CARD.md"}


def _compress(files: tuple[Path, Path], out: Path, rank: int, *more: str) -> int:
    return main(["compress", *map(str, files), "--rank", str(rank), "--out", str(out), *more])


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _ranks(out: Path) -> set[int]:
    """Return the ranks that weights, options, report and card state."""
    bilm = Bilm.from_files(out / "options.json", out / "weights.hdf5")
    ranks = {m.rank for lstm in bilm.weights().lstms.values() for m in lstm.matrices.values()}  # type: ignore[union-attr]
    report = json.loads((out / "report.json").read_text())
    on_card = {rank for rank in (1, 3) if f"svd all rank {rank}" in (out / "MODEL_CARD.md").read_text()}
    return ranks | on_card | {bilm.options.history.steps[-1]["rank"], report["compression"]["rank"]}


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [1, 2, 5, 7, 8, 9, 10, 11])
def test_killed_at_any_step(elmo_files: Files, tmp_path: Path, kill_at: int) -> None:
    files, out = elmo_files(), tmp_path / "out"
    assert _compress(files, out, 3) == 0
    assert in_a_child(lambda: _compress(files, out, 1, "--force"), kill_at)
    assert _ranks(out) in ({3}, {1})
    assert _compress(files, out, 1, "--force") == 0
    assert _ranks(out) == {1} and {path.name for path in out.iterdir()} == NAMES


@pytest.mark.parametrize("name", ["weights.hdf5", "model.hdf5"])
def test_the_source_is_never_replaced(elmo_files: Files, capsys: pytest.CaptureFixture[str], name: str) -> None:
    options, weights = elmo_files()
    weights = weights.rename(weights.with_name(name))
    before = {path: path.read_bytes() for path in options.parent.iterdir()}
    assert _compress((options, weights), options.parent, 2) == 2
    assert "which would replace the input" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in options.parent.iterdir()}


def test_a_calibration_text_is_never_replaced(
    elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text("a text\n")
    assert _compress(elmo_files(), out, 2, "--method", "whitened_svd", "--calibration", str(out / "report.json")) == 2
    assert "which would replace the input" in capsys.readouterr().err
    assert (out / "report.json").read_text() == "a text\n"


def test_one_at_a_time(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from elmo_mf.io import exclusive

    with exclusive(tmp_path / "out", "something"):
        assert _compress(elmo_files(), tmp_path / "out", 2) == 2
    assert "another process is writing a result to" in capsys.readouterr().err


def test_what_fails_leaves_no_folder(elmo_files: Files, tmp_path: Path) -> None:
    gradients = tmp_path / "gradients.hdf5"
    gradients.write_text("no HDF5")
    assert _compress(elmo_files(), tmp_path / "out", 2, "--method", "fisher_svd", "--gradients", str(gradients)) == 2
    assert not (tmp_path / "out").exists()


def test_a_card_that_cannot_be_read_fails_before_the_work(elmo_files: Files, tmp_path: Path) -> None:
    files = elmo_files()
    (files[1].parent / "MODEL_CARD.md").mkdir()
    assert _compress(files, tmp_path / "out", 2) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_licence_stays_in_its_cell(elmo_files: Files, tmp_path: Path) -> None:
    assert _compress(elmo_files(), tmp_path / "out", 2, "--licence", "CC0 | x\n---\n# Another") == 0
    text = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert 'license: other\nlicense_text: "CC0 / x --- # Another"\nlibrary_name: elmo-mf' in text
    assert "| licence | CC0 / x --- # Another |\n" in text


@pytest.mark.slow
def test_an_interrupted_distillation_is_left_alone(elmo_files: Files, tmp_path: Path) -> None:
    """A command without distillation keeps the checkpoint, which may be hours of work."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "distill.pt").write_text("of another command")
    assert _compress(elmo_files(), out, 2) == 0
    assert (out / "distill.pt").read_text() == "of another command"


@pytest.mark.parametrize("resumed", [False, True])
def test_a_distillation_needs_room_for_its_checkpoints(
    resumed: bool,
    elmo_files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The disk must have room for two checkpoints, or one more beside that of an interrupted run."""
    from elmo_mf.compression import recovery

    (tmp_path / "t.txt").write_text("a b c\nd e\n" * 5)
    command = ["--distill", str(tmp_path / "t.txt"), "--distill-steps", "2"]
    files, out = elmo_files(), tmp_path / "out"
    checkpoint, sizes = out / "distill.pt", list[int]()
    with monkeypatch.context() as patch:
        patch.setattr(Bilm, "save", _interrupted)
        if resumed:
            assert _compress(files, out, 2, *command) == 130
            sizes.append(checkpoint.stat().st_size)
    size = recovery.checkpoint_size(Bilm.from_files(*files, Compression(method="svd", rank=2, targets="all")).weights())
    assert all(size <= actual for actual in sizes)
    usage = shutil.disk_usage(tmp_path)._replace(free=(1 if resumed else 2) * size - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    capsys.readouterr()
    assert _compress(files, out, 2, *command) == 2
    printed = capsys.readouterr()
    assert "--out: found 0.0 MB free on the disk" in printed.err and "distillation" not in printed.out
    assert checkpoint.exists() is resumed


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int4"])
def test_a_budget_in_bytes_of_what_is_written(elmo_files: Files, tmp_path: Path, dtype: str) -> None:
    files, out = elmo_files(dim=64, projection_dim=32), tmp_path / "out"
    how = ["--budget", "bytes=30000", "--allocation", "matrices", "--targets", "joint+projection", "--dtype", dtype]
    assert main(["compress", *map(str, files), *how, "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["compression"]["budget"] == {"bytes": 30000} | ({} if dtype == "float32" else {"dtype": dtype})
    size = report["size"]
    assert 29_000 < size["lstm_bytes"] <= 30_000


def test_an_unknown_type(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ["--budget", "bytes=30000", "--dtype", "int9"]
    assert main(["compress", *map(str, elmo_files()), *how, "--out", str(tmp_path / "out")]) == 2
    assert "--dtype: found int9, expected" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["--rank", "4"], ["--rank", "4", "--dense"]], ids=["alone", "factors", "rebuilt"])
@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_rounded_alone_or_with_factors(
    elmo_files: Files, tmp_path: Path, how: list[str], dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report is on the numbers that were stored, and smaller than in float16."""
    files, out, halves = elmo_files(dim=64, projection_dim=16), tmp_path / "out", tmp_path / "halves"
    factorized = bool(how)
    assert main(["compress", *map(str, files), *how, "--dtype", dtype, "--out", str(out)]) == 0
    report, card = json.loads((out / "report.json").read_text()), (out / "MODEL_CARD.md").read_text()
    dense, own = Bilm.from_files(*files), Bilm.from_files(out / "options.json", out / "weights.hdf5")
    found = activation_error(dense, own, calibration_sentences(CALIBRATION_TEXT))
    assert report["activation_error"]["all"] == pytest.approx(found.overall) and report["dtype"] == dtype
    assert (report["compression"] is None) == (not factorized) == (not own.options.history)
    assert {"int8": "matrices of int8 with", "int4": "biLSTM in four bits"}[dtype] in card
    assert (f"rounded to {dtype}, not factorized" in card) == (not factorized)
    size = size_report(own.weights(), own.options, dtype=dtype)
    assert report["size"] == size.to_dict()
    assert f"{size.encoder_bytes:,} bytes" in capsys.readouterr().out
    assert f"| {size.lstm_parameters:,} of {size.lstm_dense_parameters:,} |" in card
    assert {row["rank"] for row in report["matrices"]} == {4 if factorized else None}
    if not factorized:
        assert found.overall < {"int8": 0.02, "int4": 0.2}[dtype]
    own.save(halves, "float16")
    sizes = [sum(one.nbytes for one in numbers_of(folder / "weights.hdf5").values()) for folder in (out, halves)]
    assert sizes[0] < sizes[1]
