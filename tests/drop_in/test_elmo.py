"""`Elmo` and `ElmoTokenEmbedder` with the drop-in against themselves without it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from allennlp.common import Params
from allennlp.data.vocabulary import Vocabulary
from allennlp.modules.elmo import Elmo, _ElmoBiLm, batch_to_ids
from allennlp.modules.token_embedders import ElmoTokenEmbedder, TokenEmbedder
from allennlp.training.optimizers import Optimizer
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from torch import Tensor

from tests.conftest import random_bilm
from tests.drop_in.install import counterparts, drop_in

WORDS = ["The", "cat", "sat", ".", "extraordinarily" * 5, "é漢", "mat", "a"]
SHAPES: list[dict[str, Any]] = [
    {},
    {"dim": 32, "projection_dim": 16, "n_layers": 1, "activation": "tanh"},
    {"dim": 16, "projection_dim": 10, "n_layers": 3, "scale": 2.0, "cell_clip": 0.3, "proj_clip": 0.2},
    {"n_highway": 1, "filters": [[1, 3], [7, 4]], "cell_clip": 0, "proj_clip": 0},
]
Files = Callable[..., tuple[Path, Path]]

words = st.lists(st.sampled_from(WORDS), max_size=7)
batches = st.lists(st.lists(words, min_size=1, max_size=6).filter(any), min_size=1, max_size=4)
settings = st.fixed_dictionaries(
    {
        "num_output_representations": st.integers(1, 3),
        "do_layer_norm": st.booleans(),
        "keep_sentence_boundaries": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.5]),
        "requires_grad": st.booleans(),
        "vocab_to_cache": st.sampled_from([None, WORDS]),
    }
)


@pytest.mark.slow
@example_settings(max_examples=25)
@given(st.sampled_from(SHAPES), settings, batches, st.booleans(), st.booleans(), st.data())
def test_equal_vectors_states_and_gradients(
    shape: dict[str, Any],
    settings: dict[str, Any],
    batches: list[list[list[str]]],
    as_module: bool,
    recorded: bool,
    data: st.DataObject,
) -> None:
    n_layers = shape.get("n_layers", 2) + 1
    mix = data.draw(st.none() | st.lists(st.floats(-2, 2, width=32), min_size=n_layers, max_size=n_layers))
    with TemporaryDirectory() as folder:
        random_bilm(**shape).save(folder)
        files = [f"{folder}/options.json", f"{folder}/weights.hdf5"]

        def run() -> tuple[Elmo, list[Any]]:
            elmo = _elmo(files, as_module, {**settings, "scalar_mix_parameters": mix})
            return elmo, _outputs(elmo, batches, recorded, settings["vocab_to_cache"])

        theirs, expected = run()
        assert not counterparts(theirs)
        with drop_in():
            ours, actual = run()
    cached = settings["vocab_to_cache"] is not None
    assert counterparts(ours) == (1 if cached else 2)
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=1e-4)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert [(name, p.shape) for name, p in ours.named_parameters()] == [
        (name, p.shape) for name, p in theirs.named_parameters()
    ]


def _elmo(files: list[str], as_module: bool, settings: dict[str, Any]) -> Elmo:
    if not as_module:
        return Elmo(*files, **settings)
    inner = {name: settings.pop(name) for name in ("requires_grad", "vocab_to_cache")}
    elmo = Elmo(None, None, **settings, module=_ElmoBiLm(*files, **inner))
    elmo._has_cached_vocab = inner["vocab_to_cache"] is not None
    return elmo


def _outputs(elmo: Elmo, batches: list[list[list[str]]], recorded: bool, cached: list[str] | None) -> list[Any]:
    """Representations, masks and carried states of each batch, and the gradients of all."""
    torch.manual_seed(0)
    outputs: list[Any] = []
    for sentences in batches:
        ids = batch_to_ids(sentences)
        word_ids = None
        if cached:
            word_ids = torch.zeros(ids.shape[:2], dtype=torch.long)
            for row, sentence in enumerate(sentences):
                word_ids[row, : len(sentence)] = torch.tensor([cached.index(word) for word in sentence])
        with nullcontext() if recorded else torch.no_grad():
            output = elmo(ids, word_ids)
        outputs += [*output["elmo_representations"], output["mask"], *elmo._elmo_lstm._elmo_lstm._states]
        if recorded:
            loss = sum((vectors**2).sum() for vectors in output["elmo_representations"])
            if isinstance(loss, Tensor) and loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
    return outputs + [None if p.grad is None else p.grad / (1 + p.grad.abs().max()) for p in elmo.parameters()]


def _embedder(files: tuple[Path, Path], **settings: Any) -> ElmoTokenEmbedder:
    torch.manual_seed(0)
    params = {
        "type": "elmo_token_embedder",
        "options_file": str(files[0]),
        "weight_file": str(files[1]),
        "dropout": 0.0,
        **settings,
    }
    return TokenEmbedder.from_params(Params(params), vocab=Vocabulary())


BATCHES = [
    [["The", "cat", "sat", "."], ["a"], ["The", "mat", "a", "a", "a"]],
    [["cat"], ["sat", "cat", "."]],
    [["a", "mat"], ["cat"], [], ["The"] * 6, ["sat", "."]],
    [["The", "cat"]],
]


@pytest.mark.parametrize("optimizer", ["adam", "dense_sparse_adam", {"type": "sgd", "lr": 0.1, "weight_decay": 0.01}])
def test_training_steps(elmo_files: Files, optimizer: Any) -> None:
    """Weights after some steps, with scores in between, and the exchange of what was trained."""
    files = elmo_files(dim=16, projection_dim=8)

    def train() -> tuple[ElmoTokenEmbedder, list[Tensor]]:
        embedder = _embedder(files, requires_grad=True, projection_dim=5)
        settings = {"type": optimizer} if isinstance(optimizer, str) else dict(optimizer)
        steps = Optimizer.from_params(Params(settings), model_parameters=list(embedder.named_parameters()))
        scores = []
        for sentences in BATCHES:
            embedder.train()
            steps.zero_grad()
            (embedder(batch_to_ids(sentences)) - 1).square().mean().backward()
            steps.step()
            embedder.eval()
            with torch.no_grad():
                scores.append(embedder(batch_to_ids(BATCHES[0])))
        return embedder, scores

    theirs, expected = train()
    with drop_in():
        ours, actual = train()
        assert counterparts(ours) == 2
    torch.testing.assert_close(actual, expected, atol=2e-4, rtol=1e-3)
    assert (actual[0] - actual[-1]).abs().max() > 1e-3
    theirs.load_state_dict(ours.state_dict(), strict=True)
    with drop_in():
        fresh = _embedder(files, requires_grad=True, projection_dim=5).eval()
        fresh.load_state_dict(theirs.state_dict(), strict=True)
        with torch.no_grad():
            vectors = fresh(batch_to_ids(BATCHES[1]))
    theirs._elmo._elmo_lstm._elmo_lstm.reset_states()
    torch.testing.assert_close(vectors, theirs(batch_to_ids(BATCHES[1])), atol=1e-5, rtol=0)


def test_sentences_in_four_dimensions(elmo_files: Files) -> None:
    files = elmo_files()
    ids = torch.stack([batch_to_ids([["The", "cat"], ["a"]]), batch_to_ids([["mat", "."], ["sat"]])], dim=1)
    expected = _embedder(files, projection_dim=3)(ids)
    with drop_in():
        torch.testing.assert_close(_embedder(files, projection_dim=3)(ids), expected, atol=1e-5, rtol=0)


def test_vectors_of_the_padding(elmo_files: Files) -> None:
    """Those that the character encoder gives, which are not zero."""
    encoder = _ElmoBiLm(*map(str, elmo_files()))._token_embedder
    torch.nn.init.ones_(encoder._projection.bias)
    ids = batch_to_ids([["The", "cat", "sat"], ["a"], []])
    expected = encoder(ids)
    assert expected["token_embedding"][1, -1].abs().min() > 0
    with drop_in():
        torch.testing.assert_close(encoder(ids), expected, atol=1e-6, rtol=0)
        assert counterparts(encoder) == 1


def test_any_character_ids(elmo_files: Files) -> None:
    """Such as 0 within a word, or none that end it."""
    encoder = _ElmoBiLm(*map(str, elmo_files()), requires_grad=True)._token_embedder
    with torch.no_grad():
        encoder._char_embedding_weights[0] = 0.5
    ids = torch.randint(0, 262, (3, 4, 50), generator=torch.Generator().manual_seed(0))
    ids[0, 2:] = 0
    expected = encoder(ids)["token_embedding"]
    with drop_in():
        torch.testing.assert_close(encoder(ids)["token_embedding"], expected, atol=1e-6, rtol=0)
        with torch.no_grad():
            torch.testing.assert_close(encoder(ids)["token_embedding"], expected, atol=1e-6, rtol=0)
            with pytest.raises(IndexError):
                encoder(ids - 1)


def test_gradients_of_the_inputs(elmo_files: Files) -> None:
    """As saliency maps need them, with a frozen LSTM."""
    lstm = _ElmoBiLm(*map(str, elmo_files()))._elmo_lstm
    inputs = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()

    def gradient() -> Tensor:
        lstm.reset_states()
        return torch.autograd.grad(lstm(inputs, mask).square().sum(), inputs)[0]

    expected = gradient()
    with drop_in():
        with torch.inference_mode():
            lstm(inputs, mask)  # builds the copies
        torch.testing.assert_close(gradient(), expected, atol=1e-5, rtol=0)
    assert counterparts(lstm) == 1


@pytest.mark.slow
def test_gradcheck(elmo_files: Files) -> None:
    """In float64, where gradients can be compared with differences."""
    lstm = _ElmoBiLm(*map(str, elmo_files(dim=4, projection_dim=3)), requires_grad=True).double()._elmo_lstm
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]]).bool()
    inputs = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def outputs(weight: Tensor) -> Tensor:
        lstm.reset_states()
        state = {"forward_layer_0.state_linearity.weight": weight}
        return torch.func.functional_call(lstm, state, (inputs, mask))  # type: ignore[no-any-return]

    with drop_in():
        assert torch.autograd.gradcheck(outputs, lstm.forward_layer_0.state_linearity.weight)
    assert counterparts(lstm) == 1


def test_reset_states(elmo_files: Files) -> None:
    lstm = _ElmoBiLm(*map(str, elmo_files()))._elmo_lstm
    inputs, mask = torch.ones(3, 4, 6), torch.ones(3, 4).bool()
    states = {}
    for with_drop_in in (False, True):
        with drop_in() if with_drop_in else nullcontext():
            lstm.reset_states()
            lstm(inputs, mask)
            lstm.reset_states(torch.tensor([True, False, True]))
            states[with_drop_in] = lstm(inputs[:2], mask[:2]), *lstm._states
    torch.testing.assert_close(states[True], states[False], atol=1e-5, rtol=0)
