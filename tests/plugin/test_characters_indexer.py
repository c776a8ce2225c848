"""The indexer's tensors are those of AllenNLP's `elmo_characters`."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from allennlp.data import Batch, Instance, Token, TokenIndexer, Vocabulary
from allennlp.data.fields import ListField, TextField
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.plugin import ElmoMfCharactersIndexer

_WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60) | st.sampled_from(["<S>", "</S>", "@@", "the"])


def _tensors(name: str, texts: list[list[str]], **parameters: Any) -> torch.Tensor:
    indexer = TokenIndexer.by_name(name)(**parameters)
    fields = [TextField([Token(word) for word in words], {"elmo": indexer}) for words in texts]
    batch = Batch([Instance({"text": field, "texts": ListField([field, field.empty_field()])}) for field in fields])
    batch.index_instances(Vocabulary())
    tensors = batch.as_tensor_dict()
    return torch.cat([tensors["text"]["elmo"]["elmo_tokens"], *tensors["texts"]["elmo"]["elmo_tokens"].unbind(1)])


@given(st.lists(st.lists(_WORDS, max_size=6), min_size=1, max_size=3), st.sampled_from([{}, {"@@": 7}]))
def test_same_tensors(texts: list[list[str]], added: dict[str, int]) -> None:
    theirs, ours = (
        _tensors(name, texts, tokens_to_add=added, token_min_padding_length=2)
        for name in ("elmo_characters", "elmo_mf_characters")
    )
    assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


def test_own_tokens_are_their_indexers() -> None:
    """What one indexer adds, no other one finds."""
    added = _tensors("elmo_mf_characters", [["@@"]], tokens_to_add={"@@": 7})
    assert not torch.equal(added, _tensors("elmo_mf_characters", [["@@"]]))


def test_workers_can_have_it() -> None:
    """Data loaders send readers to their workers."""
    indexer = ElmoMfCharactersIndexer()
    assert pickle.loads(pickle.dumps(indexer)) == indexer
