"""Word-level ELMos, against AllenNLP's biLSTM on the rows of their table."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from elmo_mf import Bilm, Compression
from elmo_mf.bilm import BilmOptions, read_weights
from elmo_mf.bilm.chunks import embed_in_chunks
from elmo_mf.bilm.weights import to_dense
from elmo_mf.cli.main import main
from elmo_mf.compression import size_report
from elmo_mf.errors import InputError
from elmo_mf.pretrain import write_softmax
from elmo_mf.records.compression import Budget
from tests.bilm.word_level import SENTENCES, WORDS, Theirs, write_word_level
from tests.conftest import random_bilm


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_word_level(tmp_path / "elmo")


def _check(bilm: Bilm, folder: Path, atol: float = 1e-5) -> None:
    theirs = Theirs(folder)
    for sentence, vectors in zip(SENTENCES, bilm.embed(SENTENCES), strict=True):
        np.testing.assert_allclose(vectors, theirs.vectors(sentence), atol=atol)


@pytest.mark.parametrize("native", ["0", "1"])
def test_vectors(folder: Path, native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMO_MF_NATIVE", native)
    bilm = Bilm.from_files(folder)
    _check(bilm, folder)
    _check(Bilm.from_files(folder / "options.json", folder / "model.hdf5", word_cache_mb=1), folder)
    assert bilm.vocabulary is not None and bilm.vocabulary.words == WORDS
    assert bilm.output_dim == 12 and bilm.device == torch.device("cpu")


def test_ids_are_those_of_bilm_tfs_token_batcher(folder: Path) -> None:
    """The place in the vocabulary, counted from 1 on; 0 is the padding, whose row is zeros."""
    bilm = Bilm.from_files(folder)
    assert bilm.token_ids([["the", "dog"], ["<S>"]]).tolist() == [[[4], [3]], [[2], [0]]]
    assert bilm.bounds.tolist() == [[2], [1]]
    assert not bilm.token_vectors(torch.tensor([[0]])).any()
    padded = pad(bilm.token_ids([["the", "dog"]]), (0, 0, 0, 3))
    np.testing.assert_allclose(bilm(padded).layers[:, :, :4].detach(), bilm(padded[:, :2]).layers.detach(), atol=1e-6)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.long), r"word ids: found shape \(2, 3\)"),
        (torch.zeros(2, 3, 50, dtype=torch.long), "word ids: found 50 words per token"),
        (torch.zeros(2, 3, 1), "word ids: found torch.float32"),
    ],
)
def test_ids_that_are_none(folder: Path, ids: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Bilm.from_files(folder)(ids)


def test_long_sentences_in_chunks(folder: Path) -> None:
    bilm, sentence = Bilm.from_files(folder), SENTENCES[3] * 5
    expected = Theirs(folder).vectors(sentence)
    for start, direction, vectors in embed_in_chunks(bilm, sentence, 4):
        columns = slice(direction * 6, direction * 6 + 6)
        part = expected[:, start : start + vectors.shape[1], columns]
        np.testing.assert_allclose(vectors, part, atol=1e-5)


def test_other_state_policies(folder: Path, tmp_path: Path) -> None:
    primed = Bilm.from_files(folder, state="primed")
    primed.save(tmp_path / "primed")
    again = Bilm.from_files(tmp_path / "primed", state="primed")
    np.testing.assert_array_equal(primed.embed(SENTENCES)[0], again.embed(SENTENCES)[0])
    carried, theirs = Bilm.from_files(folder, state="carried"), Theirs(folder)
    carried.embed([SENTENCES[0]])
    theirs.vectors(SENTENCES[0])
    theirs.lstm.reset_states = lambda: None
    np.testing.assert_allclose(carried.embed([SENTENCES[3]])[0], theirs.vectors(SENTENCES[3]), atol=1e-5)


def test_the_table_is_trained(folder: Path) -> None:
    bilm = Bilm.from_files(folder)
    bilm(bilm.token_ids([["the", "dog"]])).layers.square().sum().backward()
    gradient = bilm.token_layer.embedding.grad
    assert gradient is not None
    assert gradient.abs().sum(dim=1).gt(0).nonzero().flatten().tolist() == [1, 2, 3, 4]  # </S>, <S>, <UNK>, the


def test_saved_and_read_again(folder: Path, tmp_path: Path) -> None:
    Bilm.from_files(folder).save(tmp_path / "again")
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [
        "options.json", "vocabulary.txt", "weights.hdf5"
    ]  # fmt: skip
    again = Bilm.from_files(tmp_path / "again")
    _check(again, folder)
    read, written = (json.loads((path / "options.json").read_text()) for path in (folder, tmp_path / "again"))
    assert read == written
    with h5py.File(folder / "model.hdf5") as one, h5py.File(tmp_path / "again" / "weights.hdf5") as other:
        np.testing.assert_array_equal(one["embedding"], other["embedding"])


def test_other_places_of_the_vocabulary(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (folder / "vocab.txt").rename(tmp_path / "v" / "words.txt")
    shutil.copy(folder / "options.json", tmp_path / "v")
    given = Bilm.from_files(folder, vocabulary=tmp_path / "v" / "words.txt")
    shutil.copy(tmp_path / "v" / "words.txt", tmp_path / "v" / "vocab.txt")
    beside_options = Bilm.from_files(tmp_path / "v" / "options.json", folder / "model.hdf5")
    (folder / "vocab.txt.gz").write_bytes(gzip.compress((tmp_path / "v" / "words.txt").read_bytes()))
    packed = Bilm.from_files(folder)
    (folder / "vocab.txt.gz").write_bytes(gzip.compress("\n".join(["!!!MAXTERMID", *WORDS]).encode()))
    unused = Bilm.from_files(folder)
    for bilm in (beside_options, packed, unused):
        np.testing.assert_array_equal(bilm.embed(SENTENCES)[3], given.embed(SENTENCES)[3])


def test_lines_that_are_no_words(tmp_path: Path) -> None:
    """bilm-tf takes the last of equal lines, and never meets a word with a space."""
    folder = write_word_level(tmp_path / "elmo", [*WORDS, "two words", "the", "dog"])
    bilm = Bilm.from_files(folder)
    assert bilm.token_ids([["the", "dog", "two words", "two"]]).tolist() == [[[12], [13], [3], [3]]]
    bilm.save(tmp_path / "again")
    np.testing.assert_array_equal(
        Bilm.from_files(tmp_path / "again").embed([["the", "dog"]])[0], bilm.embed([["the", "dog"]])[0]
    )


def _vocabulary(words: list[str]) -> Callable[[Path], object]:
    return lambda folder: (folder / "vocab.txt").write_text("\n".join(words))


def _options(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        raw = json.loads((folder / "options.json").read_text())
        (folder / "options.json").write_text(json.dumps(raw | changes))

    return change


def _table(shape: tuple[int, ...]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        with h5py.File(folder / "model.hdf5", "a") as file:
            del file["embedding"]
            if shape:
                file["embedding"] = np.ones(shape, "f4")

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: (f / "vocab.txt").unlink(),
            "model.hdf5",
        ),
        (_vocabulary([*WORDS, "dog"]), r"vocab.txt: found 11 words"),
        (_vocabulary(["a", *WORDS[1:]]), "vocab.txt: .*</S>"),
        (_vocabulary(["a", "b", *WORDS[2:]]), "found no </S>, <S>"),
        (_vocabulary([]), "vocab.txt: .*</S>, <S>, <UNK>"),
        (lambda f: (f / "vocab.txt").write_bytes(b"\xff\xfe"), "vocab.txt: line 1: found UTF-16"),
        (lambda f: (f / "vocab.txt.gz").write_bytes(b"no gzip"), "vocab.txt.gz: .*BadGzipFile"),
        (
            lambda f: (f / "vocab.txt.gz").write_bytes(gzip.compress("\n".join(WORDS).encode())[:-9]),
            "vocab.txt.gz: .*EOFError",
        ),
        (_options(n_tokens_vocab=11), "found 10 words"),
        (_options(n_tokens_vocab="10"), 'n_tokens_vocab: found "10", expected an integer from 1 to 10000000'),
        (_options(n_tokens_vocab=0), "n_tokens_vocab: found 0"),
        (_options(lstm={}), "lstm.dim: "),
        (_table((10, 7)), r"embedding: found shape \(10, 7\)"),
        (_table((11, 6)), r"embedding: found shape \(11, 6\)"),
        (_table(()), r"embedding: "),
    ],
)
def test_errors(folder: Path, change: Callable[[Path], object], message: str) -> None:
    change(folder)
    with pytest.raises(InputError, match=message) as error:
        Bilm.from_files(folder)
    assert "\n" not in str(error.value)


def test_options_of_the_other_kind(folder: Path, tmp_path: Path) -> None:
    random_bilm().save(tmp_path / "characters")
    with pytest.raises(InputError, match=r"embedding: "):
        Bilm.from_files(
            folder / "options.json", tmp_path / "characters" / "weights.hdf5", vocabulary=folder / "vocab.txt"
        )
    with pytest.raises(InputError, match="char_embed: "):
        Bilm.from_files(tmp_path / "characters" / "options.json", folder / "model.hdf5")
    with pytest.raises(InputError, match="char_cnn: "):
        BilmOptions.from_dict({"lstm": {"dim": 4, "projection_dim": 2}})
    with pytest.raises(InputError, match="weights: "):
        options = BilmOptions.from_file(folder / "options.json")
        weights = read_weights(folder / "model.hdf5", options)
        Bilm(options, type(weights)(weights.token_layer, weights.lstms))


def test_a_character_cnn_may_have_a_number_of_words(tmp_path: Path) -> None:
    """That of the softmax, which is not read, whatever it is."""
    random_bilm().save(tmp_path)
    _options(n_tokens_vocab=-1)(tmp_path)
    assert Bilm.from_files(tmp_path).options.to_dict()["n_tokens_vocab"] == -1


@pytest.mark.parametrize(
    "compression",
    [
        Compression(method="svd", rank=2, targets="all"),
        Compression(method="whitened_svd", budget=Budget(share=0.5), targets="joint+projection"),
    ],
)
def test_compressed(folder: Path, tmp_path: Path, compression: Compression) -> None:
    """The table is copied, and the errors are those of the rebuilt matrices in AllenNLP's biLSTM."""
    bilm = Bilm.from_files(folder, compression=compression)
    bilm.save(tmp_path / "small")
    again = Bilm.from_files(tmp_path / "small")
    np.testing.assert_array_equal(again.embed(SENTENCES)[3], bilm.embed(SENTENCES)[3])
    dense = shutil.copytree(folder, tmp_path / "dense")
    with h5py.File(dense / "model.hdf5", "a") as file:
        for (direction, layer), lstm in bilm.weights().lstms.items():
            group, matrices = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell", lstm.dense().matrices
            file[f"{group}/W_0"][...] = np.concatenate([to_dense(matrices[name]).T for name in ("input", "recurrent")])
            file[f"{group}/W_P_0"][...] = to_dense(matrices["projection"]).T
    _check(bilm, dense, atol=1e-4)
    size = size_report(bilm.weights(), bilm.options)
    assert (size.around_parameters, size.around_multiply_adds) == (60, 0)


def test_perplexity(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, rng, theirs = tmp_path / "t.txt", np.random.default_rng(1), Theirs(folder)
    text.write_text("".join(" ".join(sentence) + "\n" for sentence in SENTENCES))
    weight, bias = rng.normal(size=(len(WORDS), 6)), rng.normal(size=len(WORDS))
    softmax = torch.nn.Linear(6, len(WORDS))
    softmax.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    write_softmax(folder / "softmax.hdf5", softmax, "full", 6, len(WORDS), "float32")
    shutil.copy(folder / "vocab.txt", folder / "vocabulary.txt")
    losses: tuple[list[float], list[float]] = ([], [])
    for sentence in SENTENCES:
        if not sentence:  # an empty line is no sentence of a text
            continue
        ids = [WORDS.index(word) if word in WORDS else 2 for word in ("<S>", *sentence, "</S>")]
        forward, backward = np.split(theirs.with_bounds(sentence)[2], 2, axis=1)
        for nats, states, words in ((losses[0], forward[:-1], ids[1:]), (losses[1], backward[1:], ids[:-1])):
            logits = states @ weight.T + bias
            nats += list(np.log(np.exp(logits).sum(axis=1)) - logits[range(len(words)), words])
    assert main(["perplexity", str(text), "--options", str(folder)]) == 0
    expected = "forward {:.2f}, backward {:.2f}".format(*(np.exp(np.mean(part)) for part in losses))
    assert expected in capsys.readouterr().out


@pytest.mark.slow
def test_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, out, vectors = tmp_path / "t.txt", tmp_path / "out", tmp_path / "v.hdf5"
    text.write_text("".join(" ".join(sentence) + "\n" for sentence in SENTENCES))
    zipped = shutil.make_archive(str(tmp_path / "elmo"), "zip", folder)
    small = ["--method", "whitened_svd", "--rank", "2", "--calibration", str(text)]
    for command in (
        ["inspect", str(folder)],
        ["compress", zipped, *small, "--distill", str(text), "--distill-steps", "2", "--out", str(out)],
        ["embed", str(text), str(tmp_path / "small.hdf5"), "--options", str(out)],
        ["embed", str(text), str(vectors), "--options", zipped],
    ):
        assert main(command) == 0, capsys.readouterr().err
    assert (out / "vocabulary.txt").read_text().split() == list(WORDS)
    with h5py.File(vectors) as file:
        for number, sentence in enumerate(SENTENCES):
            np.testing.assert_allclose(file[str(number)], Theirs(folder).vectors(sentence), atol=1e-5)
    capsys.readouterr()
    bench = ["bench", "--options", str(folder), "--seconds", "0", "--batches", "1", "--lengths", "3", "--ranks", "2"]
    elsewhere = str(tmp_path / "x")
    pretrain = ["pretrain", str(text), "--valid", str(text), "--options", f"{folder}/options.json", "--out", elsewhere]
    for command, message in (
        (["compress", str(folder), "--highway-rank", "2", "--out", elsewhere], "no highway layers"),
        (bench, "AllenNLP cannot read"),
        (["sweep", "--options", str(folder), "--ranks", "2", "--dry-run"], "character CNN"),
        (["gradients", "sst", elsewhere, "--options", str(folder)], "character CNN"),
        (pretrain, "character CNN"),
        (["compress", str(folder), "--rank", "2", "--out", str(folder)], "replace the input"),
    ):
        assert main(command) == 2, command
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, command
        assert not Path(elsewhere).exists()
