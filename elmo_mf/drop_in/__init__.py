"""AllenNLP's own ELMo, computed by this project's encoder.

Importing this package is enough: name `elmo_mf.drop_in` in `.allennlp_plugins`, or give `--include-package
elmo_mf.drop_in`. Existing configs and archives then train, evaluate and predict faster as they stand, because
`elmo_token_embedder`, `allennlp.modules.elmo.Elmo` and all that they consist of keep their classes, parameters, state
dicts and carried states; only the arithmetic of `ElmoLstm` and of `_ElmoCharacterEncoder` is replaced.

AllenNLP's arithmetic runs as before under `torch.autocast`, in types other than float32 and float64, on devices other
than CPUs and CUDA's, with dropout inside the LSTM, while PyTorch traces or compiles, and where a part of a module was
replaced or has hooks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allennlp.modules.elmo import _ElmoBiLm, _ElmoCharacterEncoder
from allennlp.modules.elmo_lstm import ElmoLstm

from elmo_mf.drop_in import _character_encoder, _elmo_lstm
from elmo_mf.drop_in._counterpart import state_without_counterpart

__all__ = ["install", "uninstall", "uninstalled"]

_METHODS: tuple[tuple[type, str, Any], ...] = (
    (ElmoLstm, "_lstm_forward", _elmo_lstm.lstm_forward),
    (ElmoLstm, "load_weights", _elmo_lstm.load_weights),
    (ElmoLstm, "__getstate__", state_without_counterpart),
    (_ElmoCharacterEncoder, "forward", _character_encoder.encoder_forward),
    (_ElmoCharacterEncoder, "__getstate__", state_without_counterpart),
    (_ElmoBiLm, "create_cached_cnn_embeddings", _character_encoder.create_cached_cnn_embeddings),
)
_stock: dict[tuple[type, str], Any] = {}


def install() -> None:
    """Let AllenNLP's ELMo compute with this project's encoder, in all models; a second call has no effect."""
    for owner, name, method in _METHODS:
        if (owner, name) not in _stock:
            _stock[owner, name] = vars(owner).get(name)
            setattr(owner, name, method)


def uninstall() -> None:
    """Restore AllenNLP's own arithmetic; models keep their parameters and carried states."""
    while _stock:
        (owner, name), method = _stock.popitem()
        if method is None:  # inherited
            delattr(owner, name)
        else:
            setattr(owner, name, method)


@contextmanager
def uninstalled() -> Iterator[None]:
    """Restore AllenNLP's own arithmetic during the context."""
    installed = bool(_stock)
    uninstall()
    try:
        yield
    finally:
        if installed:
            install()


install()
