"""Upload to the Hugging Face Hub and download from there, by Hugging Face's own client."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from elmo_mf import Bilm
from elmo_mf.cli.main import main
from elmo_mf.hub import upload_elmo
from elmo_mf.pretrain import SOFTMAX_FILE, VOCABULARY_FILE
from elmo_mf.pretrain.word_softmax import word_softmax, write_softmax
from tests.conftest import random_bilm
from tests.hub.fake_hub import READER, TOKEN, FakeHub, Repository, fake_hub

_WORDS = ["<S>", "</S>", "<UNK>", "a", "b"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A fake Hub, which the client takes for the real one, with a token and an empty cache."""
    with fake_hub() as hub:
        from huggingface_hub import constants
        from huggingface_hub.utils import disable_progress_bars

        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "harnesses.json"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        with disable_progress_bars():
            yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `pretrain` writes, with its checkpoint."""
    folder = tmp_path / "elmo"
    random_bilm().save(folder)
    (folder / "MODEL_CARD.md").write_text("---\nlicense: cc-by-4.0\nlibrary_name: elmo-mf\n---\n\n# ELMo\n")
    (folder / "pretrain.json").write_text("{}")
    (folder / "checkpoint.pt").write_bytes(b"private")
    (folder / VOCABULARY_FILE).write_text("\n".join(_WORDS) + "\n")
    write_softmax(folder / SOFTMAX_FILE, word_softmax("full", 6, len(_WORDS)), "full", 6, len(_WORDS), "float32")
    return folder


def _upload(folder: Path, *options: str) -> int:
    return main(["upload", str(folder), "me/elmo", *options])


def _error(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("elmo-mf: error: ") and error.count("\n") == 1
    return error


@pytest.mark.slow
def test_there_and_back(
    hub: FakeHub, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files, and only those of the ELMo; what a later ELMo lacks is deleted, and others' files stay."""
    assert _upload(folder, "--private") == 0
    files = hub.repositories["me/elmo"].branches["main"]
    assert hub.repositories["me/elmo"].private and hub.messages[0].startswith("Upload an ELMo with elmo-mf ")
    names = {path.name for path in folder.iterdir()} - {"checkpoint.pt", "MODEL_CARD.md"}
    assert files.keys() == names | {"README.md", ".gitattributes"}
    assert all(files[name] == (folder / name).read_bytes() for name in names)
    assert files["README.md"] == (folder / "MODEL_CARD.md").read_bytes()
    printed = capsys.readouterr().out
    assert printed.startswith("checking the files\nuploading 6 files (0.0")
    assert f"to {hub.address}/me/elmo/commit/" in printed
    files["notes.txt"] = b"mine"
    (folder / SOFTMAX_FILE).unlink()
    upload_elmo(folder, "me/elmo", revision="small", message="Without the softmax")
    small = hub.repositories["me/elmo"].branches["small"]
    assert files.keys() - small.keys() == {SOFTMAX_FILE} and hub.messages[1] == "Without the softmax"
    wanted = Bilm.from_files(folder).embed([["a", "b"]])[0]
    for address in ("hf://me/elmo", "hf://me/elmo@small"):
        assert np.array_equal(Bilm.from_files(address).embed([["a", "b"]])[0], wanted)
    single = Bilm.from_files("hf://me/elmo/options.json", "hf://me/elmo/weights.hdf5")
    assert np.array_equal(single.embed([["a", "b"]])[0], wanted)
    assert not any("notes.txt" in request for request in hub.requests)
    assert main(["compress", "hf://me/elmo", "--rank", "2", "--out", str(tmp_path / "small")]) == 0
    assert "\nlicense: cc-by-4.0\n" in (tmp_path / "small" / "MODEL_CARD.md").read_text()


def test_nothing_is_sent(hub: FakeHub, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a dry run, or if the folder or the name is wrong."""
    assert _upload(folder, "--dry-run") == 0
    assert f"would upload {folder}/MODEL_CARD.md as README.md (0.00 MB)" in capsys.readouterr().out
    for name in ("elmo", "a/b/c", "a/..b", "hf://me/elmo"):
        assert main(["upload", str(folder), name]) == 2
        assert f"REPOSITORY: found '{name}', expected USER/NAME" in _error(capsys)
    for missing in ("MODEL_CARD.md", "options.json", "weights.hdf5", "vocabulary.txt"):
        part = tmp_path / "part"
        shutil.copytree(folder, part)
        (part / missing).unlink()
        assert _upload(part) == 2 and missing in _error(capsys)
        shutil.rmtree(part)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        file["RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell/B"][0] += 1
    assert _upload(folder) == 2 and "weights.hdf5" in _error(capsys)
    assert hub.requests == []


@pytest.mark.slow
def test_errors_of_the_hub(
    hub: FakeHub, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_elmo(folder, "me/elmo")
    capsys.readouterr()
    assert _upload(folder, "--private") == 2 and "me/elmo: found a public repository" in _error(capsys)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert _upload(folder) == 2
    assert "me/elmo: the Hub rejects the token, expected a valid one" in _error(capsys)
    monkeypatch.setenv("HF_TOKEN", READER)
    assert main(["upload", str(folder), "others/elmo"]) == 2
    assert "others/elmo: the token does not allow this, expected one with write access (You don't" in _error(capsys)
    monkeypatch.delenv("HF_TOKEN")
    assert _upload(folder) == 2
    assert "HF_TOKEN: missing, expected a token of the Hugging Face Hub, there or from" in _error(capsys)
    for address in ("hf://me/gone", "hf://me/elmo@gone", "hf://me/elmo/gone.json"):
        assert main(["inspect", address]) == 2
        assert "cannot be fetched (" in _error(capsys)
    hub.repositories["me/empty"] = Repository(private=False)
    assert main(["inspect", "hf://me/empty"]) == 2
    assert "hf:/me/empty: found a repository without the files of an ELMo" in _error(capsys)
    assert main(["inspect", "hf://elmo"]) == 2
    assert "found no repository, expected hf://USER/NAME" in _error(capsys)


def test_no_hub(
    hub: FakeHub, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert _upload(folder) == 2
    assert "me/elmo: cannot be uploaded to http://127.0.0.1:9 (ConnectError: " in _error(capsys)
