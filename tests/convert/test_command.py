"""Tests of `elmo-mf convert`: which files it finds, what it writes, and that it needs TensorFlow."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from elmo_mf.cli.main import main
from elmo_mf.convert import find_checkpoint
from elmo_mf.errors import InputError
from tests.convert.conftest import Trained

RESULT = {"options.json", "weights.hdf5", "MODEL_CARD.md"}
SOFTMAX = {"softmax.hdf5", "vocabulary.txt"}


@pytest.fixture
def command(model: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command for a checkpoint that is read from memory in place of TensorFlow's reader."""
    checkpoint = model.checkpoint()
    monkeypatch.setattr("elmo_mf.convert.open_checkpoint", lambda path: checkpoint)
    return ["convert", str(model.folder), "--out", str(tmp_path / "out")]


@pytest.mark.slow
def test_the_result_is_evaluated_and_compressed(
    command: list[str], model: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([*command, "--vocabulary", str(model.folder / "vocab.txt"), "--licence", "mine"]) == 0
    assert capsys.readouterr().out == (
        f"conversion\nwrote {out}/MODEL_CARD.md, options.json, softmax.hdf5, vocabulary.txt, weights.hdf5\n"
    )
    assert {path.name for path in out.iterdir()} == RESULT | SOFTMAX
    card = (out / "MODEL_CARD.md").read_text()
    assert "license_text: mine" in card and "model.ckpt-7.data-00000-of-00001" in card and "6 words" in card
    (tmp_path / "text.txt").write_text("the cat sat\n")
    files = ["--options", str(out / "options.json"), "--weights", str(out / "weights.hdf5")]
    assert main(["perplexity", str(tmp_path / "text.txt"), *files, "--rank", "2"]) == 0
    printed = capsys.readouterr().out
    assert "as it is: forward " in printed and "svd all rank 2: forward " in printed
    files = [str(out / "options.json"), str(out / "weights.hdf5")]
    assert main(["compress", *files, "--rank", "2", "--out", str(tmp_path / "small")]) == 0
    assert "license_text: mine" in (tmp_path / "small" / "MODEL_CARD.md").read_text()


def test_an_older_softmax_is_removed(command: list[str], model: Trained, tmp_path: Path) -> None:
    assert main([*command, "--vocabulary", str(model.folder / "vocab.txt")]) == 0
    assert main([*command, "--without-softmax", "--dtype", "float16", "--force"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == RESULT


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [],
            "model.ckpt-7: ",
        ),
        (["--vocabulary", "{0}/vocab.txt", "--without-softmax"], "--without-softmax and --vocabulary are"),
        (["--vocabulary", "{0}/options.json"], "options.json: "),
        (["--dtype", "int8"], "--dtype: found int8"),
        (["--options", "{0}/none.json"], "none.json: "),
        (["--options", "{0}/vocab.txt"], "vocab.txt: "),
        (["--without-softmax", "--out", "{0}"], "options.json, which would"),
        (["--without-softmax", "--out", "{0}/options.json"], "--out: "),
    ],
)
def test_bad_input(
    given: list[str],
    message: str,
    command: list[str],
    model: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {path: path.stat().st_mtime_ns for path in model.folder.iterdir()}
    assert main([*command, *(one.format(model.folder) for one in given)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert before == {path: path.stat().st_mtime_ns for path in model.folder.iterdir()}


def test_options_that_are_nowhere(command: list[str], model: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    (model.folder / "options.json").unlink()
    assert main([*command, "--without-softmax"]) == 2
    assert (
        "options.json: no such file, expected --options with the options.json of the model" in capsys.readouterr().err
    )


def test_nothing_is_left_of_a_result_that_fails(
    command: list[str], model: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.arrays["softmax/b"][2] = float("nan")
    assert main([*command, "--vocabulary", str(model.folder / "vocab.txt")]) == 2
    error = capsys.readouterr().err
    assert "lm/softmax/b: " in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_tensorflow_it_says_how_to_install_it(
    model: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model.checkpoint()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert main(["convert", str(model.folder), "--without-softmax", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "TensorFlow" in error and "pip install 'elmo-mf[tensorflow]'" in error
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


TWO = ("a.ckpt-1.index", "a.ckpt-1.data-00000-of-00001", "a.ckpt-20.index", "a.ckpt-20.data-00000-of-00002",
       "a.ckpt-20.data-00001-of-00002", "a.ckpt-20.meta")  # fmt: skip


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("a.ckpt-1", "a.ckpt-1"),
        ("a.ckpt-20.index", "a.ckpt-20"),
        ("a.ckpt-20.meta", "a.ckpt-20"),
        ("a.ckpt-20.data-00001-of-00002", "a.ckpt-20"),
        (".", "a.ckpt-20"),
    ],
)
def test_names_of_a_checkpoint(given: str, name: str, tmp_path: Path) -> None:
    """The state file may be from another machine; only the name in it counts."""
    _touch(tmp_path, *TWO)
    state = {"model_checkpoint_path": "/home/me/a.ckpt-20", "all_model_checkpoint_paths": "/home/me/a.ckpt-1"}
    (tmp_path / "checkpoint").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in state.items()))
    assert find_checkpoint(tmp_path / given) == tmp_path / name


def test_a_saved_model(tmp_path: Path) -> None:
    _touch(tmp_path, "saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")
    assert find_checkpoint(tmp_path) == tmp_path / "variables" / "variables"


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        ((), "", "found no *.index"),
        (TWO, "", "a.ckpt-1, a.ckpt-20"),
        (TWO, "a.ckpt-2", "a.ckpt-2.index: "),
        (("a.index",), "a", "a.data-00000-of-00001"),
        (("a.data-00000-of-00001",), "a", "a.index: "),
        (("checkpoint",), "", "checkpoint: "),
        (("weights.hdf5",), "weights.hdf5", "weights.hdf5.index: "),
    ],
)
def test_no_checkpoint(names: tuple[str, ...], given: str, message: str, tmp_path: Path) -> None:
    _touch(tmp_path, *names)
    with pytest.raises(InputError) as error:
        find_checkpoint(tmp_path / given)
    assert message in str(error.value) and "\n" not in str(error.value)
