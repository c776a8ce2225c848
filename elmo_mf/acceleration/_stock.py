"""Options and weights of AllenNLP's own encoder, from a model's parameters alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from allennlp.modules.elmo import Elmo, _ElmoBiLm
from torch import Tensor, nn

from elmo_mf.bilm.checkpoint import cell_group, char_cnn_shapes
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import HIGHWAY_GATES, Array, BilmWeights, LstmWeights, reorder_gates, reorder_rows
from elmo_mf.errors import InputError, absent
from elmo_mf.storage import hdf5_file

ENCODER = "_elmo_lstm"
"""Attribute of AllenNLP's `Elmo` that holds its encoder."""
_CHARACTERS = "_token_embedder._char_embedding_weights"
_CONVOLUTION = re.compile(r"_token_embedder\.char_conv_(\d+)\.weight")
_HIGHWAY = re.compile(r"_token_embedder\._highways\._layers\.(\d+)\.weight")
_LAYER = re.compile(r"_elmo_lstm\.forward_layer_(\d+)\.input_linearity\.weight")
_NAMES = {"input": "input_linearity", "recurrent": "state_linearity", "projection": "state_projection"}
_DIRECTIONS = ("forward", "backward")
_ORDER = (0, 2, 1, 3)  # between PyTorch's gates i, f, g, o and TensorFlow's i, g, f, o, either way
_FORGET = 2
Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class StockSettings:
    """Settings that an encoder's parameters do not show. The defaults are those of every published ELMo.

    Attributes:
        cell_clip: Bound of the memory cells; None for none.
        proj_clip: Bound of the states; None for none.
        activation: Activation of the character CNN's convolutions.
    """

    cell_clip: float | None = 3.0
    proj_clip: float | None = 3.0
    activation: str = "relu"

    @classmethod
    def of_options(cls, options: BilmOptions) -> StockSettings:
        """Take the settings from the options of a checkpoint."""
        return cls(options.lstm.cell_clip, options.lstm.proj_clip, options.char_cnn.activation)

    @classmethod
    def of_module(cls, encoder: _ElmoBiLm) -> StockSettings:
        """Take the settings from an encoder."""
        lstm = encoder._elmo_lstm.forward_layer_0
        activation = encoder._token_embedder._options["char_cnn"]["activation"]
        return cls(lstm.memory_cell_clip_value or None, lstm.state_projection_clip_value or None, activation)


def stock_elmos(model: nn.Module) -> dict[str, Elmo]:
    """Find the modules `Elmo` of a model that run AllenNLP's encoder, each once, by their path in the model."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, Elmo) and isinstance(getattr(module, ENCODER), _ElmoBiLm)
    }


def encoder_prefixes(names: Iterator[str] | Sequence[str]) -> list[str]:
    """Find the prefixes, each ending in a dot, under which a state dict holds AllenNLP's encoders."""
    return [name.removesuffix(_CHARACTERS) for name in names if name.endswith(f"{ENCODER}.{_CHARACTERS}")]


def options_of(shapes: Shapes, settings: StockSettings, where: str) -> BilmOptions:
    """Derive the options of an encoder from the shapes of its parameters.

    Args:
        shapes: Shapes by name, as in the state dict of `_ElmoBiLm`.
        settings: What the shapes do not show.
        where: Place of the encoder, for errors.

    Raises:
        InputError: A parameter is missing, or its shape is impossible.
    """
    filters = [shape for _, shape in sorted(_matches(_CONVOLUTION, shapes).items())]
    layers = len(_matches(_LAYER, shapes))
    try:
        (_, characters), (projection, _) = shapes[_CHARACTERS], shapes["_token_embedder._projection.weight"]
        (gates, _) = shapes[f"_elmo_lstm.forward_layer_0.{_NAMES['input']}.weight"]
        raw = {
            "lstm": {
                "dim": gates // 4,
                "projection_dim": projection,
                "n_layers": layers,
                "cell_clip": settings.cell_clip,
                "proj_clip": settings.proj_clip,
                "use_skip_connections": True,
            },
            "char_cnn": {
                "embedding": {"dim": characters},
                "filters": [[width, number] for number, _, width in filters],
                "n_highway": len(_matches(_HIGHWAY, shapes)),
                "activation": settings.activation,
                "n_characters": 262,
                "max_characters_per_token": 50,
            },
        }
    except KeyError as error:
        raise InputError(where, error.args[0], absent("a parameter that every ELMo has")) from None
    except ValueError:
        raise InputError(where, "found parameters of other shapes, expected those of an ELMo") from None
    return BilmOptions.from_dict(raw, where)


def _matches(pattern: re.Pattern[str], shapes: Shapes) -> dict[int, Sequence[int]]:
    return {int(match[1]): shape for name, shape in shapes.items() if (match := pattern.fullmatch(name))}


def weights_of(state: Mapping[str, Tensor], options: BilmOptions) -> BilmWeights:
    """Convert the parameters of an encoder.

    Args:
        state: State dict of `_ElmoBiLm`.
        options: Its options.

    Raises:
        InputError: A value is NaN or infinite.
    """

    def array(name: str) -> Array:
        values: Array = np.array(state[name].detach().cpu().float().numpy())
        if not np.isfinite(values).all():
            raise InputError(name, "found NaN or infinity, expected finite numbers")
        return values

    cnn = "_token_embedder."
    arrays = {"char_embed": array(_CHARACTERS)[1:]}  # AllenNLP's first row is that of padding
    for k in range(len(options.char_cnn.filters)):
        arrays[f"CNN/W_cnn_{k}"] = array(f"{cnn}char_conv_{k}.weight").transpose(2, 1, 0)[None]
        arrays[f"CNN/b_cnn_{k}"] = array(f"{cnn}char_conv_{k}.bias")
    for k in range(options.char_cnn.n_highway):
        for part, prefix in (("weight", "W"), ("bias", "b")):
            transform, carry = np.split(array(f"{cnn}_highways._layers.{k}.{part}"), len(HIGHWAY_GATES))
            arrays[f"CNN_high_{k}/{prefix}_transform"] = transform.T
            arrays[f"CNN_high_{k}/{prefix}_carry"] = -carry.T  # AllenNLP computes g x + (1 - g) f(x)
    arrays["CNN_proj/W_proj"] = array(f"{cnn}_projection.weight").T
    arrays["CNN_proj/b_proj"] = array(f"{cnn}_projection.bias")
    lstms = {}
    for direction, name in enumerate(_DIRECTIONS):
        for layer in range(options.lstm.n_layers):
            cell = f"_elmo_lstm.{name}_layer_{layer}"
            matrices: dict[Any, Any] = {target: array(f"{cell}.{theirs}.weight") for target, theirs in _NAMES.items()}
            for target in ("input", "recurrent"):
                matrices[target] = reorder_gates(matrices[target], _ORDER)
            bias = reorder_rows(array(f"{cell}.state_linearity.bias"), _ORDER)
            np.split(bias, 4)[_FORGET][:] -= 1
            lstms[direction, layer] = LstmWeights(matrices, bias)
    return BilmWeights(arrays, lstms)


def write_placeholder(path: Path, options: BilmOptions) -> None:
    """Write a weight file of zeros, from which AllenNLP builds an encoder whose parameters are loaded afterwards.

    The zeros take no space: HDF5 allocates nothing for data that is never written.
    """
    p, n = options.lstm.projection_dim, options.lstm.dim
    shapes: dict[str, tuple[int, ...]] = dict(char_cnn_shapes(options))
    for direction in range(len(_DIRECTIONS)):
        for layer in range(options.lstm.n_layers):
            group = cell_group(direction, layer)
            shapes |= {f"{group}/W_0": (2 * p, 4 * n), f"{group}/B": (4 * n,), f"{group}/W_P_0": (n, p)}
    with hdf5_file(path) as file:
        for name, shape in shapes.items():
            file.create_dataset(name, shape, "f4")
