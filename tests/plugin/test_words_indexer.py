"""A word-level ELMo in AllenNLP's configs: trained, archived, and loaded where none of its files exist."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from allennlp.commands.train import train_model
from allennlp.common import Params
from allennlp.common.util import import_module_and_submodules
from allennlp.data import Token, Vocabulary
from allennlp.models.archival import load_archive
from allennlp.modules.token_embedders import TokenEmbedder
from allennlp.predictors import Predictor

from elmo_mf.errors import InputError
from elmo_mf.plugin import ElmoMfWordsIndexer
from tests.bilm.word_level import SENTENCES, WORDS, Theirs, write_word_level

LINES = [
    {"text": "the cat sat dog", "label": "x"},
    {"text": "on the mat", "label": "y"},
    {"text": "@@UNKNOWN@@", "label": "x"},
]


def _embedder(folder: Path, vocab: Vocabulary | None, **keys: Any) -> Any:
    params = Params({"type": "elmo_mf", "options_file": str(folder), "dropout": 0.0, **keys})
    return TokenEmbedder.from_params(params, vocab=vocab)


def _ids(vocab: Vocabulary, sentences: list[list[str]], namespace: str = "elmo_words") -> torch.Tensor:
    indexer = ElmoMfWordsIndexer(namespace)
    indexed = [indexer.tokens_to_indices([Token(word) for word in sentence], vocab) for sentence in sentences]
    longest = {"elmo_tokens": max(len(one["elmo_tokens"]) for one in indexed)}
    return torch.stack([indexer.as_padded_tensor_dict(one, longest)["elmo_tokens"] for one in indexed])


def test_vectors_are_allennlps_on_the_rows_of_the_table(tmp_path: Path) -> None:
    folder, vocab = write_word_level(tmp_path / "elmo"), Vocabulary()
    embedder = _embedder(folder, vocab, scalar_mix_parameters=[-9e10, -9e10, 1.0]).eval()
    actual, theirs = embedder(_ids(vocab, SENTENCES)), Theirs(folder)
    for vectors, sentence in zip(actual, SENTENCES, strict=True):
        np.testing.assert_allclose(vectors[: len(sentence)].detach(), theirs.vectors(sentence)[2], atol=1e-5)
    assert not embedder(_ids(vocab, [[], []])).numel()
    cached = _embedder(folder, vocab, cache_mb=1, scalar_mix_parameters=[-9e10, -9e10, 1.0]).eval()
    for _ in range(2):
        torch.testing.assert_close(cached(_ids(vocab, SENTENCES)), actual, atol=1e-5, rtol=0)


def test_ids_are_the_encoders(tmp_path: Path) -> None:
    vocab = Vocabulary()
    bilm = _embedder(write_word_level(tmp_path / "elmo"), vocab).bilm
    sentences = [["the", "@@UNKNOWN@@", "@@PADDING@@", "<S>", "dog"], ["."]]
    assert torch.equal(_ids(vocab, sentences), bilm.token_ids(sentences))


def _config(folder: Path, data: Path, **keys: Any) -> dict[str, Any]:
    elmo = {"type": "elmo_mf", "options_file": str(folder), "dropout": 0.0, **keys}
    return {
        "dataset_reader": {
            "type": "text_classification_json",
            "tokenizer": "just_spaces",
            "token_indexers": {"tokens": "single_id", "elmo": "elmo_mf_words"},
        },
        "train_data_path": str(data),
        "model": {
            "type": "basic_classifier",
            "text_field_embedder": {
                "token_embedders": {"tokens": {"type": "embedding", "embedding_dim": 2}, "elmo": elmo}
            },
            "seq2vec_encoder": {"type": "bag_of_embeddings", "embedding_dim": 14},
        },
        "data_loader": {"batch_size": 2},
        "trainer": {"num_epochs": 1, "cuda_device": -1, "optimizer": {"type": "adam", "lr": 0.01}},
    }


def _predictions(archive: Path) -> list[list[float]]:
    predictor = Predictor.from_archive(load_archive(archive), "text_classifier")
    return [predictor.predict_json({"sentence": line["text"]})["probs"] for line in LINES]


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys", [{}, {"requires_grad": True, "compression": {"method": "svd", "rank": 2, "targets": "all"}}]
)
def test_an_archive_needs_no_other_file(tmp_path: Path, keys: dict[str, Any]) -> None:
    import_module_and_submodules("elmo_mf.plugin")
    folder, data = write_word_level(tmp_path / "elmo"), tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, LINES)))
    model = train_model(Params(_config(folder, data, **keys)), str(tmp_path / "out")).eval()
    trained = _predictions(tmp_path / "out" / "model.tar.gz")
    bilm = model._text_field_embedder.token_embedder_elmo.bilm
    expected = bilm.embed(SENTENCES)
    shutil.rmtree(folder)
    assert _predictions(tmp_path / "out" / "model.tar.gz") == trained
    loaded = load_archive(tmp_path / "out" / "model.tar.gz").model._text_field_embedder.token_embedder_elmo.bilm
    assert loaded.vocabulary.words == WORDS
    for one, other in zip(loaded.embed(SENTENCES), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_errors(tmp_path: Path) -> None:
    folder, vocab = write_word_level(tmp_path / "elmo"), Vocabulary()
    with pytest.raises(InputError, match=r"elmo_mf_words: .*'elmo_words'"):
        _ids(vocab, SENTENCES)
    _embedder(folder, vocab)
    other = write_word_level(tmp_path / "other", [*WORDS, "dog"])
    with pytest.raises(InputError, match="namespace: found 'elmo_words'"):
        _embedder(other, vocab)
    _embedder(folder, vocab)
    second = _embedder(other, vocab, namespace="second")
    assert second.bilm.token_ids([["dog"]]).tolist() == _ids(vocab, [["dog"]], "second").tolist() == [[[11]]]
    with pytest.raises(InputError, match="word ids: found 50 words per token"):
        second(torch.ones(1, 2, 50, dtype=torch.long))
