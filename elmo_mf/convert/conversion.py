"""Convert the variables of a bilm-tf checkpoint to an ELMo with its softmax and vocabulary."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from elmo_mf.bilm.checkpoint import N_CHARACTERS, cell_group, char_cnn_shapes, write_weights
from elmo_mf.bilm.options import BilmOptions, CharCnnOptions, WordTableOptions
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.bilm.weights import GATES, Array, BilmWeights, LstmWeights, Target
from elmo_mf.convert.layout import SOFTMAX_BIAS, SOFTMAX_WEIGHT, TABLE, Layout, find_layout
from elmo_mf.convert.tf_checkpoint import Checkpoint
from elmo_mf.errors import InputError, absent
from elmo_mf.io import write_json
from elmo_mf.pretrain import SOFTMAX_FILE, VOCABULARY_FILE, softmax_of, write_softmax
from elmo_mf.storage.numbers import show_shape

_CHARACTERS = "char_embed"
_PREDICTION_CHARACTERS = 262  # with the mask, which bilm-tf adds after training


@dataclass(frozen=True)
class Conversion:
    """A checkpoint that fits its options and its vocabulary.

    Attributes:
        checkpoint: Where the numbers are.
        layout: Which variables are read.
        options: The options of the ELMo, as they are written.
        vocabulary: The words of the softmax and of a word table; None if there is neither.
        shapes: The shape of each dataset that is read.
    """

    checkpoint: Checkpoint
    layout: Layout
    options: BilmOptions
    vocabulary: Vocabulary | None
    shapes: dict[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        """Number of numbers that are written."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def has_softmax(self) -> bool:
        """Whether a softmax is written."""
        return SOFTMAX_WEIGHT in self.shapes

    @property
    def softmax(self) -> Literal["full", "sampled"]:
        """The softmax that bilm-tf used in training; both are evaluated in full."""
        return "sampled" if self.options.extra.get("sample_softmax", True) else "full"

    def read(self, dataset: str) -> Array:
        """Read the variable of a dataset, in float32.

        Raises:
            InputError: See `Checkpoint.read`.
        """
        return self.checkpoint.read(self.layout.variables[dataset], self.shapes[dataset])


def match_variables(
    checkpoint: Checkpoint, options: BilmOptions, vocabulary: Vocabulary | None, without_softmax: bool = False
) -> Conversion:
    """Find the variables of a model, and check them against its options before anything is read.

    Args:
        checkpoint: The checkpoint.
        options: Those that the model was trained with.
        vocabulary: Its words, in the order of the file that it was trained with. None to leave the softmax out, which a
            word-level model does not allow.
        without_softmax: Whether to leave the softmax of a word-level model out. Defaults to False.

    Returns:
        The conversion, of which nothing is read yet.

    Raises:
        InputError: The checkpoint has no such model, a variable is missing, surplus or of another shape, or the
            vocabulary is missing or has another number of words.
    """
    layout = find_layout(str(checkpoint.path), checkpoint.shapes)
    if options.extra.get("bidirectional") is False:
        raise InputError(checkpoint.path, "found options with bidirectional false, expected true, as for every ELMo")
    if options.extra.get("share_embedding_softmax") is True:
        layout = layout.with_shared_softmax()
    shapes = _token_layer_shapes(checkpoint, layout, options) | _lstm_shapes(options)
    if isinstance(options.token_layer, WordTableOptions):
        _check_words(checkpoint, vocabulary, options.token_layer.n_words, "the n_tokens_vocab of the options")
    if vocabulary is not None and not without_softmax:
        n_words = _n_words(checkpoint, layout, options)
        _check_words(checkpoint, vocabulary, n_words, f"the rows of {layout.variables[SOFTMAX_WEIGHT]}")
        shapes |= {SOFTMAX_WEIGHT: (n_words, options.lstm.projection_dim), SOFTMAX_BIAS: (n_words,)}
    _check_variables(checkpoint, layout, shapes)
    if isinstance(options.token_layer, CharCnnOptions):
        characters = replace(options.token_layer, n_characters=_PREDICTION_CHARACTERS)
        options = replace(options, token_layer=characters)
    return Conversion(checkpoint, layout, options, vocabulary, shapes)


def _check_words(checkpoint: Checkpoint, vocabulary: Vocabulary | None, n_words: int, which: str) -> None:
    if vocabulary is None:
        raise InputError("vocabulary", absent(f"the {n_words:,} words of {checkpoint.path}, {which}"))
    if len(vocabulary) != n_words:
        raise InputError(
            "vocabulary", f"found {len(vocabulary):,} words, expected the {n_words:,} of {checkpoint.path}, {which}"
        )


def _token_layer_shapes(checkpoint: Checkpoint, layout: Layout, options: BilmOptions) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the character CNN or word table; bilm-tf omits a projection that keeps the width."""
    p = options.lstm.projection_dim
    if isinstance(options.token_layer, WordTableOptions):
        return {TABLE: (options.token_layer.n_words, p)}
    cnn, shapes = options.char_cnn, char_cnn_shapes(options)
    if cnn.n_filters == p:
        shapes = {name: shape for name, shape in shapes.items() if not name.startswith("CNN_proj/")}
    characters = layout.variables.get(_CHARACTERS)
    if characters is not None and checkpoint.shapes[characters][:1] == (N_CHARACTERS + 1,):
        shapes[_CHARACTERS] = (N_CHARACTERS + 1, cnn.embedding_dim)
    return shapes


def _lstm_shapes(options: BilmOptions) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the LSTMs; without a projection, the state has the width of the cell."""
    n, p = options.lstm.dim, options.lstm.projection_dim
    shapes: dict[str, tuple[int, ...]] = {}
    for direction in (0, 1):
        for layer in range(options.lstm.n_layers):
            group = cell_group(direction, layer)
            shapes |= {f"{group}/W_0": (2 * p, GATES * n), f"{group}/B": (GATES * n,)}
            if n != p:
                shapes[f"{group}/W_P_0"] = (n, p)
    return shapes


def _n_words(checkpoint: Checkpoint, layout: Layout, options: BilmOptions) -> int:
    if SOFTMAX_WEIGHT not in layout.variables:
        raise InputError(checkpoint.path, f"found no {layout.scope}{SOFTMAX_WEIGHT}, expected the vocabulary's softmax")
    shape = checkpoint.shapes[layout.variables[SOFTMAX_WEIGHT]]
    p = options.lstm.projection_dim
    if len(shape) != 2 or shape[1] != p:
        name, expected = layout.variables[SOFTMAX_WEIGHT], show_shape((-1, p))
        raise InputError(
            checkpoint.path, name, f"found shape {show_shape(shape)}, expected {expected} as in the options"
        )
    return shape[0]


def _check_variables(checkpoint: Checkpoint, layout: Layout, shapes: dict[str, tuple[int, ...]]) -> None:
    for dataset, shape in shapes.items():
        if dataset not in layout.variables:
            raise InputError(
                checkpoint.path,
                f"found no {layout.scope}{dataset} under any of its names, expected shape "
                f"{show_shape(shape)} as in the options",
            )
        checkpoint.check_shape(layout.variables[dataset], shape)
    surplus = _others(layout, shapes)
    if surplus:
        expected = "only the variables that the options imply"
        raise InputError(checkpoint.path, f"found a surplus {surplus[0]}, expected {expected}")
    checkpoint.check_size([layout.variables[dataset] for dataset in shapes])


def _others(layout: Layout, shapes: Iterable[str]) -> list[str]:
    """Return the encoder's variables that do not occur in a model with these options."""
    kept = {*shapes, SOFTMAX_WEIGHT, SOFTMAX_BIAS}
    return [variable for dataset, variable in sorted(layout.variables.items()) if dataset not in kept]


def convert(conversion: Conversion, folder: Path, dtype: str = "float32") -> None:
    """Write `options.json`, `weights.hdf5` and, where there are such, `softmax.hdf5` and `vocabulary.txt`.

    Args:
        conversion: What to convert.
        folder: Where to write; the staging folder of `elmo_mf.io.atomic_files`, so that the files appear together.
        dtype: Type of the stored numbers, `float32` or `float16`. Defaults to float32, which changes none.

    Raises:
        InputError: A variable is damaged, or has numbers that are not finite or too large for `dtype`.
    """
    options, vocabulary = conversion.options, conversion.vocabulary
    write_weights(folder / "weights.hdf5", _weights(conversion), dtype, options.history)
    write_json(folder / "options.json", options.to_dict())
    if vocabulary is not None:
        vocabulary.save(folder / VOCABULARY_FILE)
    if vocabulary is not None and conversion.has_softmax:
        kind, width = conversion.softmax, options.lstm.projection_dim
        softmax = softmax_of(kind, conversion.read(SOFTMAX_WEIGHT), conversion.read(SOFTMAX_BIAS))
        write_softmax(folder / SOFTMAX_FILE, softmax, kind, width, len(vocabulary), dtype)


def _weights(conversion: Conversion) -> BilmWeights:
    layers = range(conversion.options.lstm.n_layers)
    lstms = {(d, k): _lstm(conversion, cell_group(d, k)) for d in (0, 1) for k in layers}
    if TABLE in conversion.shapes:
        return BilmWeights({TABLE: conversion.read(TABLE)}, lstms, conversion.vocabulary)
    return BilmWeights(_char_cnn(conversion), lstms)


def _char_cnn(conversion: Conversion) -> dict[str, Array]:
    arrays = {name: conversion.read(name) for name in conversion.shapes if name.startswith((_CHARACTERS, "CNN"))}
    characters = arrays[_CHARACTERS]
    if len(characters) > N_CHARACTERS:  # bilm-tf's inference graph puts the mask's row of zeros first
        if characters[0].any():
            where = f"{conversion.checkpoint.path}: {conversion.layout.variables[_CHARACTERS]}"
            raise InputError(where, "found a first row with other numbers than zero, expected zeros for the mask")
        arrays[_CHARACTERS] = characters[1:]
    return arrays


def _lstm(conversion: Conversion, group: str) -> LstmWeights:
    p = conversion.options.lstm.projection_dim
    stacked = conversion.read(f"{group}/W_0")
    matrices: dict[Target, Array] = {"input": stacked[:p].T, "recurrent": stacked[p:].T}
    if f"{group}/W_P_0" in conversion.shapes:
        matrices["projection"] = conversion.read(f"{group}/W_P_0").T
    weights = {target: np.ascontiguousarray(matrix) for target, matrix in matrices.items()}
    return LstmWeights(dict(weights), conversion.read(f"{group}/B"))
