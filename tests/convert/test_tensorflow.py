"""Checkpoints that TensorFlow writes, against the losses and vectors that TensorFlow computes with them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elmo_mf import Bilm
from elmo_mf.cli.main import main
from elmo_mf.pretrain._evaluate import evaluate
from tests.conftest import ROOT, raw_options

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("tensorflow") is None or find_spec("tf_keras") is None,
        reason="needs the extra `tensorflow`, and tf_keras for TensorFlow's own LSTM cells",
    ),
]

WORDS = "<S> </S> <UNK> the cat sat on a mat naïve".split()
TEXT = "the cat sat on a mat\nun naïve dog\na 漢字 cat\n"
SIZES: dict[str, dict[str, Any]] = {
    "as published": {"cell_clip": 0.4, "proj_clip": 0.3},
    "one layer": {"n_layers": 1, "n_highway": 0},
    "word-level": {},
    "word-level, shared": {},
    "no projection, no skip": {"projection_dim": 12, "n_layers": 3, "use_skip_connections": False},
}


def _written(folder: Path, name: str) -> Path:
    options = raw_options(**SIZES[name]) | {"bidirectional": True, "n_tokens_vocab": len(WORDS)}
    options["char_cnn"]["n_characters"] = 261
    if name.startswith("word-level"):
        del options["char_cnn"]
        options["share_embedding_softmax"] = name.endswith("shared")
    folder.mkdir()
    (folder / "options.json").write_text(json.dumps(options))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    command = [sys.executable, "-m", "tests.convert.tensorflow_model", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(tmp_path_factory.mktemp("tensorflow") / "elmo", "as published")


def _convert(folder: Path, out: Path) -> int:
    return main(["convert", str(folder), "--vocabulary", str(folder / "vocab.txt"), "--out", str(out)])


@pytest.mark.parametrize("name", SIZES)
def test_losses_and_vectors_are_tensorflows(
    name: str, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = published if name == "as published" else _written(tmp_path / "elmo", name)
    assert _convert(folder, tmp_path / "out") == 0
    assert capsys.readouterr().err == ""
    judged = np.load(folder / "judged.npz")
    bilm = Bilm.from_files(tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5")
    lines = [line.split() for line in TEXT.splitlines()]
    for number, vectors in enumerate(bilm.embed(lines)):
        forward, backward = np.split(vectors[-1], 2, axis=1)
        np.testing.assert_allclose(forward, judged[f"vectors 0 {number}"][1:], atol=2e-6)
        np.testing.assert_allclose(backward, judged[f"vectors 1 {number}"][:0:-1], atol=2e-6)
    expected = [
        float(np.exp(np.concatenate([judged[f"losses {direction} {number}"] for number in range(len(lines))]).mean()))
        for direction in (0, 1)
    ]
    evaluation = evaluate(tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5", [folder / "text.txt"])
    assert [evaluation.forward, evaluation.backward] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["index", "data-00000-of-00001"])
def test_damaged_files(kind: str, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cut or changed anywhere, a file is refused in one line, or its numbers are those of the whole one."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in published.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (damaged,) = copy.glob(f"*.{kind}")
    whole, rng, refused = damaged.read_bytes(), random.Random(0), 0
    assert _convert(copy, tmp_path / "whole") == 0
    numbers = (tmp_path / "whole" / "weights.hdf5").read_bytes()
    for trial in range(24):
        content = bytearray(whole[: rng.randrange(len(whole))] if trial % 3 == 0 else whole)
        if trial % 3:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        damaged.write_bytes(content)
        capsys.readouterr()
        status = _convert(copy, tmp_path / str(trial))
        error = capsys.readouterr().err
        if status == 0:
            assert (tmp_path / str(trial) / "weights.hdf5").read_bytes() == numbers
        else:
            refused += 1
            assert status == 2 and error.startswith("elmo-mf: error: ") and error.count("\n") == 1
            assert not (tmp_path / str(trial)).exists()
    assert refused > 8


def test_a_checkpoint_of_another_kind_of_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tensorflow

    other = tensorflow.train.Checkpoint(weights=tensorflow.Variable([1.0, 2.0]))
    saved = other.write(str(tmp_path / "other"))
    (tmp_path / "options.json").write_text(json.dumps(raw_options()))
    assert main(["convert", saved, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "_CHECKPOINTABLE_OBJECT_GRAPH" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
