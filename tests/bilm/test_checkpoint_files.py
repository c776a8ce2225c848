"""Folders and zips as NLPL publishes them, against AllenNLP's encoder on the two files in them."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from allennlp.modules.elmo import _ElmoBiLm, batch_to_ids

from elmo_mf import Bilm
from elmo_mf.bilm.checkpoint_files import checkpoint_files
from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from tests.conftest import random_bilm

SENTENCES = [["The", "cat", "sat"], ["Yes"]]
Pack = Callable[[Path, Path], Path]


@pytest.fixture
def nlpl(tmp_path: Path) -> Path:
    """A folder with the names of NLPL's repository."""
    folder = tmp_path / "nlpl"
    random_bilm().save(folder)
    (folder / "weights.hdf5").rename(folder / "model.hdf5")
    (folder / "vocab.txt").write_text("<S>\n</S>\n<UNK>\n")
    (folder / "README").write_text("About this model.")
    return folder


def _zipped(folder: Path, to: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, inside + path.name)
    return to


PACKED: dict[str, Pack] = {
    "folder": lambda folder, _: folder,
    "zip": lambda folder, to: _zipped(folder, to / "208.zip"),
    "zip without its ending": lambda folder, to: _zipped(folder, to / "208"),
    "zip with a folder": lambda folder, to: _zipped(folder, to / "208.zip", "208/"),
}


@pytest.mark.parametrize("form", PACKED)
def test_vectors(form: str, nlpl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    with torch.no_grad():
        theirs = _ElmoBiLm(str(nlpl / "options.json"), str(nlpl / "model.hdf5"))(batch_to_ids(SENTENCES))
    bilm = Bilm.from_files(PACKED[form](nlpl, tmp_path))
    for layer, vectors in enumerate(bilm.embed(SENTENCES)[0]):
        np.testing.assert_allclose(vectors, theirs["activations"][layer][0, 1:-1], atol=1e-6)
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("form", PACKED)
def test_files(form: str, nlpl: Path, tmp_path: Path) -> None:
    with checkpoint_files(PACKED[form](nlpl, tmp_path)) as files:
        assert [path.name for path in files.inputs if path] == ["options.json", "model.hdf5", "vocab.txt"]
        assert files.weights.read_bytes() == (nlpl / "model.hdf5").read_bytes()
        assert form == "folder" or not (files.options.parent / "README").exists()
        assert files.options.parent.name == ("nlpl" if form == "folder" else "208")


def test_other_names(nlpl: Path, tmp_path: Path) -> None:
    """As AllenNLP and simple_elmo have them, and beside files that are no weights of an encoder."""
    (nlpl / "options.json").rename(nlpl / "elmo_2x4096_options.json")
    (nlpl / "model.hdf5").rename(nlpl / "elmo_2x4096_weights.hdf5")
    for name in ("softmax.hdf5", "elmo_token_embeddings.hdf5", "._elmo_2x4096_weights.hdf5", "._options.json"):
        (nlpl / name).write_bytes(b"")
    (nlpl / "vocab.txt.gz").write_bytes(gzip.compress(b"<S>\n"))
    for given in (nlpl, _zipped(nlpl, tmp_path / "a.zip")):
        with checkpoint_files(given) as files:
            names = [path.name for path in files.inputs if path]
            assert names == ["elmo_2x4096_options.json", "elmo_2x4096_weights.hdf5", "vocab.txt.gz"]
    with checkpoint_files(nlpl, vocabulary=tmp_path / "other.txt") as files:
        assert files.vocabulary == tmp_path / "other.txt"
    with checkpoint_files(nlpl / "elmo_2x4096_options.json", nlpl / "elmo_2x4096_weights.hdf5") as files:
        assert files.vocabulary == nlpl / "vocab.txt.gz"


def test_a_usual_name_among_others(nlpl: Path) -> None:
    shutil.copy(nlpl / "model.hdf5", nlpl / "other.hdf5")
    (nlpl / "more_options.json").write_text("{}")
    with checkpoint_files(nlpl) as files:
        assert files.weights == nlpl / "model.hdf5" and files.options == nlpl / "options.json"


def _rename(folder: Path, one: str, *others: str) -> None:
    for other in others:
        shutil.copy(folder / one, folder / other)
    (folder / one).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: _rename(f, "model.hdf5"),
            "weights: ",
        ),
        (lambda f: _rename(f, "model.hdf5", "a.hdf5", "b.hdf5"), "weights: .*a.hdf5 and b.hdf5"),
        (lambda f: _rename(f, "model.hdf5", "model.hdf5.x", "weights.hdf5", "a.hdf5"), None),
        (
            lambda f: shutil.copy(f / "model.hdf5", f / "weights.hdf5"),
            "model.hdf5 and weights.hdf5",
        ),
        (lambda f: _rename(f, "options.json"), "options: "),
        (
            lambda f: _rename(f, "options.json", *(f"{n}_options.json" for n in range(6))),
            "options: .*0_options.json and 1_options.json and",
        ),
    ],
)
def test_what_is_missing_or_ambiguous(
    change: Callable[[Path], object], message: str | None, nlpl: Path, tmp_path: Path
) -> None:
    change(nlpl)
    for given in (nlpl, _zipped(nlpl, tmp_path / "a.zip")):
        if message is None:
            with checkpoint_files(given) as files:
                assert files.weights.name == "weights.hdf5"
        else:
            with pytest.raises(InputError, match=message) as error, checkpoint_files(given):
                pass
            assert str(error.value).startswith(f"{given}: ")


def test_neither_a_folder_nor_a_zip(nlpl: Path, tmp_path: Path) -> None:
    archive = _zipped(nlpl, tmp_path / "a.zip")
    for given, message in (
        ((nlpl / "options.json",), "options.json: "),
        ((tmp_path / "nlp",), "nlp: .*nlpl"),
        ((nlpl, nlpl / "model.hdf5"), "a folder and"),
        ((archive, nlpl / "model.hdf5"), "a zip and"),
    ):
        with pytest.raises(InputError, match=message):
            Bilm.from_files(*given)


@pytest.mark.parametrize(
    "members",
    [
        {"../options.json": b"{}", "model.hdf5": b""},
        {"/options.json": b"{}", "/../model.hdf5": b""},
        {"a/options.json": b"{}", "b/options.json": b"{}", "a/model.hdf5": b""},
        {"options.json/": b"", "model.hdf5": b""},
    ],
)
def test_malicious_zips(members: dict[str, bytes], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    before = set(tmp_path.parent.rglob("*"))
    with pytest.raises(InputError, match=r"a\.zip: (weights|options|.*several folders)"):
        Bilm.from_files(tmp_path / "a.zip")
    assert set(tmp_path.parent.rglob("*")) == before


def test_errors_in_a_zip_name_the_zip(nlpl: Path, tmp_path: Path) -> None:
    (nlpl / "options.json").write_text("{}")
    with pytest.raises(InputError, match=r"a\.zip/options\.json: lstm: missing"):
        Bilm.from_files(_zipped(nlpl, tmp_path / "a.zip"))


def test_a_bomb(nlpl: Path, tmp_path: Path) -> None:
    (nlpl / "model.hdf5").write_bytes(bytes(5_000_000))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        for path in nlpl.iterdir():
            archive.write(path, path.name)
    with pytest.raises(InputError, match=r"a\.zip: model.hdf5: found 5,000,000 bytes"):
        Bilm.from_files(tmp_path / "a.zip")


@pytest.mark.slow
@pytest.mark.usefixtures("short_limits")
def test_commands(nlpl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = str(_zipped(nlpl, tmp_path / "208.zip"))
    text, out = tmp_path / "t.txt", tmp_path / "out"
    text.write_text("The cat sat\n")
    for arguments in (
        ["inspect", given],
        ["compress", given, "--rank", "2", "--out", str(out)],
        ["inspect", str(out)],
        ["embed", str(text), str(tmp_path / "v.hdf5"), "--options", given],
        ["embed", str(text), str(tmp_path / "w.hdf5"), "--options", str(nlpl)],
        ["bench", "--options", given, "--seconds", "0", "--batches", "1", "--lengths", "3", "--ranks", "2"],
        ["sweep", "--options", given, "--dry-run", "--tasks", "sst", "--ranks", "2"],
        ["sweep", "--options", str(nlpl), "--dry-run", "--tasks", "sst", "--ranks", "2"],
    ):
        assert main(arguments) == 0, capsys.readouterr().err
    assert main(["perplexity", str(text), "--options", given]) == 2
    assert f"{given}/vocabulary.txt: " in capsys.readouterr().err
    assert not list(Path(tempfile.gettempdir()).glob("elmo-mf-*/208"))
