"""Tests of the AWD-LSTM against the formulas of its paper, and of its perplexity against a plain loop."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from allennlp.data import Vocabulary
from torch import Tensor, nn

from elmo_mf.bilm.weights import Factors
from elmo_mf.plugin import AwdLstm
from tests.conftest import without_onednn

WORDS = 30
NO_DROPOUT: dict[str, Any] = dict.fromkeys(
    ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_drop"), 0.0
)
PLAIN = NO_DROPOUT | {"activation_regularisation": 0.0, "temporal_regularisation": 0.0}


def _model(**options: Any) -> AwdLstm:
    torch.manual_seed(0)
    vocabulary = Vocabulary(tokens_to_add={"tokens": [f"w{n}" for n in range(WORDS - 2)]})
    return AwdLstm(vocabulary, embedding_dim=16, hidden_size=20, num_layers=3, **options)


def _text(words: int = 61, streams: int = 1) -> Tensor:
    return torch.randint(WORDS, (streams, words), generator=torch.Generator().manual_seed(1))


def _losses(model: AwdLstm, text: Tensor) -> Tensor:
    """Compute the losses word by word with PyTorch's LSTM cells."""
    cells = []
    for lstm in model.core.to_torch():
        cell = nn.LSTMCell(lstm.input_size, lstm.hidden_size)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in lstm.state_dict().items()})
        cells.append(cell)
    states = [(torch.zeros(len(text), cell.hidden_size),) * 2 for cell in cells]
    losses = []
    for step in range(text.shape[1] - 1):
        x = model.embedding.weight[text[:, step]]
        for index, cell in enumerate(cells):
            states[index] = cell(x, states[index])
            x = states[index][0]
        logits = x @ model.embedding.weight.T + model.softmax.softmax_b
        losses.append(nn.functional.cross_entropy(logits, text[:, step + 1], reduction="none"))
    return torch.stack(losses)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 7, 400, 500])
@pytest.mark.parametrize("samples", [None, 10])
def test_perplexity_is_that_of_a_plain_loop(steps: int, samples: int | None) -> None:
    """The perplexity depends neither on the batches nor on the softmax used in training."""
    model, text = _model(softmax_samples=samples).eval(), _text(401)
    nn.init.normal_(model.softmax.softmax_b)
    with torch.no_grad():
        expected = _losses(model, text).mean()
        for start in range(0, 400, steps):
            part = text[:, start : min(start + steps, 400) + 1]
            model(part[:, :-1], part[:, 1:], start == 0)
    assert model.get_metrics(reset=True)["perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)
    assert model.get_metrics()["perplexity"] == 0


@pytest.mark.parametrize("onednn", [True, False])
def test_a_changed_softmax_is_noticed(onednn: bool) -> None:
    model, outputs = _model().eval(), torch.randn(3, 2, 16)
    for changed in (model.embedding.weight, model.softmax.softmax_b):
        with torch.no_grad(), nullcontext() if onednn else without_onednn():
            model.logits(outputs)
            changed.add_(1)
            logits = model.logits(outputs)
        torch.testing.assert_close(logits, outputs @ model.embedding.weight.T + model.softmax.softmax_b)
    assert not logits.requires_grad and model.logits(outputs).requires_grad


def test_the_state_is_carried_until_the_text_begins_again() -> None:
    model, text = _model().eval(), _text(21)
    with torch.no_grad():
        first, carried, again = (
            float(model(text[:, :-1], text[:, 1:], start)["loss"]) for start in (True, False, True)
        )
    assert first == again != carried


def test_gradients_stop_at_a_batch() -> None:
    model, text = _model(**PLAIN).train(), _text(21)
    model(text[:, :10], text[:, 1:11], True)["loss"].backward()
    model(text[:, 10:-1], text[:, 11:], False)["loss"].backward()


def test_regularisation_is_the_papers() -> None:
    """The terms are alpha times the mean squared output (AR) and beta times that of its differences (TAR)."""
    text = _text(12, streams=3)
    inputs = text[:, :-1], text[:, 1:], True
    plain = float(_model(**PLAIN).train()(*inputs)["loss"].detach())
    model = _model(**PLAIN | {"activation_regularisation": 2.0, "temporal_regularisation": 0.5}).train()
    outputs = model.core(model.embedding(text[:, :-1]).transpose(0, 1))[0][-1]
    expected = 2 * (outputs**2).mean() + 0.5 * ((outputs[1:] - outputs[:-1]) ** 2).mean()
    assert float(model(*inputs)["loss"].detach()) - plain == pytest.approx(float(expected.detach()), rel=1e-4)
    with torch.no_grad():
        assert float(model.eval()(*inputs)["loss"]) == pytest.approx(plain, rel=1e-5)


def test_embeddings_and_softmax_are_one() -> None:
    model = _model()
    assert model.softmax.softmax_w is model.embedding.weight
    assert sum(parameter is model.embedding.weight for parameter in model.parameters()) == 1
    other = _model()
    with torch.no_grad():
        other.embedding.weight.zero_()
    other.load_state_dict(model.state_dict())
    assert other.softmax.softmax_w is other.embedding.weight
    assert torch.equal(other.embedding.weight, model.embedding.weight)


def test_embedding_dropout_drops_whole_words() -> None:
    model = _model(**PLAIN | {"embedding_dropout": 0.5}).train()
    text = _text(400)
    embedded = model.embed(text)[0]
    dropped = (embedded == 0).all(dim=1)
    by_word = {word: set(dropped[text[0] == word].tolist()) for word in set(text[0].tolist())}
    assert all(len(states) == 1 for states in by_word.values())
    assert 0.2 < sum(states == {True} for states in by_word.values()) / len(by_word) < 0.8
    torch.testing.assert_close(embedded[~dropped], 2 * model.embedding.weight[text[0][~dropped]])


def test_variational_dropout_has_one_mask_for_all_steps() -> None:
    model = _model(**PLAIN | {"input_dropout": 0.5}).train()
    dropped = model.embed(torch.arange(WORDS).expand(4, -1)) == 0
    assert (dropped == dropped[:, :1]).all() and (dropped[0] != dropped[1]).any()


def test_every_dropout_is_of_training_only() -> None:
    model, text = _model(), _text(21)
    inputs = text[:, :-1], text[:, 1:], True
    with torch.no_grad():
        assert float(model.train()(*inputs)["loss"]) != float(model(*inputs)["loss"])
        assert float(model.eval()(*inputs)["loss"]) == float(model(*inputs)["loss"])


def test_low_rank_from_the_start() -> None:
    model = _model(**PLAIN, compression={"method": "svd", "rank": 3, "targets": "recurrent"})
    text = _text(41)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = model.train()(text[:, :-1], text[:, 1:], True)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    for lstm in model.core.weights().lstms.values():
        assert isinstance(lstm.matrices["recurrent"], Factors) and lstm.matrices["recurrent"].rank == 3
