"""Where the drop-in computes and where AllenNLP does, and what it leaves behind."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from allennlp.modules.elmo import Elmo, _ElmoBiLm, _ElmoCharacterEncoder, batch_to_ids
from allennlp.modules.elmo_lstm import ElmoLstm
from torch import Tensor, nn

from elmo_mf.bilm import clear_derived_caches
from tests.drop_in.install import counterparts, drop_in
from tests.processes import in_another_process

Files = Callable[..., tuple[Path, Path]]
IDS = batch_to_ids([["The", "cat", "sat", "."], ["A", "dog"]])


@pytest.fixture
def bilm(elmo_files: Files) -> Any:
    return _ElmoBiLm(*map(str, elmo_files(dim=16, projection_dim=8))).eval()


@torch.no_grad()
def _vectors(bilm: Any, ids: Tensor = IDS) -> Tensor:
    bilm._elmo_lstm.reset_states()
    return torch.stack(bilm(ids)["activations"])


def test_installed_once_and_gone_afterwards() -> None:
    def methods() -> list[Any]:
        return [dict(vars(kind)) for kind in (ElmoLstm, _ElmoCharacterEncoder, _ElmoBiLm)]

    before = methods()
    with drop_in():
        installed = methods()
        with drop_in():
            assert methods() == installed != before
        assert methods() == before
    assert methods() == before


def test_models_that_exist(bilm: Any) -> None:
    """They are faster from then on, and have AllenNLP's arithmetic again afterwards."""
    expected = _vectors(bilm)
    with drop_in():
        torch.testing.assert_close(_vectors(bilm), expected, atol=1e-5, rtol=0)
        assert counterparts(bilm) == 2
    assert torch.equal(_vectors(bilm), expected)


def test_states_survive_a_change_of_arithmetic(bilm: Any) -> None:
    inputs, mask = torch.ones(2, 3, 8), torch.ones(2, 3).bool()
    lstm = bilm._elmo_lstm
    lstm(inputs, mask)
    expected = lstm(inputs, mask)
    lstm.reset_states()
    lstm(inputs, mask)
    with drop_in():
        torch.testing.assert_close(lstm(inputs, mask), expected, atol=1e-5, rtol=0)


def test_copies_and_pickles(bilm: Any) -> None:
    with drop_in():
        expected = _vectors(bilm)
        copy, pickled = deepcopy(bilm), pickle.dumps(bilm)
        assert counterparts(copy) == 0 and counterparts(bilm) == 2
        assert torch.equal(_vectors(copy), expected)
        with torch.no_grad():
            copy._elmo_lstm.forward_layer_0.state_linearity.bias += 1
        assert not torch.equal(_vectors(copy), expected)
        assert torch.equal(_vectors(bilm), expected)
        assert torch.equal(_vectors(pickle.loads(pickled)), expected)
    assert b"elmo_mf" not in pickled  # so that AllenNLP alone reads it


@pytest.mark.slow
def test_a_model_in_another_process(bilm: Any, tmp_path: Path) -> None:
    with drop_in():
        expected = _vectors(bilm)
        torch.save(bilm, tmp_path / "model")
    vectors = in_another_process(_computed, tmp_path / "model")
    torch.testing.assert_close(torch.from_numpy(vectors), expected, atol=1e-6, rtol=0)


def _computed(file: Path) -> Any:
    """The vectors of a model in a file, where importing the drop-in is all that is done."""
    import elmo_mf.drop_in  # noqa: F401

    bilm = torch.load(file, weights_only=False)
    vectors = _vectors(bilm)
    assert counterparts(bilm) == 2
    return vectors.numpy()


_ROOT = str(Path(__file__).parents[2])


def _hook_on_a_cell(bilm: Any) -> None:
    bilm._elmo_lstm.forward_layer_1.register_forward_hook(lambda module, args, output: (output[0] * 2, output[1]))


def _hook_on_a_convolution(bilm: Any) -> None:
    bilm._token_embedder.char_conv_0.register_forward_pre_hook(lambda module, args: (args[0] * 2,))


def _other_activation(bilm: Any) -> None:
    bilm._token_embedder._highways._activation = torch.tanh


def _parametrized(bilm: Any) -> None:
    class Doubled(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 2 * weight

    nn.utils.parametrize.register_parametrization(bilm._elmo_lstm.backward_layer_0.input_linearity, "weight", Doubled())


def _dropout_in_the_lstm(bilm: Any) -> None:
    bilm.train()
    for name in ("forward_layer_0", "backward_layer_1"):
        getattr(bilm._elmo_lstm, name).recurrent_dropout_probability = 0.5


@pytest.mark.parametrize(
    ("change", "replaced"),
    [
        (_hook_on_a_cell, 1),
        (_hook_on_a_convolution, 1),
        (_other_activation, 1),
        (_parametrized, 1),
        (_dropout_in_the_lstm, 1),
        (lambda bilm: bilm.bfloat16(), 0),
    ],
)
def test_what_it_does_not_compute(bilm: Any, change: Callable[[Any], object], replaced: int) -> None:
    change(bilm)
    torch.manual_seed(0)
    expected = _vectors(bilm)
    with drop_in():
        torch.manual_seed(0)
        torch.testing.assert_close(_vectors(bilm), expected, atol=1e-5, rtol=0)
        assert counterparts(bilm) == replaced


def test_autocast(bilm: Any) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        expected = _vectors(bilm)
    with drop_in():
        assert not torch.equal(_vectors(bilm), expected)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(_vectors(bilm), expected)


def _in_place(bilm: Any) -> None:
    with torch.no_grad():
        bilm._elmo_lstm.backward_layer_1.state_projection.weight.mul_(2)
        bilm._token_embedder._highways._layers[0].bias.add_(0.5)


def _uncounted(bilm: Any) -> None:
    bilm._elmo_lstm.forward_layer_0.input_linearity.weight.data.mul_(2)
    bilm._token_embedder.char_conv_1.weight.data.mul_(2)
    clear_derived_caches(bilm)


def _replaced(bilm: Any) -> None:
    bilm._token_embedder._char_embedding_weights = nn.Parameter(2 * bilm._token_embedder._char_embedding_weights)


def _other_clips(bilm: Any) -> None:
    for layer in (*bilm._elmo_lstm.forward_layers, *bilm._elmo_lstm.backward_layers):
        layer.memory_cell_clip_value = 0.01


@pytest.mark.parametrize("change", [_in_place, _uncounted, _replaced, _other_clips, lambda bilm: bilm.double()])
def test_changes_of_a_model(bilm: Any, change: Callable[[Any], object]) -> None:
    stock = deepcopy(bilm)
    with drop_in():
        before = _vectors(bilm)
        change(bilm)
        after = _vectors(bilm)
        assert counterparts(bilm) == 2
    change(stock)
    torch.testing.assert_close(after, _vectors(stock), atol=1e-5, rtol=0)
    assert after.dtype != before.dtype or (after - before).abs().max() > 1e-4


def test_weights_loaded_again(bilm: Any, elmo_files: Files) -> None:
    """AllenNLP writes them through `.data`, which PyTorch does not count."""
    _, weights = elmo_files("other", dim=16, projection_dim=8, seed=1)
    inputs, mask = torch.ones(1, 3, 8), torch.ones(1, 3).bool()
    lstm = bilm._elmo_lstm
    with drop_in():
        lstm(inputs, mask)
        lstm.load_weights(str(weights))
        lstm.reset_states()
        actual = lstm(inputs, mask)
    lstm.reset_states()
    torch.testing.assert_close(actual, lstm(inputs, mask), atol=1e-5, rtol=0)


def test_weights_written_after_words_were_cached(elmo_files: Files) -> None:
    """As AllenNLP's pretrained initializer writes them: through `.data`, when the model is built."""
    with drop_in():
        bilm = _ElmoBiLm(*map(str, elmo_files()), vocab_to_cache=["The", "cat"])
        bilm._token_embedder._projection.weight.data.mul_(2)
        actual = _vectors(bilm)
    torch.testing.assert_close(actual, _vectors(bilm), atol=1e-5, rtol=0)


def test_trained_writes_are_seen_after_eval(elmo_files: Files) -> None:
    """As AllenNLP's moving average writes them."""
    elmo = Elmo(*map(str, elmo_files()), 1, requires_grad=True, dropout=0.0)
    with drop_in():
        _vectors(elmo._elmo_lstm)
        for parameter in elmo.parameters():
            parameter.data.mul_(1.5)
        elmo.eval()
        actual = _vectors(elmo._elmo_lstm)
    torch.testing.assert_close(actual, _vectors(elmo._elmo_lstm), atol=1e-5, rtol=0)


SOURCE = os.environ.get("ALLENNLP_SRC_DIR")


@pytest.mark.slow
@pytest.mark.skipif(SOURCE is None, reason="ALLENNLP_SRC_DIR names no checkout of AllenNLP 2.10.1")
def test_tests_of_allennlp(tmp_path: Path) -> None:
    assert SOURCE is not None
    files = ["elmo_test.py", "stacked_elmo_lstm_test.py", "token_embedders/elmo_token_embedder_test.py"]
    tests = [str(Path(SOURCE).resolve() / "tests" / "modules" / file) for file in files]
    options = ["-p", "elmo_mf.drop_in", "-p", "no:cacheprovider", "-q", "--rootdir", str(tmp_path), "-c", os.devnull]
    result = subprocess.run(
        [Path(sys.executable).with_name("pytest"), *options, *tests],
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": _ROOT, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "17 passed" in result.stdout
