"""Token embeddings, against AllenNLP's `vocab_to_cache`."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from allennlp.common import Params
from allennlp.modules.elmo import Elmo, batch_to_ids
from allennlp.modules.token_embedders import TokenEmbedder

from elmo_mf import Bilm
from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from elmo_mf.plugin import ElmoMfTokenEmbedder
from tests.bilm.word_level import write_word_level
from tests.conftest import random_bilm

WORDS = ["<S>", "</S>", "<UNK>", "the", "cat", "sat", "é漢", "The", "a" * 60]
SENTENCES = [["the", "cat", "sat", "dog"], ["dog", "the"], [], ["é漢", "a" * 60, "a" * 59, "The", "<S>"]]


@pytest.fixture
def elmo(tmp_path: Path) -> Path:
    """An ELMo, its vocabulary, and the vectors that the command writes for it."""
    folder = tmp_path / "elmo"
    random_bilm().save(folder)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    _write(folder)
    return folder


def _write(folder: Path, *more: str) -> int:
    written = [str(folder / "vocab.txt"), str(folder / "elmo_token_embeddings.hdf5")]
    return main(["embed", *written, "--vocabulary", "--options", str(folder), *more])


def _stored(folder: Path) -> np.ndarray:
    with h5py.File(folder / "elmo_token_embeddings.hdf5") as file:
        assert list(file) == ["embedding"]
        return np.asarray(file["embedding"][...])


def _theirs(folder: Path, words: list[str]) -> Elmo:
    files = str(folder / "options.json"), str(folder / "weights.hdf5")
    return Elmo(*files, 1, dropout=0, vocab_to_cache=["@@PADDING@@", *words]).eval()


def _their_vectors(folder: Path, words: list[str]) -> np.ndarray:
    return np.asarray(_theirs(folder, words)._elmo_lstm._word_embedding.weight.detach()[1:])


def test_the_vectors_are_allennlps(elmo: Path) -> None:
    """Which has those of the beginning and the end of a sentence elsewhere."""
    theirs = _theirs(elmo, [])._elmo_lstm
    bounds = np.stack([theirs._bos_embedding.detach(), theirs._eos_embedding.detach()])
    expected = np.concatenate([bounds, _their_vectors(elmo, WORDS[2:])])
    np.testing.assert_allclose(_stored(elmo), expected, atol=1e-6)
    assert _stored(elmo).dtype == np.float32


def test_the_layers_are_allennlps(elmo: Path) -> None:
    """Also for words that are not among them, which AllenNLP cannot mix with others."""
    bilm = Bilm.from_files(elmo)
    bilm.use_token_embeddings(elmo / "elmo_token_embeddings.hdf5")
    words = WORDS[2:]
    theirs = _theirs(elmo, words)
    known = [[word for word in sentence if word in words] for sentence in SENTENCES[:2]]
    places = torch.zeros(2, max(map(len, known)), dtype=torch.long)
    for row, sentence in enumerate(known):
        places[row, : len(sentence)] = torch.tensor([words.index(word) + 1 for word in sentence])
    with torch.no_grad():
        layers = theirs._elmo_lstm(batch_to_ids(known), places)["activations"]
    for row, vectors in enumerate(bilm.embed(known)):
        for layer, vector in enumerate(vectors):
            np.testing.assert_allclose(vector, layers[layer][row, 1 : len(known[row]) + 1], atol=1e-5)
    plain = Bilm.from_files(elmo)
    for one, other in zip(bilm.embed(SENTENCES), plain.embed(SENTENCES), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def _counted(bilm: Bilm) -> list[int]:
    ran: list[int] = []
    bilm.char_cnn.register_forward_pre_hook(lambda _, arguments: ran.append(len(arguments[0])))
    return ran


@pytest.mark.parametrize("cache_mb", [0, 1])
def test_the_character_cnn_runs_for_other_words_only(elmo: Path, cache_mb: float) -> None:
    bilm = Bilm.from_files(elmo, word_cache_mb=cache_mb)
    bilm.use_token_embeddings(elmo / "elmo_token_embeddings.hdf5", elmo / "vocab.txt")
    ran = _counted(bilm)
    for sentence in (["the", "cat"], ["the", "dog", "dog", "mat"], ["mat", "cat"], ["é漢", "a" * 60]):
        bilm.embed([sentence])
    assert ran == ([2, 1] if cache_mb == 0 else [2])


def test_they_are_used_from_then_on(elmo: Path) -> None:
    bilm = Bilm.from_files(elmo, word_cache_mb=1)
    bilm.embed([["dog"]])
    bilm.use_token_embeddings(elmo / "elmo_token_embeddings.hdf5")
    ran = _counted(bilm)
    bilm.embed([["the", "cat"]])
    assert not ran


def test_vectors_that_were_stored_are_taken(elmo: Path) -> None:
    """A small difference from the character CNN's, which is a rounding, shows where they come from."""
    with h5py.File(elmo / "elmo_token_embeddings.hdf5", "a") as file:
        del file["embedding"].attrs["sha256"]
        file["embedding"][...] *= 1.001
    bilm, plain = Bilm.from_files(elmo), Bilm.from_files(elmo)
    bilm.use_token_embeddings(elmo / "elmo_token_embeddings.hdf5")
    (actual,), (expected,) = bilm.embed([["the", "dog"]]), plain.embed([["the", "dog"]])
    np.testing.assert_allclose(actual[0, 0], 1.001 * expected[0, 0], rtol=1e-6)
    np.testing.assert_allclose(actual[0, 1], expected[0, 1], rtol=1e-6)


def _write_in_place(bilm: Bilm) -> None:
    with torch.no_grad():
        bilm.char_cnn.embedding.add_(0.1)


def _write_uncounted(bilm: Bilm) -> None:
    bilm.char_cnn.embedding.data.add_(0.1)
    bilm.eval()


@pytest.mark.parametrize("change", [_write_in_place, _write_uncounted])
def test_other_parameters_have_other_vectors(elmo: Path, change: Callable[[Bilm], None]) -> None:
    bilm, plain = Bilm.from_files(elmo), Bilm.from_files(elmo)
    bilm.use_token_embeddings(elmo / "elmo_token_embeddings.hdf5")
    before = bilm.embed(SENTENCES)[0]
    change(bilm)
    change(plain)
    after = bilm.embed(SENTENCES)[0]
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, plain.embed(SENTENCES)[0], atol=1e-5)


def test_they_stay_when_the_mode_is_set(elmo: Path) -> None:
    bilm = Bilm.from_files(elmo)
    bilm.use_token_embeddings(elmo / "elmo_token_embeddings.hdf5")
    bilm.embed(SENTENCES)
    ran = _counted(bilm.train().eval())
    bilm.embed([["the", "cat"]])
    assert not ran
    bilm(bilm.token_ids([["the", "cat"]])).layers.sum().backward()  # with gradients, the character CNN runs
    assert ran == [4] and bilm.char_cnn.embedding.grad is not None


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.filterwarnings("ignore:precision")
def test_other_precisions(elmo: Path, precision: Any) -> None:
    bilm, plain = Bilm.from_files(elmo, precision=precision), Bilm.from_files(elmo)
    bilm.use_token_embeddings(elmo / "elmo_token_embeddings.hdf5")
    actual, expected = bilm.embed([["the", "cat"]])[0][0], plain.embed([["the", "cat"]])[0][0]
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_weights_in_float16(elmo: Path, tmp_path: Path) -> None:
    Bilm.from_files(elmo).save(tmp_path / "half", dtype="float16")
    Bilm.from_files(tmp_path / "half").use_token_embeddings(elmo / "elmo_token_embeddings.hdf5")


def test_duplicates_and_unused_lines(elmo: Path) -> None:
    """As bilm-tf reads a vocabulary: a row for each line that is not marked."""
    (elmo / "vocab.txt").unlink()
    lines = ["!!!MAXTERMID", "the", "two words", "cat", "the"]
    (elmo / "vocab.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    with h5py.File(elmo / "elmo_token_embeddings.hdf5", "w") as file:
        file["embedding"] = _their_vectors(elmo, lines[1:])
    bilm = Bilm.from_files(elmo)
    bilm.use_token_embeddings(elmo / "elmo_token_embeddings.hdf5")
    ran = _counted(bilm)
    bilm.embed([["the", "cat"]])
    assert ran == [2]  # the beginning and the end of the sentence


def _rewritten(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    def rewrite(folder: Path) -> None:
        vectors = change(_stored(folder))
        with h5py.File(folder / "elmo_token_embeddings.hdf5", "w") as file:
            file["embedding"] = vectors

    return rewrite


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_rewritten(lambda v: v[:, :5]), r"embedding: found shape \(9, 5\)"),
        (_rewritten(lambda v: v[:8]), r"vectors of 8"),
        (_rewritten(lambda v: np.concatenate([v, v[:1]])), r"vectors of 10"),
        (_rewritten(lambda v: v[0]), r"embedding: found shape \(6,\)"),
        (
            _rewritten(lambda v: v[::-1]),
            "embedding: .*'<S>'",
        ),
        (_rewritten(lambda v: v * np.nan), "embedding: "),
        (lambda f: random_bilm(seed=1).save(f), "vector of '<S>'"),
        (
            lambda f: (f / "vocab.txt").unlink(),
            "elmo_token_embeddings.hdf5",
        ),
        (lambda f: (f / "vocab.txt").write_text("a\n" * 9), "vector of 'a'"),
        (lambda f: (f / "elmo_token_embeddings.hdf5").unlink(), "no such file"),
        (lambda f: (f / "elmo_token_embeddings.hdf5").write_bytes(b"x"), "HDF5"),
    ],
)
def test_errors(elmo: Path, change: Callable[[Path], object], message: str) -> None:
    change(elmo)
    bilm = Bilm.from_files(elmo / "options.json", elmo / "weights.hdf5")
    with pytest.raises(InputError, match=message) as error:
        bilm.use_token_embeddings(elmo / "elmo_token_embeddings.hdf5")
    assert "\n" not in str(error.value)


def test_a_word_level_elmo_has_its_own(elmo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_word_level(tmp_path / "words")
    with pytest.raises(InputError, match="a table of words"):
        Bilm.from_files(folder).use_token_embeddings(elmo / "elmo_token_embeddings.hdf5")
    assert _write(folder) == 2
    assert "a table of words" in capsys.readouterr().err
    assert not (folder / "elmo_token_embeddings.hdf5").exists()


@pytest.mark.slow
def test_commands(elmo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, embeddings = tmp_path / "t.txt", elmo / "elmo_token_embeddings.hdf5"
    text.write_text("".join(" ".join(sentence) + "\n" for sentence in SENTENCES))
    shutil.copy(elmo / "vocab.txt", tmp_path / "words.txt")
    elsewhere = ["--token-vocabulary", str(tmp_path / "words.txt")]
    for name, more in (("plain", []), ("known", ["--token-embeddings", str(embeddings), *elsewhere])):
        assert main(["embed", str(text), str(tmp_path / name), "--options", str(elmo), *more]) == 0
    with h5py.File(tmp_path / "plain") as one, h5py.File(tmp_path / "known") as other:
        for number in map(str, range(len(SENTENCES))):
            np.testing.assert_allclose(one[number], other[number], atol=1e-5)
    assert _write(elmo) == 2
    assert "already exists" in capsys.readouterr().err
    before = _stored(elmo)
    for more, message in (
        (["--top"], "--vocabulary cannot be combined with --top"),
        (["--fasta"], "--vocabulary cannot be combined with --fasta"),
        (["--pool", "mean"], "--vocabulary cannot be combined with --pool"),
        (["--precision", "int8"], "--vocabulary cannot be combined with --precision"),
        (["--state", "primed"], "--vocabulary cannot be combined with --state"),
        (["--token-embeddings", str(text)], "--vocabulary cannot be combined with --token-embeddings"),
    ):
        embeddings.unlink(missing_ok=True)
        assert _write(elmo, *more) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1 and not embeddings.exists()
    (elmo / "vocab.txt").write_text("")
    assert _write(elmo) == 2 and "vocab.txt: " in capsys.readouterr().err
    (elmo / "vocab.txt").write_text("\n".join(WORDS))
    assert _write(elmo, "--highway-rank", "2") == 0
    assert np.abs(_stored(elmo) - before).max() > 1e-3
    known = ["embed", str(text), str(tmp_path / "x"), "--options", str(elmo), "--token-embeddings", str(embeddings)]
    assert main(known) == 2
    assert "character CNN's" in capsys.readouterr().err
    assert main([*known, "--highway-rank", "2"]) == 0


@pytest.mark.slow
def test_the_token_embedder(elmo: Path) -> None:
    files: dict[str, Any] = {
        "options_file": str(elmo / "options.json"),
        "weight_file": str(elmo / "weights.hdf5"),
        "dropout": 0.0,
    }
    known = files | {"type": "elmo_mf", "token_embeddings": str(elmo / "elmo_token_embeddings.hdf5")}
    embedder = TokenEmbedder.from_params(Params(known)).eval()
    assert isinstance(embedder, ElmoMfTokenEmbedder)
    ids = batch_to_ids(SENTENCES)
    torch.testing.assert_close(embedder(ids), ElmoMfTokenEmbedder(**files).eval()(ids), atol=1e-5, rtol=0)
    ran = _counted(embedder.bilm)
    embedder(batch_to_ids([["the", "cat"]]))
    assert not ran
    with pytest.raises(InputError, match=r"token_embeddings: "):
        ElmoMfTokenEmbedder(**files, token_embeddings="x.hdf5", requires_grad=True)
