"""Tests of AllenNLP's classes for pretrained transformers with the locked version of transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from allennlp.common import Params
from allennlp.data import Instance, Token, TokenIndexer, Tokenizer, Vocabulary
from allennlp.data.batch import Batch
from allennlp.data.fields import TextField
from allennlp.modules import Seq2VecEncoder
from allennlp.modules.token_embedders import TokenEmbedder

from tests.compat import transformer


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return transformer.save(tmp_path_factory.mktemp("bert"))


def test_tokenizer(bert: str) -> None:
    tokenizer = Tokenizer.from_params(Params({"type": "pretrained_transformer", "model_name": bert}))
    tokens = tokenizer.tokenize("The cats sat.")
    assert [token.text for token in tokens] == ["[CLS]", "the", "cat", "##s", "sat", ".", "[SEP]"]
    assert [(token.idx, token.idx_end) for token in tokens[1:-1]] == [(0, 3), (4, 7), (7, 8), (9, 12), (12, 13)]
    pair = tokenizer.add_special_tokens(tokens[1:2], tokens[2:3])
    assert [(token.text, token.type_id) for token in pair] == [
        ("[CLS]", 0), ("the", 0), ("[SEP]", 0), ("cat", 1), ("[SEP]", 1)
    ]  # fmt: skip
    bare = {"type": "pretrained_transformer", "model_name": bert, "add_special_tokens": False}
    assert [token.text for token in Tokenizer.from_params(Params(bare)).tokenize("the cat")] == ["the", "cat"]
    words, offsets = tokenizer.intra_word_tokenize(["cats", "sat"])
    assert [token.text for token in words][1:-1] == ["cat", "##s", "sat"] and offsets == [(1, 2), (3, 3)]


@pytest.mark.parametrize("name", ["pretrained_transformer", "pretrained_transformer_mismatched"])
def test_indexer_and_embedder(name: str, bert: str) -> None:
    """The embeddings equal the outputs of the transformer itself."""
    from transformers import AutoModel, AutoTokenizer

    params = {"type": name, "model_name": bert}
    words = ["[CLS]", "the", "cat", "[SEP]"] if name == "pretrained_transformer" else ["the", "cat"]
    field = TextField([Token(word) for word in words], {"bert": TokenIndexer.from_params(Params(dict(params)))})
    batch = Batch([Instance({"text": field})])
    batch.index_instances(Vocabulary())
    embedder: Any = TokenEmbedder.from_params(Params(dict(params))).eval()
    embeddings = embedder(**batch.as_tensor_dict()["text"]["bert"])
    model = AutoModel.from_pretrained(bert).eval()
    expected = model(**AutoTokenizer.from_pretrained(bert)("the cat", return_tensors="pt")).last_hidden_state
    expected = expected if name == "pretrained_transformer" else expected[:, 1:-1]
    torch.testing.assert_close(embeddings, expected)


def test_pooler_and_vocabulary(bert: str) -> None:
    pooler = Seq2VecEncoder.from_params(Params({"type": "bert_pooler", "pretrained_model": bert}))
    assert pooler(torch.zeros(2, 3, 8)).shape == (2, 8)
    vocabulary = Vocabulary.from_params(Params({"type": "from_pretrained_transformer", "model_name": bert}))
    assert vocabulary.get_token_index("cat", "tokens") == transformer.WORDS.index("cat")


def test_long_texts_in_pieces(bert: str) -> None:
    """Long texts are split, and each part gets special tokens."""
    params = Params({"type": "pretrained_transformer", "model_name": bert, "max_length": 4})
    indexer: Any = TokenIndexer.from_params(params)
    words = "[CLS] the cat sat . [SEP]".split()
    ids = indexer.tokens_to_indices([Token(word) for word in words], Vocabulary())["token_ids"]
    expected = "[CLS] the cat [SEP] [CLS] sat . [SEP]".split()
    assert [transformer.WORDS[index] for index in ids] == expected
