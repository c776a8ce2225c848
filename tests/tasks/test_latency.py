"""Both encoders are timed in turn, without the cache, on sentences of all lengths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from allennlp.data import Vocabulary
from allennlp.data.fields import TextField
from allennlp.data.instance import Instance
from allennlp.data.token_indexers import ELMoTokenCharactersIndexer
from allennlp.data.tokenizers import Token

from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder
from elmo_mf.tasks._latency import allennlp_encoder, measure
from tests.conftest import random_bilm


class _Model(torch.nn.Module):
    """Embeds two texts, as models of sentence pairs do."""

    def __init__(self, embedder: ElmoMfTokenEmbedder) -> None:
        super().__init__()
        self.embedder, self.vocab = embedder, Vocabulary()

    def forward(self, **texts: Any) -> None:
        for text in texts.values():
            self.embedder(text["elmo"]["elmo_tokens"])


@pytest.fixture
def model(elmo_files: Any) -> _Model:
    options, weights = elmo_files()
    compression = {"method": "svd", "rank": 1, "targets": "all"}
    return _Model(ElmoMfTokenEmbedder(str(options), str(weights), compression, cache_mb=10))


def _instances(lengths: list[int]) -> list[Instance]:
    indexers = {"elmo": ELMoTokenCharactersIndexer()}
    texts = [TextField([Token("word")] * length, indexers) for length in lengths]
    return [Instance({"premise": text, "hypothesis": text}) for text in texts]


def _calls(module: torch.nn.Module) -> list[torch.Size]:
    shapes: list[torch.Size] = []
    module.register_forward_pre_hook(lambda _, arguments: shapes.append(arguments[0].shape))
    return shapes


@pytest.mark.slow
def test_measured(model: _Model) -> None:
    dense = random_bilm()
    compressed, other = _calls(model.embedder.bilm), _calls(dense)
    result = measure(model, _instances(list(range(1, 65))), dense, sentences=4, rounds=2)
    assert len(other) > 0 and len(compressed) == len(other) + 2 * (4 + 1)  # and once more for the inputs of each batch
    assert {shape[0] for shape in other} == {1, 32}
    assert {shape[1] for shape in other if shape[0] == 1} == {9, 25, 41, 57}  # the middles of the four quarters
    assert result.model is not None
    for times in (*result.encoder.values(), *result.model.values()):
        assert 0 < times.median_ms <= times.p95_ms
        assert 0 < times.dense_median_ms <= times.dense_p95_ms
    assert model.embedder.bilm is not dense
    assert model.embedder.elmo_module.cache is not None and model.embedder.elmo_module.cache.bytes == 0


def test_the_cache_is_off_while_timing(model: _Model) -> None:
    calls = _calls(model.embedder.bilm)
    measure(model, _instances([5] * 40), None, sentences=1, rounds=3)
    assert len(calls) > 2 * 2 * 3 * 2  # two texts, two parts, three rounds, two batch sizes


@pytest.mark.slow
def test_allennlps_encoder_takes_its_turn(model: _Model, elmo_files: Any) -> None:
    """AllenNLP's encoder gives the same activations on the same inputs and carries no state between calls."""
    options, weights = elmo_files()
    encoder = allennlp_encoder(str(options), str(weights), torch.device("cpu"))
    assert encoder is not None
    ids = torch.randint(1, 262, (2, 5, 50), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, again = (encoder(ids)["activations"] for _ in range(2))  # type: ignore[index]
        layers = random_bilm()(ids).layers
    for ours, theirs, repeated in zip(layers, first, again, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        assert torch.equal(theirs, repeated)
    result = measure(model, _instances([3] * 40), random_bilm(), sentences=2, rounds=1, allennlp=encoder)
    assert result.model is not None
    assert all(times.allennlp_median_ms and times.allennlp_speed_up for times in result.encoder.values())
    assert all(times.allennlp_median_ms is times.allennlp_speed_up is None for times in result.model.values())


def test_an_elmo_that_allennlp_refuses(elmo_files: Any) -> None:
    options, weights = elmo_files(use_skip_connections=False)
    assert allennlp_encoder(str(options), str(weights), torch.device("cpu")) is None


def test_dense_is_its_own_measure(model: _Model) -> None:
    result = measure(model, _instances([3] * 40), None, sentences=2, rounds=1)
    assert result.model is not None
    assert all(times.speed_up == 1 for times in (*result.encoder.values(), *result.model.values()))


@pytest.mark.slow
def test_more_sentences_than_there_are(model: _Model) -> None:
    assert measure(model, _instances([3, 4]), None, sentences=8, rounds=1).encoder.keys() == {"1", "32"}
