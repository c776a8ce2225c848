"""Tests that batches hold every sentence exactly once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.bilm import vocabulary as vocabulary_module
from elmo_mf.bilm.characters import batch_to_ids, character_ids
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.errors import InputError
from elmo_mf.lm import unigram_perplexity
from elmo_mf.pretrain import Corpus

sentences = st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=9), min_size=1, max_size=30)


@given(sentences, st.integers(11, 60), st.one_of(st.none(), st.integers(0, 5)))
def test_batches_hold_every_sentence_once(texts: list[list[str]], max_tokens: int, seed: int | None) -> None:
    vocabulary = Vocabulary.count(texts, 1)
    corpus = Corpus(texts, vocabulary, character_ids)
    shuffle = None if seed is None else np.random.default_rng(seed)
    seen = []
    for batch in corpus.batches(max_tokens, shuffle):
        assert len(batch.words) * (batch.words.shape[1] - 1) <= max_tokens and batch.words.shape == batch.types.shape
        for row, length in zip(batch.words.tolist(), batch.lengths.tolist(), strict=True):
            words = [vocabulary.words[word] for word in row[:length]]
            assert words[0] == "<S>" and words[-1] == "</S>"
            seen.append(words[1:-1])
    assert sorted(seen) == sorted(texts)
    assert corpus.n_predictions == sum(len(text) + 1 for text in texts)


@given(sentences, st.integers(5, 60))
def test_streams_hold_every_sentence_once_in_order(texts: list[list[str]], max_tokens: int) -> None:
    """Row by row, the batches give the text; only the last batch may have fewer rows."""
    corpus = Corpus(texts, vocabulary := Vocabulary.count(texts, 1), character_ids)
    batches = list(corpus.streams(max_tokens))
    assert len(batches) == corpus.n_streamed(max_tokens)
    n_rows = [len(batch.lengths) for batch in batches]
    assert n_rows[:-1] == n_rows[:1] * (len(batches) - 1) and n_rows[-1] <= n_rows[0]
    rows = [(row, step) for row in range(n_rows[0]) for step, n in enumerate(n_rows) if row < n]
    read = [batches[step].words[row, 1 : int(batches[step].lengths[row]) - 1].tolist() for row, step in rows]
    assert [[vocabulary.words[word] for word in words] for words in read] == texts


@given(sentences, st.integers(1, 4), st.integers(1, 6))
def test_a_vocabulary_holds_the_most_frequent_words(texts: list[list[str]], least: int, most: int) -> None:
    words = [word for text in texts for word in text]
    known = Vocabulary.count(texts, least, most).words[3:]
    others = set(words) - set(known)
    assert len(known) <= most and all(words.count(word) >= least for word in known)
    if len(known) < most:
        assert all(words.count(word) < least for word in others)
    assert all(words.count(word) >= words.count(other) for word in known for other in others)


def test_a_vocabulary_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    vocabulary = Vocabulary.count([["naïve", "<S>", "a", "a"]], 1)
    vocabulary.save(tmp_path / "vocabulary.txt")
    assert (tmp_path / "vocabulary.txt").read_text(encoding="utf-8") == "</S>\n<S>\n<UNK>\na\nnaïve\n"
    assert Vocabulary.from_file(tmp_path / "vocabulary.txt") == vocabulary
    with pytest.raises(InputError, match=r"none\.txt: "):
        Vocabulary.from_file(tmp_path / "none.txt")
    with pytest.raises(InputError, match="found a folder"):
        Vocabulary.from_file(tmp_path)


def _bilm_tf_ids(path: Path) -> dict[str, int]:
    """Return the ids that `bilm.data.Vocabulary` of bilm-tf assigns to words."""
    ids: dict[str, int] = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if (word := line.strip()) != "!!!MAXTERMID":
                ids[word] = len(ids)
    return ids


@pytest.mark.parametrize("marks", ["<S>\n</S>\n<UNK>\n", "</S>\n<S>\n<UNK>\n", "the\n<UNK>\n!!!MAXTERMID\n</S>\n<S>\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_bilm_tfs_vocabularies_have_the_same_ids(marks: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(f"{marks}cat\nsat".replace("\n", end).encode())
    vocabulary = Vocabulary.from_file(path)
    ids = _bilm_tf_ids(path)
    assert vocabulary.ids == ids
    (batch,) = Corpus([["cat", "sat", "mat"]], vocabulary, character_ids).batches(100, None)
    assert batch.words.tolist() == [[ids[word] for word in ("<S>", "cat", "sat", "<UNK>", "</S>")]]
    vocabulary.save(tmp_path / "again.txt")
    assert Vocabulary.from_file(tmp_path / "again.txt") == vocabulary


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xef\xbb\xbfcat\nsat\n", None),
        (b"cat\nsat\n", None),
        (b"<S>\n</S>\ncat\n", "found no <UNK>"),
        (b"", "found no words"),
        (b"cat\n\nsat\n", "line 2: found ''"),
        (b"cat\nsat\ncat\n", "line 3: found 'cat'"),
        (b"cat sat\n", "line 1: found 'cat sat'"),
        (b"cat\n\xe9\n", "line 2: "),
        (b"a\nb\nc\nd\n", "more than 3 words"),
    ],
)
def test_other_vocabularies(
    content: bytes, problem: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary_module, "MOST_WORDS", 3)
    (tmp_path / "v.txt").write_bytes(content)
    if problem is None:
        assert Vocabulary.from_file(tmp_path / "v.txt").words == ("</S>", "<S>", "<UNK>", "cat", "sat")
    else:
        with pytest.raises(InputError, match=problem):
            Vocabulary.from_file(tmp_path / "v.txt")


@pytest.mark.slow
@given(sentences)
def test_characters_are_the_encoders(texts: list[list[str]]) -> None:
    corpus = Corpus(texts, Vocabulary.count(texts, 1), character_ids)
    for batch in corpus.batches(10**6, None):
        spelled = corpus.characters[batch.types]
        for row, length in enumerate(batch.lengths.tolist()):
            text = ["".join(chr(c - 1) for c in word if 0 < c < 257) for word in spelled[row].tolist()]
            expected = batch_to_ids([text[1 : length - 1]])[0]
            assert (spelled[row, 1 : length - 1] == expected).all()


def test_rare_words_count_as_unknown_in_the_output_only() -> None:
    texts = [["the", "the", "rare"]]
    corpus = Corpus(texts, Vocabulary.count(texts, 2), character_ids)
    (batch,) = corpus.batches(100, None)
    assert batch.words.tolist() == [[1, 3, 3, 2, 0]]
    assert len(set(batch.types[0].tolist())) == 4


def test_unigram_perplexity_of_equal_words() -> None:
    """Four tokens, including `</S>`, are equally frequent; all six, including two unseen ones, get a pseudo-count."""
    texts = [["a", "b", "c"]] * 100
    vocabulary = Vocabulary.count(texts, 1)
    corpus = Corpus(texts, vocabulary, character_ids)
    assert len(vocabulary) == 6
    assert abs(unigram_perplexity(corpus.predictions(), corpus.predictions(), 6) - 406 / 101) < 1e-9
