"""The variables of a bilm-tf language model, under the names that TensorFlow gave them over time.

| made by | an LSTM's matrix |
|---|---|
| TensorFlow 1.2 and later | `lm/RNN_0/rnn/multi_rnn_cell/cell_0/lstm_cell/kernel` |
| TensorFlow 1.0 and 1.1 | `lm/RNN_0/rnn/multi_rnn_cell/cell_0/lstm_cell/weights` |
| earlier releases, and `dump_weights` | `lm/RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_0` |
| bilm-tf's inference graph, and TF-Hub | `bilm/RNN_0/RNN/MultiRNNCell/Cell0/rnn/lstm_cell/kernel` |

A model of one layer has no `MultiRNNCell`. Other variables have had one name each. Whatever precedes these names is the
scope in which the model was built, the same for all of its variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from elmo_mf.bilm.checkpoint import cell_group
from elmo_mf.errors import InputError

SOFTMAX_WEIGHT, SOFTMAX_BIAS = "softmax/W", "softmax/b"
TABLE = "embedding"
"""The word table of a word-level model."""

_SCOPES = r"CNN|CNN_high_\d+|CNN_proj|RNN_[01]|softmax"
_IN_MODEL = re.compile(rf"(?P<scope>(?:[^/]+/)*?)(?P<name>char_embed|embedding|(?:{_SCOPES})/.+)")
_OTHERS = re.compile(
    r"char_embed|embedding|CNN/[Wb]_cnn_\d+|CNN_high_\d+/[Wb]_(?:carry|transform)|CNN_proj/[Wb]_proj|softmax/[Wb]"
)
_LSTM = re.compile(
    r"RNN_(?P<direction>[01])/(?:RNN|rnn)/"
    r"(?:(?:MultiRNNCell/Cell|multi_rnn_cell/cell_)(?P<layer>\d{1,4})/)?(?:rnn/)?"
    r"(?:LSTMCell|lstm_cell)/(?P<array>[^/]+|projection/[^/]+)"
)
_ARRAYS = {
    "kernel": "W_0",
    "weights": "W_0",
    "W_0": "W_0",
    "bias": "B",
    "biases": "B",
    "B": "B",
    "projection/kernel": "W_P_0",
    "projection/weights": "W_P_0",
    "W_P_0": "W_P_0",
}


@dataclass(frozen=True)
class Layout:
    """Mapping from checkpoint variables to HDF5 datasets.

    Attributes:
        scope: Prefix of the names of the model's variables, such as `lm/`.
        variables: The variable of each dataset, by the dataset's name; the softmax's are `softmax/W` and `softmax/b`.
    """

    scope: str
    variables: dict[str, str]

    @property
    def has_softmax(self) -> bool:
        """Whether the checkpoint has a softmax, or a part of one."""
        return SOFTMAX_WEIGHT in self.variables or SOFTMAX_BIAS in self.variables

    def with_shared_softmax(self) -> Layout:
        """Return the layout of a model whose softmax has no weights of its own but those of the word table."""
        table = self.variables.get(TABLE)
        return self if table is None else replace(self, variables={SOFTMAX_WEIGHT: table, **self.variables})


def dataset_name(variable: str) -> str | None:
    """Return the dataset that holds a variable, named without its scope; None if none does."""
    if _OTHERS.fullmatch(variable):
        return variable
    lstm = _LSTM.fullmatch(variable)
    if lstm is None or lstm["array"] not in _ARRAYS:
        return None
    return f"{cell_group(int(lstm['direction']), int(lstm['layer'] or 0))}/{_ARRAYS[lstm['array']]}"


def find_layout(where: str, names: Iterable[str]) -> Layout:
    """Find the language model among the variables of a checkpoint.

    The slots of optimizers, which are named after their variables, and everything outside the model's scope are left
    out.

    Args:
        where: The checkpoint, for the message.
        names: The names of all variables.

    Returns:
        The layout of the model.

    Raises:
        InputError: There is no such model or more than one, or it has variables that bilm-tf's models do not have.
    """
    known = set(names)
    split = {name: parts for name in sorted(known) if (parts := _IN_MODEL.fullmatch(name))}
    scopes = sorted({parts["scope"] for parts in split.values() if _LSTM.fullmatch(parts["name"])})
    if len(scopes) != 1:
        expected = "expected those of bilm-tf, such as lm/RNN_0/rnn/multi_rnn_cell/cell_0/lstm_cell/kernel"
        found = f"models in {' and '.join(scopes[:3])}" if scopes else f"variables such as {_some(known)}"
        raise InputError(where, f"found {found}, {expected if not scopes else 'expected one'}")
    variables: dict[str, str] = {}
    for name, parts in split.items():
        if parts["scope"] != scopes[0]:
            continue
        dataset = dataset_name(parts["name"])
        if dataset is None and name.rpartition("/")[0] in known:  # an optimizer's slot
            continue
        if dataset is None:
            raise InputError(where, f"found the variable {name}, expected those of bilm-tf's language models only")
        if dataset in variables:
            raise InputError(where, f"found both {variables[dataset]} and {name}, expected one of them")
        variables[dataset] = name
    return Layout(scopes[0], variables)


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:3]) or "none"
