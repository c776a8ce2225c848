"""A sweep's files travel by content: what arrives is the same cell on other paths."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from elmo_mf.errors import InputError
from elmo_mf.harness import bundle
from elmo_mf.harness.bundle import Files, Order, unpack
from elmo_mf.harness.cell import run_cell
from elmo_mf.harness.grid import expand
from elmo_mf.harness.spec import SweepSpec
from elmo_mf.harness.workspace import workspace
from tests.harness.conftest import TinySweep, records_here


def _spec(tiny_sweep: TinySweep, tmp_path: Path) -> SweepSpec:
    (tmp_path / "text.txt").write_text("some words\nand others\n" * 9)
    keys = {"method": "whitened_svd", "rank": 2, "targets": "all", "calibration": str(tmp_path / "text.txt")}
    distill = {"text": str(tmp_path / "text.txt"), "steps": 2}
    return tiny_sweep(methods=[], compressions=[keys | {"distill": distill}], limit={"train": 16})


def test_a_cell_runs_where_its_paths_are_gone(
    tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _spec(tiny_sweep, tmp_path)
    expected = records_here(spec, tmp_path / "here")[1]
    cell = expand(spec)[1]
    files = Files(spec, [cell], tmp_path / "scratch")
    sent = pickle.dumps((Order.of(files.spec, cell, files), {name: p.read_bytes() for name, p in files.paths.items()}))
    for gone in ("data", "elmo", "text.txt", "scratch"):
        shutil.move(tmp_path / gone, tmp_path / f"gone-{gone}")

    order, contents = pickle.loads(sent)
    assert str(tmp_path) not in json.dumps([asdict(order.spec), asdict(order.compression), order.identity])
    assert sum(len(content) for name, content in contents.items() if name.startswith("data/sst/train")) < 4_000
    for name, content in contents.items():
        unpack(tmp_path / "there", name, content)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()  # which is not the data that was sent
    there, again = order.unpacked(tmp_path / "there")
    assert again.id == cell.id
    with workspace(tmp_path / "there" / "work") as work:
        assert run_cell(there, again, work)["scores"] == pytest.approx(expected["scores"], rel=1e-5)


def test_names_tell_contents_apart(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = _spec(tiny_sweep, tmp_path)
    cells = expand(spec)
    before = Files(spec, cells, tmp_path / "a").id
    assert Files(spec, cells, tmp_path / "b").id == before
    with open(tmp_path / "data" / "sst" / "dev.txt", "a") as file:
        file.write("(3 fine)\n")
    assert Files(spec, cells, tmp_path / "c").id != before


def test_word_vectors_travel_to_the_tasks_that_read_them(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the 1 2")
    glove = {"sst": str(tmp_path / "words.txt"), "squad": str(tmp_path / "gone.txt")}
    spec = SweepSpec.from_file(None, tasks=["snli", "sst"], methods=[], preset="paper", glove=glove)
    cells = expand(spec)
    files = Files(spec, cells, tmp_path / "scratch")
    assert [name for name in files.paths if name.endswith("words.txt")] == [files.spec.glove_of("sst")]
    there, _ = Order.of(files.spec, cells[1], files).unpacked(tmp_path / "there")
    assert there.glove_of("sst") == str(tmp_path / "there" / str(files.spec.glove_of("sst")))
    assert there.glove_of("snli") is None


def test_too_large(tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MOST_BYTES", 1000)
    spec = tiny_sweep()
    with pytest.raises(
        InputError, match=r"--ray: found [\d,]+ bytes of weights and data, expected at most 1,000 to send"
    ):
        Files(spec, expand(spec), tmp_path)


def test_the_demo_data_is_there_already(tmp_path: Path) -> None:
    spec = SweepSpec.from_file(None, tasks=["sst"], ranks=[4])
    assert not [name for name in Files(spec, expand(spec), tmp_path).paths if name.startswith("data")]
