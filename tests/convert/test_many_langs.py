"""Tests of `elmo-mf convert` on folders of ELMoForManyLangs, and of the encoder that they become.

The vectors are compared with the formulas in plain PyTorch and, where it is installed, with the package itself:
`elmoformanylangs` 0.0.4.post2 with `overrides`.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest
import torch
from allennlp.common import Params
from allennlp.data import Token, TokenIndexer, Vocabulary
from allennlp.modules.token_embedders import TokenEmbedder

import elmo_mf.plugin  # noqa: F401  registers what the config names
from elmo_mf import Bilm, Compression
from elmo_mf.bilm import _character_tables
from elmo_mf.bilm.runtime_settings import use_settings
from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from tests.convert.many_langs import CHARACTERS, SENTENCES, SIZES, WORDS, Formulas, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "no")


@pytest.fixture
def elmo(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    out = tmp_path / "elmo"
    assert main(["convert", str(folder), "--out", str(out), "--licence", "mine"]) == 0
    wrote = f"wrote {out}/MODEL_CARD.md, options.json, vocabulary.txt, weights.hdf5\n"
    assert capsys.readouterr().out == f"reading the model\nconversion\n{wrote}"
    return out


def assert_same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=3e-5)


def test_the_vectors_are_those_of_the_package(folder: Path, elmo: Path) -> None:
    package = pytest.importorskip("elmoformanylangs")
    theirs = package.Embedder(str(folder))
    ours = Bilm.from_files(elmo).embed(SENTENCES)
    assert_same(ours, theirs.sents2elmo(SENTENCES, output_layer=-2))
    theirs.model.encoder.reset_states()
    assert_same([layers.mean(axis=0) for layers in ours], theirs.sents2elmo(SENTENCES, output_layer=-1))


def test_the_vectors_are_those_of_the_formulas(folder: Path, elmo: Path) -> None:
    theirs = [Formulas(folder).vectors(sentence) for sentence in SENTENCES]
    bilm = Bilm.from_files(elmo)
    assert_same(bilm.embed(SENTENCES), theirs)
    with torch.enable_grad():  # in training there are no tables
        layers = bilm.train()(bilm.token_ids(SENTENCES)).layers.detach()
    assert_same([layers[:, i, 1 : len(s) + 1].numpy() for i, s in enumerate(SENTENCES)], theirs)
    assert (elmo / "vocabulary.txt").read_text().split("\n") == [*WORDS, ""]
    assert "converted from ELMoForManyLangs" in (elmo / "MODEL_CARD.md").read_text()


def test_many_characters(folder: Path, elmo: Path) -> None:
    theirs = [Formulas(folder).vectors(sentence) for sentence in SENTENCES]
    with use_settings(table_characters=2):
        bilm = Bilm.from_files(elmo)
    assert_same([bilm.embed([sentence])[0] for sentence in SENTENCES], theirs)  # one of them has no padding
    assert_same(bilm.embed(SENTENCES), theirs)


def test_kept_words(folder: Path, elmo: Path) -> None:
    bilm = Bilm.from_files(elmo, word_cache_mb=1)
    first = bilm.embed(SENTENCES)
    assert_same(bilm.embed(SENTENCES), first)
    assert_same(first, [Formulas(folder).vectors(sentence) for sentence in SENTENCES])


@pytest.mark.slow
def test_more_words_than_16_bits_hold(tmp_path: Path) -> None:
    words = [*WORDS, *(f"w{index:05}" for index in range(70_000))]
    folder = write_folder(tmp_path / "large", words)
    assert main(["convert", str(folder), "--out", str(tmp_path / "out")]) == 0
    bilm = Bilm.from_files(tmp_path / "out", word_cache_mb=1)
    sentences = [[f"w{index:05}" for index in (0, 1, 65_536, 65_537)]]  # all spelt in characters that are not there
    formulas = [Formulas(folder).vectors(sentences[0])]
    assert_same(bilm.embed(sentences), formulas)
    assert_same(bilm.embed(sentences), formulas)


def test_saved_again(elmo: Path, tmp_path: Path) -> None:
    bilm = Bilm.from_files(elmo)
    bilm.save(tmp_path / "again")
    again = Bilm.from_files(tmp_path / "again")
    assert again.options == bilm.options
    for one, other in zip(bilm.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert_same(again.embed(SENTENCES), bilm.embed(SENTENCES))
    with h5py.File(tmp_path / "again" / "weights.hdf5") as file:
        assert file["CNN_proj/W_proj"].shape == (5 + 12, 6)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_precisions(precision: Literal["bfloat16", "int8"], elmo: Path) -> None:
    dense = np.concatenate([v.ravel() for v in Bilm.from_files(elmo).embed(SENTENCES)])
    close = np.concatenate([v.ravel() for v in Bilm.from_files(elmo, precision=precision).embed(SENTENCES)])
    assert np.linalg.norm(close - dense) < 0.1 * np.linalg.norm(dense)


@pytest.mark.slow
def test_commands(elmo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(" ".join(s for s in sentence if s.split() == [s]) + "\n" for sentence in SENTENCES) * 20)
    small, tuned = tmp_path / "small", tmp_path / "tuned"
    assert main(["inspect", str(elmo)]) == 0
    command = ["compress", str(elmo), "--method", "whitened_svd", "--rank", "2", "--calibration", str(text)]
    assert main([*command, "--highway-rank", "3", "--out", str(small)]) == 0
    assert "encoder with its Unicode CNN: " in capsys.readouterr().out
    sizes = sum(p.numel() for p in Bilm.from_files(small).parameters())
    report = json.loads((small / "report.json").read_text())
    assert report["size"]["encoder_parameters"] == sizes - 4 - 5  # rows of the padding
    assert main([*command, "--distill", str(text), "--distill-steps", "2", "--out", str(tuned)]) == 0
    for name, options in (("dense", elmo), ("small", small), ("tuned", tuned)):
        assert main(["embed", str(text), str(tmp_path / f"{name}.hdf5"), "--options", str(options)]) == 0
    full = Compression(method="svd", rank=6, targets="projection", allow_larger=True)
    assert_same(Bilm.from_files(elmo, compression=full).embed(SENTENCES), Bilm.from_files(elmo).embed(SENTENCES))
    assert not np.allclose(
        Bilm.from_files(small).embed([["hello"]])[0], Bilm.from_files(elmo).embed([["hello"]])[0], atol=1e-3
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["perplexity", "{0}/text.txt", "--options", "{1}"], "a Unicode CNN"),
        (["embed", "{0}/text.txt", "{0}/out", "--vocabulary", "--options", "{1}"], "a table of words"),
        (["sweep", "--tasks", "sst", "--options", "{1}", "--output", "{0}/out"], "a Unicode CNN"),
        (
            ["pretrain", "{0}/text.txt", "--valid", "{0}/text.txt", "--from-folder", "{1}", "--out", "{0}/out"],
            "a Unicode CNN",
        ),
    ],
)
def test_what_needs_another_elmo(
    command: list[str], message: str, elmo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text("hello cat\n")
    assert main([part.format(tmp_path, elmo) for part in command]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_in_allennlp(folder: Path, elmo: Path, tmp_path: Path) -> None:
    vocabulary = Vocabulary()
    indexer = TokenIndexer.from_params(Params({"type": "elmo_mf_unicode", "max_characters_per_token": 12}))
    tokens = [Token(word) for word in SENTENCES[2]]
    with pytest.raises(InputError, match=r"elmo_mf_unicode: .*'elmo_words'"):
        indexer.tokens_to_indices(tokens, vocabulary)
    config = {"type": "elmo_mf", "options_file": str(elmo), "dropout": 0.0, "scalar_mix_parameters": [0, 0, 0]}
    embedder = TokenEmbedder.from_params(Params(config), vocab=vocabulary).eval()
    vocabulary.save_to_files(str(tmp_path / "vocabulary"))
    loaded = Vocabulary.from_files(str(tmp_path / "vocabulary"))
    for known in (vocabulary, loaded):
        indices = indexer.tokens_to_indices(tokens, known)
        padded = indexer.as_padded_tensor_dict(indices, {"elmo_tokens": 7})
        with torch.no_grad():
            actual = embedder(padded["elmo_tokens"].unsqueeze(0)).numpy()
        assert actual.shape == (1, 7, 12) and not actual[0, 5:].any()
        np.testing.assert_allclose(actual[0, :5], Formulas(folder).vectors(SENTENCES[2]).mean(axis=0), atol=3e-5)
    assert indexer.as_padded_tensor_dict(indexer.get_empty_token_list(), {"elmo_tokens": 0})["elmo_tokens"].shape == (
        0, 13
    )  # fmt: skip


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("pickled code ran",)


def _dictionary(name: str, entries: list[str]) -> Callable[[Path], object]:
    text = "".join(f"{entry}\t{number}\n" for number, entry in enumerate(entries))
    return lambda folder: (folder / name).write_text(text)


def _config(part: str, **changes: object) -> Callable[[Path], object]:
    return lambda folder: (folder / "sizes.json").write_text(json.dumps(SIZES | {part: SIZES[part] | changes}))


def _state(name: str, key: str, value: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        state = torch.load(folder / name, weights_only=True)
        torch.save(state | {key: value}, folder / name)

    return change


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {  # what is done to a folder, and the error
    "cut encoder": (lambda f: _cut(f / "encoder.pkl"), "encoder.pkl: found weights that cannot be read"),
    "cut token embedder": (lambda f: _cut(f / "token_embedder.pkl"), "token_embedder.pkl: found weights that cannot"),
    "code": (lambda f: (f / "encoder.pkl").write_bytes(pickle.dumps(_Code())), "encoder.pkl: found weights that can"),
    "a list": (lambda f: torch.save([1], f / "encoder.pkl"), "encoder.pkl: found list, expected a state dictionary"),
    "no encoder": (lambda f: (f / "encoder.pkl").unlink(), "encoder.pkl: no such weight file"),
    "no characters": (lambda f: (f / "char.dic").unlink(), "char.dic: no such text file"),
    "no words": (lambda f: (f / "word.dic").unlink(), "word.dic: no such text file"),
    "more words": (_dictionary("word.dic", [*WORDS, "new"]), "word_emb_layer.embedding.weight: found shape (10, 5)"),
    "fewer characters": (_dictionary("char.dic", CHARACTERS[:-1]), "expected (19, 4), the entries of char.dic"),
    "twice": (_dictionary("word.dic", [*WORDS[:-1], "cat"]), "word.dic: found 'cat' twice, expected distinct entries"),
    "an id twice": (lambda f: _append(f / "char.dic", "x\t3\n"), "char.dic: line 21: found the id 3 twice"),
    "a gap": (lambda f: _append(f / "char.dic", "x\t99\n"), "char.dic: found ids up to 99 for 21 entries"),
    "no id": (lambda f: _append(f / "word.dic", "x\ty\n"), r"word.dic: line 11: found 'x\ty', expected an entry"),
    "no padding": (_dictionary("word.dic", ["x" if w == "<pad>" else w for w in WORDS]), "word.dic: found no <pad>"),
    "LSTM tokens": (_config("token_embedder", name="lstm"), "token_embedder.name: found 'lstm', expected cnn"),
    "plain LSTM": (_config("encoder", name="lstm"), "encoder.name: found 'lstm', expected elmo"),
    "no words at all": (_config("token_embedder", word_dim=0), "sizes.json: token_embedder.word_dim: found 0"),
    "another width": (_config("encoder", dim=11), "forward_layer_0.input_linearity.weight: found shape (40, 6)"),
    "fewer layers": (_config("encoder", n_layers=1), "encoder.pkl: found a surplus forward_layer_1"),
    "no sizes": (lambda f: (f / "sizes.json").unlink(), "sizes.json: no such file, expected the configuration that"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json: no such configuration"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json: found something that is not valid JSON"),
    "NaN": (_state("token_embedder.pkl", "projection.bias", torch.full((6,), torch.nan)), "projection.bias: found 6"),
    "integers": (_state("token_embedder.pkl", "projection.bias", torch.zeros(6).int()), "projection.bias: found to"),
}  # fmt: skip


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _append(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, message = FAULTS[fault]
    change(folder)
    assert main(["convert", str(folder), "--out", str(tmp_path / "out")]) == 2
    out, error = capsys.readouterr()
    assert message in error and error.count("\n") == 1 and "pickled code ran" not in out + error
    assert [path.name for path in tmp_path.iterdir()] == ["no"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--options", "{0}/config.json"], "--options does not"),
        (["--without-softmax"], "--without-softmax does not"),
        (["--dtype", "int8"], "--dtype: found int8"),
        (["--out", "{0}/char.dic"], "--out: "),
    ],
)
def test_options_of_the_command(
    given: list[str], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["convert", str(folder), "--out", str(tmp_path / "out")]
    assert main([*command, *(one.format(folder) for one in given)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["no"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o["unicode_cnn"]["characters"].remove("<pad>"), "unicode_cnn.characters: "),
        (lambda o: o["unicode_cnn"]["characters"].append("a"), "unicode_cnn.characters: found 'a' twice"),
        (lambda o: o["unicode_cnn"]["characters"].append("ß"), "char_embed"),
        (lambda o: o["unicode_cnn"].update(word_dim="5"), 'unicode_cnn.word_dim: found "5", expected an integer'),
        (lambda o: o.update(n_tokens_vocab=11), "vocabulary.txt: found 10 words"),
    ],
)
def test_options_that_do_not_fit(change: Callable[[dict[str, Any]], object], message: str, elmo: Path) -> None:
    options = json.loads((elmo / "options.json").read_text())
    change(options)
    (elmo / "options.json").write_text(json.dumps(options))
    with pytest.raises(InputError) as raised:
        Bilm.from_files(elmo)
    assert message in str(raised.value)


def test_words_that_are_missing(elmo: Path) -> None:
    (elmo / "vocabulary.txt").unlink()
    with pytest.raises(InputError, match="found no vocabulary"):
        Bilm.from_files(elmo)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("cat", "hello", "found 'hello' twice"), ("<oov>", "x", "found no <oov>")],
)
def test_words_that_are_no_vocabulary(old: str, new: str, message: str, elmo: Path) -> None:
    path = elmo / "vocabulary.txt"
    path.write_text(path.read_text().replace(f"{old}\n", f"{new}\n"))
    with pytest.raises(InputError, match=f"vocabulary.txt: {message}"):
        Bilm.from_files(elmo)


def test_the_published_sizes_need_no_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.json").write_text('{"config_path": "/users3/ml/configs/cnn_50_100_512_4096_sample.json"}')
    shutil.copy(folder / "sizes.json", folder / "cnn_50_100_512_4096_sample.json")
    assert main(["convert", str(folder), "--out", str(tmp_path / "out")]) == 0
    (folder / "cnn_50_100_512_4096_sample.json").unlink()
    assert main(["convert", str(folder), "--out", str(tmp_path / "out"), "--force"]) == 2
    assert "expected (16384, 512)" in capsys.readouterr().err


def test_tables_without_padding() -> None:
    torch.manual_seed(0)
    embedding, convolution = torch.randn(5, 3), torch.nn.Conv1d(3, 2, 2)
    tables = _character_tables.CharacterTables(embedding, [convolution], -1, words_at_once=1)
    ids = torch.tensor([[1, 2, 3, 4], [4, 4, 1, 2]])
    expected = convolution(embedding[ids].transpose(1, 2)).amax(dim=2)
    torch.testing.assert_close(tables.maxima(ids), expected)
