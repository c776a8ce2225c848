"""Proteins: one residue a token, identifiers as keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from elmo_mf.bilm import Bilm
from elmo_mf.cli.main import main
from elmo_mf.embed import KEEP, EmbedSettings, embed_file, read_fasta
from elmo_mf.embed._embed_settings import Keep
from elmo_mf.errors import InputError
from tests.conftest import random_bilm

Files = Callable[..., tuple[Path, Path]]
FASTA = ">sp|P1|ONE Some protein\nSEQ\nwence*\n\n>PF00001/1-50\r\n A C\r\n;comment\n>third\nm"
SEQUENCES = {"sp|P1|ONE": "SEQWENCE", "PF00001_1-50": "AC", "third": "M"}


def _expected(bilm: Bilm, sequence: str, keep: Keep) -> np.ndarray:
    layers = bilm.embed([list(sequence)])[0]
    expected: dict[Keep, np.ndarray] = {"all": layers, "top": layers[-1], "average": layers.mean(axis=0)}
    return expected[keep]


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("chunk", [4, 1024])
def test_vectors_by_identifier(keep: Keep, mean: bool, chunk: int, tmp_path: Path) -> None:
    (tmp_path / "in.fasta").write_bytes(FASTA.encode())
    text, identifiers = read_fasta(tmp_path / "in.fasta", tmp_path / "copy")
    bilm, out = random_bilm(), tmp_path / "out.hdf5"
    embed_file(bilm, {}, text, out, EmbedSettings(keep, 2, chunk, mean), identifiers=identifiers)
    with h5py.File(out) as file:
        assert set(file) == set(SEQUENCES)
        assert file["PF00001_1-50"].attrs["id"] == "PF00001/1-50"
        for key, sequence in SEQUENCES.items():
            expected = _expected(bilm, sequence, keep)
            expected = expected.mean(axis=-2) if mean else expected
            assert file[key].dtype == np.float32 and file[key].shape == expected.shape
            np.testing.assert_allclose(file[key][()], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "found no header"),
        ("SEQ\n", "line 1: "),
        (">\nSEQ\n", "line 1: "),
        (">a\n>b\nS\n", "line 2: "),
        (">a\nS\n>b\n*\n", "end: "),
        (">a\nS-Q\n", "line 2: found '-'"),
        (">a/1\nS\n>a_1\nS\n", "a_1"),
    ],
)
def test_errors(
    content: str, message: str, elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "in.fasta", tmp_path / "out.hdf5"
    path.write_text(content)
    with pytest.raises(InputError):
        read_fasta(path, tmp_path / "copy")
    options, weights = elmo_files()
    command = ["embed", str(path), str(out), "--fasta", "--options", str(options), "--weights", str(weights)]
    assert main(command) == 2 and not out.exists()
    error = capsys.readouterr().err
    assert error.startswith(f"elmo-mf: error: {path}: ") and message in error and len(error.splitlines()) == 1


def test_command(elmo_files: Files, tmp_path: Path) -> None:
    path, out = tmp_path / "in.fasta", tmp_path / "out.hdf5"
    path.write_text(FASTA)
    options, weights = elmo_files()
    command = ["embed", str(path), str(out), "--fasta", "--options", str(options), "--weights", str(weights)]
    assert main([*command, "--top", "--pool", "mean"]) == 0
    bilm = Bilm.from_files(options, weights)
    with h5py.File(out) as file:
        for key, sequence in SEQUENCES.items():
            np.testing.assert_allclose(file[key][()], _expected(bilm, sequence, "top").mean(axis=0), atol=1e-5)
    assert main([*command, "--pool", "max"]) == 2


@pytest.mark.slow
def test_a_sequence_of_10_000_residues(elmo_files: Files, tmp_path: Path) -> None:
    sequence = "ACDEFGHIKLMNPQRSTVWY" * 500
    lines = [sequence[start : start + 60] for start in range(0, len(sequence), 60)]
    (tmp_path / "in.fasta").write_text(">long\n" + "\n".join(lines) + "\n")
    options, weights = elmo_files()
    files = ["--options", str(options), "--weights", str(weights)]
    command = [
        "embed",
        str(tmp_path / "in.fasta"),
        str(tmp_path / "out.hdf5"),
        "--fasta",
        "--average",
        "--pool",
        "mean",
    ]
    assert main([*command, *files]) == 0
    expected = _expected(Bilm.from_files(options, weights), sequence, "average").mean(axis=0, dtype=np.float64)
    with h5py.File(tmp_path / "out.hdf5") as file:
        np.testing.assert_allclose(file["long"][()], expected, atol=1e-5)
