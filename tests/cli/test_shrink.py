"""Tests of `elmo-mf shrink`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from elmo_mf import Bilm
from elmo_mf.bilm import BilmOptions, read_weights
from elmo_mf.cli.main import main
from elmo_mf.compression import remove_cells
from tests.conftest import ROOT

Files = Callable[..., tuple[Path, Path]]
DEMO = [str(ROOT / "weights/demo" / name) for name in ("options.json", "weights.hdf5")]


@pytest.mark.slow
def test_the_result_is_an_elmo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is what `remove_cells` returns, in the official layout, and can be compressed further."""
    out = tmp_path / "smaller"
    assert main(["shrink", *DEMO, "--cells", "256", "--out", str(out)]) == 0
    assert "256 of 512 cells" in capsys.readouterr().out
    options = BilmOptions.from_file(DEMO[0])
    weights, smaller = remove_cells(read_weights(DEMO[1], options), options, 256)
    expected = Bilm(smaller, weights).eval().embed([["a", "film"]])[0]
    result = Bilm.from_files(out / "options.json", out / "weights.hdf5")
    np.testing.assert_allclose(result.eval().embed([["a", "film"]])[0], expected, atol=1e-6)
    with h5py.File(out / "weights.hdf5") as file:
        assert file["RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_P_0"].shape == (256, 64)
    (history,) = json.loads((out / "options.json").read_text())["elmo_mf"]["compressions"]
    assert history == {"cells": 256, "calibration": None, "gradients": None}
    assert "256 of 512" in (out / "MODEL_CARD.md").read_text()
    low = [
        "compress",
        str(out / "options.json"),
        str(out / "weights.hdf5"),
        "--rank",
        "4",
        "--out",
        str(tmp_path / "r4"),
    ]
    assert main(low) == 0
    assert len(json.loads((tmp_path / "r4/options.json").read_text())["elmo_mf"]["compressions"]) == 2


@pytest.mark.slow
def test_the_softmax_comes_along(tmp_path: Path, elmo_files: Files) -> None:
    """And one that an earlier result left does not stay."""
    _, weights = elmo_files()
    out = tmp_path / "out"
    for name in ("softmax.hdf5", "vocabulary.txt"):
        (weights.parent / name).write_bytes(b"copied as it is")
    command = ["shrink", *map(str, elmo_files()), "--cells", "2", "--out", str(out)]
    assert main(command) == 0
    assert {(out / name).read_bytes() for name in ("softmax.hdf5", "vocabulary.txt")} == {b"copied as it is"}
    for name in ("softmax.hdf5", "vocabulary.txt"):
        (weights.parent / name).unlink()
    assert main([*command, "--force"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["MODEL_CARD.md", "options.json", "weights.hdf5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cells", "512"], "--cells: found 512, expected 1 to 511"),
        (["--cells", "8", "--dtype", "int8"], "--dtype: found int8"),
        (["--cells", "8", "--calibration", "missing.txt"], "missing.txt"),
        (["--cells", "8", "--gradients", "missing.hdf5"], "missing.hdf5"),
        (["--cells", "8", "--out", "."], "--out: "),
    ],
)
def test_errors(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Errors are of one line, and leave nothing."""
    monkeypatch.chdir(tmp_path)
    if "." in arguments:
        for name, file in zip(("options.json", "weights.hdf5"), DEMO, strict=True):
            Path(name).write_bytes(Path(file).read_bytes())
        files = ["options.json", "weights.hdf5", "--force"]
    else:
        files = [*DEMO, "--out", "out"]
    before = sorted(tmp_path.iterdir())
    assert main(["shrink", *files, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and sorted(tmp_path.iterdir()) == before
