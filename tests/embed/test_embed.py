"""Vectors in the file are those of `Bilm.embed`, whatever the windows, batches, pieces and interruptions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elmo_mf.bilm import Bilm
from elmo_mf.cli.main import main
from elmo_mf.embed import job
from elmo_mf.embed.job import KEEP, Keep, Settings, embed_file
from elmo_mf.embed.text import TextFile
from elmo_mf.errors import InputError
from tests.conftest import random_bilm

Files = Callable[..., tuple[Path, Path]]
LINES = ["a bb ccc", "", "dd", "a bb ccc", "e " * 30, "é ü"]


def _text(folder: Path, lines: list[str]) -> TextFile:
    path = folder / "in.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return TextFile.scan(path)


def _check(path: Path, lines: list[str], bilm: Bilm, keep: Keep) -> None:
    with h5py.File(path) as file:
        assert set(file) == {str(number) for number in range(len(lines))} | {"sentence_to_index"}
        for number, line in enumerate(lines):
            layers = bilm.embed([line.split()])[0]
            expected = {"all": layers, "top": layers[-1], "average": layers.mean(axis=0)}[keep]
            found = file[str(number)][()]
            assert found.dtype == np.float32 and found.shape == expected.shape
            np.testing.assert_allclose(found, expected, atol=1e-5)
        index = json.loads(file["sentence_to_index"][0])
    assert index == {line.strip(): str(number) for number, line in enumerate(lines)}


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("piece", [4, 1024])
def test_layout_and_values(keep: Keep, piece: int, tmp_path: Path) -> None:
    bilm = random_bilm()
    embed_file(bilm, {}, _text(tmp_path, LINES), tmp_path / "out.hdf5", Settings(keep, batch=2, piece=piece))
    _check(tmp_path / "out.hdf5", LINES, bilm, keep)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.hdf5"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text("ab ", max_size=12), min_size=1, max_size=8),
    batch=st.integers(1, 3),
    piece=st.integers(2, 9),
    window=st.integers(1, 20),
)
def test_any_windows(
    lines: list[str], batch: int, piece: int, window: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, bilm = tmp_path_factory.mktemp("embed"), random_bilm()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "WINDOW_TOKENS", window)
        embed_file(bilm, {}, _text(folder, lines), folder / "o.hdf5", Settings("all", batch, piece))
    _check(folder / "o.hdf5", lines, bilm, "all")


class _Cut(Exception):
    pass


def test_a_run_that_was_cut_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "WINDOW_TOKENS", 1)
    bilm, text, output = random_bilm(), _text(tmp_path, LINES), tmp_path / "out.hdf5"

    times: list[int] = []

    def cut(done: int) -> None:
        if done == 3:
            raise _Cut

    with pytest.raises(_Cut):
        embed_file(bilm, {"x": 1}, text, output, Settings(), cut)
    assert not output.exists()
    with pytest.raises(InputError, match=r"out\.hdf5\.parts: found parts of another run"):
        embed_file(bilm, {"x": 2}, text, output, Settings())
    first = min((tmp_path / "out.hdf5.parts").glob("*.hdf5"))
    made = first.stat().st_mtime_ns
    embed_file(bilm, {"x": 1}, text, output, Settings(), lambda _: times.append(first.stat().st_mtime_ns))
    assert set(times[:-1]) == {made}
    _check(output, LINES, bilm, "all")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.hdf5").write_text("precious")
    with pytest.raises(InputError, match=r"out\.hdf5: found a file already"):
        embed_file(random_bilm(), {}, _text(tmp_path, LINES), tmp_path / "out.hdf5", Settings())
    assert (tmp_path / "out.hdf5").read_text() == "precious"


def test_command(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, weights = elmo_files()
    text, out = _text(tmp_path, LINES).path, tmp_path / "v.hdf5"
    elmo = ["--options", str(options), "--weights", str(weights), "--rank", "2"]
    assert main(["embed", str(text), str(out), "--top", *elmo]) == 0
    assert capsys.readouterr().out == f"wrote {out}: 6 sentences\n"
    from elmo_mf.factorize import Compression

    _check(out, LINES, Bilm.from_files(options, weights, Compression("svd", 2, "all")), "top")
    within = Compression("svd", None, "input", budget={"parameters": 2500}, highway_rank=3)
    elmo[-2:] = ["--budget", "2500", "--targets", "input", "--highway-rank", "3"]
    assert main(["embed", str(text), str(tmp_path / "w.hdf5"), "--top", *elmo]) == 0
    _check(tmp_path / "w.hdf5", LINES, Bilm.from_files(options, weights, within), "top")


def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes("ok\nfr\xfcher\n".encode("latin-1"))
    (tmp_path / "t.txt").write_text("a b\n")
    out = str(tmp_path / "v.hdf5")
    for arguments, message in (
        (["gone.txt", out], "gone.txt: no such text file"),
        ([str(tmp_path / "empty.txt"), out], "empty.txt: found no lines"),
        ([str(tmp_path / "latin.txt"), out], "latin.txt: line 2: found invalid start byte, expected UTF-8"),
        ([str(tmp_path / "t.txt"), out, "--top", "--average"], "found --top and --average, expected one of them"),
        ([str(tmp_path / "t.txt"), out, "--rank", "999"], "compression.rank: found 999"),
        ([str(tmp_path / "t.txt"), out, "--options", "o.json"], "found only one of --options and --weights"),
        ([str(tmp_path / "t.txt"), out, "--state", "carried"], "--state: found 'carried', expected zero or primed"),
        ([str(tmp_path / "t.txt"), out, "--precision", "half"], "precision: found 'half', expected one of float32"),
    ):
        assert main(["embed", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not Path(out).exists()


def test_primed_state(elmo_files: Files, tmp_path: Path) -> None:
    """In long lines as in short ones."""
    options, weights = elmo_files()
    bilm = Bilm.from_files(options, weights, state="primed")
    embed_file(bilm, {}, _text(tmp_path, LINES), tmp_path / "out.hdf5", Settings("top", piece=4))
    _check(tmp_path / "out.hdf5", LINES, bilm, "top")
    elmo = ["--options", str(options), "--weights", str(weights), "--state", "primed", "--top"]
    assert main(["embed", str(tmp_path / "in.txt"), str(tmp_path / "cli.hdf5"), *elmo]) == 0
    _check(tmp_path / "cli.hdf5", LINES, bilm, "top")


MEMORY = """
import resource, sys
from elmo_mf.cli.main import main
assert main(["embed", *sys.argv[1:]]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_a_line(elmo_files: Files, tmp_path: Path) -> None:
    """The longer line's vectors are 61 MB, and more than once that without pieces."""
    options, weights = elmo_files(projection_dim=64)
    peaks = []
    for words in (2_000, 40_000):
        (tmp_path / f"{words}.txt").write_text("word " * words)
        files = [str(tmp_path / f"{words}.txt"), str(tmp_path / f"{words}.hdf5")]
        command = [sys.executable, "-c", MEMORY, *files, "--options", str(options), "--weights", str(weights)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 30_000  # kilobytes
