"""Tests of text for language models: every word occurs once and is predicted from those before it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from allennlp.common.checks import ConfigurationError
from allennlp.data import Vocabulary
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from elmo_mf.plugin.language_text import LanguageTextReader, TextStreams

lines = st.lists(st.lists(st.sampled_from("a b c d".split()), max_size=6), min_size=1, max_size=40)


def _loader(folder: Path, text: list[list[str]], **options: Any) -> tuple[TextStreams, list[int]]:
    path = folder / "text.txt"
    path.write_text("".join(f" {' '.join(words)} \n" for words in text))
    reader = LanguageTextReader()
    vocabulary = Vocabulary.from_instances(reader.read(str(path)), oov_token="<unk>", padding_token="<eos>")
    loader = TextStreams(reader, str(path), **options)
    loader.index_with(vocabulary)
    return loader, [vocabulary.get_token_index(word) for words in text for word in (*words, "<eos>")]


@settings(max_examples=60, deadline=None)
@given(lines, st.integers(1, 4), st.integers(1, 9), st.booleans())
def test_streams_are_the_text(
    tmp_path_factory: pytest.TempPathFactory, text: list[list[str]], streams: int, steps: int, vary: bool
) -> None:
    folder = tmp_path_factory.mktemp("text")
    assume(sum(len(words) + 1 for words in text) >= 2 * streams)
    loader, ids = _loader(folder, text, batch_size=streams, steps=steps, vary=vary)
    length = len(ids) // streams
    batches = list(loader)
    for row in range(streams):
        stream = ids[row * length : (row + 1) * length]
        assert [word for batch in batches for word in batch["tokens"][row].tolist()] == stream[:-1]
        assert [word for batch in batches for word in batch["targets"][row].tolist()] == stream[1:]
    assert [batch["start"] for batch in batches] == [index == 0 for index in range(len(batches))]
    if not vary:
        assert len(batches) == len(loader)
        assert all(batch["tokens"].shape == (streams, steps) for batch in batches[:-1])


def test_an_empty_line_is_a_sentence(tmp_path: Path) -> None:
    """The usual word counts of WikiText-2 include empty lines."""
    (tmp_path / "text.txt").write_text(" \n = A = \n \n a <unk> \n")
    instances = list(LanguageTextReader().read(str(tmp_path / "text.txt")))
    words = [[token.text for token in instance["tokens"]] for instance in instances]
    assert words == [["<eos>"], ["=", "A", "=", "<eos>"], ["<eos>"], ["a", "<unk>", "<eos>"]]


def test_the_vocabulary_is_the_texts_words(tmp_path: Path) -> None:
    loader, _ = _loader(tmp_path, [["a", "<unk>", "b"], ["a"]])
    vocabulary = Vocabulary.from_instances(loader.iter_instances(), oov_token="<unk>", padding_token="<eos>")
    assert set(vocabulary.get_token_to_index_vocabulary()) == {"a", "b", "<unk>", "<eos>"}
    (tmp_path / "text.txt").write_text("a never b\n")
    loader.index_with(vocabulary)
    (batch,) = loader
    index = vocabulary.get_token_index
    assert batch["tokens"].tolist() == [[index("a"), index("<unk>"), index("b")]]
    assert batch["targets"].tolist() == [[index("<unk>"), index("b"), index("<eos>")]]


def test_the_real_texts(shared_data: Path) -> None:
    """The numbers of words and of distinct words, including line ends, are the usual ones."""
    reader, folder = LanguageTextReader(), shared_data / "ptb"
    instances = list(reader.read(str(folder / "train.txt")))
    vocabulary = Vocabulary.from_instances(instances, oov_token="<unk>", padding_token="<eos>")
    assert (vocabulary.get_vocab_size(), sum(len(one["tokens"]) for one in instances)) == (10_000, 929_589)
    for file, words in (("ptb/valid", 73_760), ("ptb/test", 82_430), ("wikitext2/valid", 217_646)):
        loader = TextStreams(reader, str(shared_data / f"{file}.txt"), steps=1000)
        loader.index_with(vocabulary)
        assert sum(batch["targets"].numel() for batch in loader) == words - 1


def test_varied_lengths(tmp_path: Path) -> None:
    """Lengths vary around `steps`, occasionally around half of it; they differ in each epoch and depend on the seed."""
    loader, _ = _loader(tmp_path, [["a"] * 6] * 20_000, steps=70, vary=True)
    random.seed(1)
    lengths = [batch["tokens"].shape[1] for batch in loader][:-1]
    halved = [length for length in lengths if length < 52]
    assert 0.03 < len(halved) / len(lengths) < 0.07 and min(lengths) >= 5
    mean = sum(lengths) / len(lengths)
    assert 66 < mean < 70.5 and abs(len(loader) - len(lengths)) < 0.03 * len(lengths)
    assert lengths != [batch["tokens"].shape[1] for batch in loader][:-1]
    random.seed(1)
    assert lengths == [batch["tokens"].shape[1] for batch in loader][:-1]


def test_too_little_text(tmp_path: Path) -> None:
    for options, message in (
        ({"batch_size": 4}, r"text\.txt: found 7 words"),
        ({"batch_size": 0}, "text_streams: batch_size: found 0"),
        ({"steps": 0}, "text_streams: steps: found 0"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            _loader(tmp_path, [["a"] * 6], **options)


def test_a_loader_needs_a_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="index_with"):
        next(iter(TextStreams(LanguageTextReader(), str(tmp_path))))


@pytest.mark.parametrize("form", ["~/text.txt", "file://{home}/text.txt"])
def test_the_homes_and_files_that_allennlp_takes(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "text.txt").write_text("a b\n")
    (instance,) = LanguageTextReader().read(form.format(home=tmp_path))
    assert [token.text for token in instance["tokens"]] == ["a", "b", "<eos>"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_one_text_in_many_forms(end: str, mark: str, tmp_path: Path) -> None:
    """A byte order mark is not part of the first word, and all kinds of line ends give the same lines."""
    (tmp_path / "text.txt").write_bytes((mark + end.join(["a\u2028b", "", "c\x0cd"])).encode())
    instances = LanguageTextReader().read(str(tmp_path / "text.txt"))
    words = [[token.text for token in instance["tokens"]] for instance in instances]
    assert words == [["a", "b", "<eos>"], ["<eos>"], ["c", "d", "<eos>"]]
