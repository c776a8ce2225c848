"""ELMo's HDF5 layout: read with every shape checked against the options, and written atomically.

The official groups are those of bilm-tf (`dump_weights`), which AllenNLP reads too. bilm-tf omits `W_P_0` if `dim` is
`projection_dim`, and `CNN_proj` if the filters add up to `projection_dim`. A checkpoint may do the same: its LSTM then
has no projection, or its token vectors are the outputs of the highway layers.

A factored checkpoint keeps the layout. For a factored matrix `X` it has `X_left` and `X_right` with `X_left @ X_right`
close to `X`, in the orientation of `X` in the file (inputs first); `X_left` has 4 r columns if each gate has its own
factors. A pruned matrix is `X_pruned`, zeros included. `W_0`, which holds the input rows above the recurrent rows, is
factored as a whole (the target `joint`), or split into `W_0_input` and `W_0_recurrent`, each dense, factored or pruned.
A matrix may be int8 numbers, which the dataset `X_scale` turns into its own: each is multiplied by the scale of its
entry in the last axis, an output or, in a left factor, a rank. Such a file has its other numbers in float16. With
scales of two axes, each belongs to 32 entries of the first axis too, and the numbers are from -7 to 7, which a filter
of HDF5 packs to four bits.
An LSTM's group may hold `primed_h` and `primed_c`, the starting state of the state policy `primed`. In a highway layer,
`W_left` and `W_right` are the factors of `W_carry` and `W_transform` side by side.

A word-level ELMo has the dataset `embedding` (words, p) in place of the character CNN's. Its words are in another file.
A Unicode CNN has `embedding` (words, word_dim) in addition to the character CNN's datasets. The rows of `char_embed`
are the characters in the options, and those of `CNN_proj/W_proj` belong to the word's vector, then to the filters. Its
words are in `vocabulary.txt`, one per line, white space included.
"""

from __future__ import annotations

import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from elmo_mf.bilm.checkpoint_files import VOCABULARIES, vocabulary_beside
from elmo_mf.bilm.history import History
from elmo_mf.bilm.options import BilmOptions, CharCnnOptions, UnicodeCnnOptions
from elmo_mf.bilm.unicode_ids import read_words
from elmo_mf.bilm.vocabulary import Vocabulary, read_vocabulary
from elmo_mf.bilm.weights import (
    GATES,
    HIGHWAY_GATES,
    JOINT,
    STACKED,
    Array,
    BilmWeights,
    Factors,
    LstmWeights,
    Matrix,
    Pruned,
    Target,
    with_highway,
)
from elmo_mf.errors import InputError, one_of
from elmo_mf.io import atomic_path, check_settled
from elmo_mf.storage import hdf5_file
from elmo_mf.storage.numbers import (
    GROUP,
    NumbersFile,
    as_stored,
    scaled,
    show_shape,
    whole_numbers,
    write_in_four_bits,
    write_numbers,
    write_rounded,
)

N_CHARACTERS = 261  # rows of `char_embed`: 256 bytes and 5 special characters; the mask's row 0 is not stored
FLOAT_DTYPES = ("float16", "float32")
ROUNDED_DTYPES = ("int4", "int8")
DTYPES = (*ROUNDED_DTYPES, *FLOAT_DTYPES)
_HISTORY = "compressions"  # attribute: a digest of each, as a JSON list
_STATES = ("primed_h", "primed_c")
_NAMES: dict[Target, str] = {
    JOINT: "W_0",
    "input": "W_0_input",
    "recurrent": "W_0_recurrent",
    "projection": "W_P_0",
}
_PROJECTION = "CNN_proj"
_TABLE = "embedding"
_FORMS = ("", "_left", "_right", "_pruned")


def char_cnn_shapes(options: BilmOptions) -> dict[str, tuple[int, ...]]:
    """Return the shape of every dataset of the character CNN."""
    return _cnn_shapes(options.char_cnn, N_CHARACTERS, options.lstm.projection_dim)


def _cnn_shapes(cnn: CharCnnOptions, n_characters: int, p: int) -> dict[str, tuple[int, ...]]:
    n = cnn.n_filters
    shapes: dict[str, tuple[int, ...]] = {"char_embed": (n_characters, cnn.embedding_dim)}
    for index, (width, number) in enumerate(cnn.filters):
        shapes[f"CNN/W_cnn_{index}"] = (1, width, cnn.embedding_dim, number)
        shapes[f"CNN/b_cnn_{index}"] = (number,)
    for index in range(cnn.n_highway):
        for gate in HIGHWAY_GATES:
            shapes[f"CNN_high_{index}/W_{gate}"] = (n, n)
            shapes[f"CNN_high_{index}/b_{gate}"] = (n,)
    return shapes | {f"{_PROJECTION}/W_proj": (n, p), f"{_PROJECTION}/b_proj": (p,)}


def zero_weights(options: BilmOptions) -> BilmWeights:
    """Return zeros, which take no memory, in the shapes of a dense ELMo: for checks before its weights are read.

    Args:
        options: Sizes.
    """
    n, p = options.lstm.dim, options.lstm.projection_dim
    shapes: dict[Target, tuple[int, ...]] = {
        "input": (GATES * n, p), "recurrent": (GATES * n, p), "projection": (p, n)
    }  # fmt: skip
    lstm = LstmWeights({target: _zeros(shape) for target, shape in shapes.items()}, _zeros((GATES * n,)))
    token_layer = {name: _zeros(shape) for name, shape in _layout(options).shapes().items()}
    return BilmWeights(token_layer, dict.fromkeys(itertools.product((0, 1), range(options.lstm.n_layers)), lstm))


def _zeros(shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(np.float32(0), shape)


def cell_group(direction: int, layer: int) -> str:
    """Return the HDF5 group of one layer's LSTM.

    Args:
        direction: 0 for forward, 1 for backward.
        layer: Number of the layer, counted from 0.
    """
    return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"


def read_weights(path: str | Path, options: BilmOptions, vocabulary: str | Path | None = None) -> BilmWeights:
    """Read and check a checkpoint, official or factored.

    Args:
        path: HDF5 file.
        options: Sizes, from the checkpoint's `options.json`.
        vocabulary: The vocabulary of a word table or a Unicode CNN; by default the one in the folder of the weights.
            Unused otherwise.

    Returns:
        The weights in float32, dense or factored as they are stored.

    Raises:
        InputError: The file is missing, not HDF5 or truncated; a dataset is missing, surplus, of another shape or dtype
            than `options` asks for, or holds NaN or infinity; or the vocabulary is missing or has other words than the
            table has rows.

    Examples:
        >>> from elmo_mf.bilm import BilmOptions, read_weights
        >>> from elmo_mf.resources import demo_options, demo_weights
        >>> options = BilmOptions.from_file(demo_options())
        >>> weights = read_weights(demo_weights(), options)
        >>> forward, backward = weights.lstms[0, 0], weights.lstms[1, 0]
        >>> sorted(forward.matrices)
        ['input', 'projection', 'recurrent']
    """
    with stored_weights(path, options, vocabulary) as stored:
        return BilmWeights(stored.token_layer, dict(stored.lstms), stored.vocabulary)


@contextmanager
def stored_weights(
    path: str | Path, options: BilmOptions, vocabulary: str | Path | None = None
) -> Iterator[StoredWeights]:
    """Open a checkpoint, of which parts are read when they are used, so that not all have to be in memory at once.

    Args:
        path: See `read_weights`.
        options: See `read_weights`.
        vocabulary: See `read_weights`.

    Raises:
        InputError: See `read_weights`; on a dataset, when it is used.
    """
    path = Path(path)
    check_settled(path.parent)
    layout = _layout(options)
    words = layout.vocabulary(path, None if vocabulary is None else Path(vocabulary))
    with _Reader(path, "weight file", "HDF5 in the official layout or factored") as reader:
        reader.reject_surplus(layout.surplus() | _surplus_layers(options))
        reader.reject_other_history(options)
        reader.check_size(_all_names(options, layout))
        yield StoredWeights(reader, layout, words)


class StoredWeights:
    """The weights in an open checkpoint. They have the attributes of `BilmWeights`, which are read at each use.

    Attributes:
        lstms: See `BilmWeights`.
        vocabulary: See `BilmWeights`.
    """

    def __init__(self, reader: _Reader, layout: _Layout, vocabulary: Vocabulary | None) -> None:
        self._reader, self._layout = reader, layout
        self.lstms: Mapping[tuple[int, int], LstmWeights] = _StoredLstms(reader, layout.options)
        self.vocabulary = vocabulary

    @property
    def token_layer(self) -> dict[str, Array]:
        """See `BilmWeights`."""
        return self._layout.read(self._reader)

    def scales(self) -> dict[str, Array]:
        """Read the scales of all matrices that are stored in int8 or four bits, by the names of their datasets."""
        names = filter(self._reader.has, _all_names(self._layout.options, self._layout))
        in_int8 = (name for name in names if self._reader.dtype(name) == "int8")
        return {name: self._reader.scales(name) for name in in_int8}


class _StoredLstms(Mapping[tuple[int, int], LstmWeights]):
    def __init__(self, reader: _Reader, options: BilmOptions) -> None:
        self._reader, self._options = reader, options

    def __getitem__(self, key: tuple[int, int]) -> LstmWeights:
        return _read_lstm(self._reader, cell_group(*key), self._options)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return itertools.product((0, 1), range(self._options.lstm.n_layers))

    def __len__(self) -> int:
        return 2 * self._options.lstm.n_layers


def _all_names(options: BilmOptions, layout: _Layout) -> Iterator[str]:
    """Every dataset that a checkpoint may have."""
    yield from layout.names()
    for direction in (0, 1):
        for layer in range(options.lstm.n_layers):
            names = ("B", *_STATES, *(f"{name}{form}" for name in _NAMES.values() for form in _FORMS))
            yield from (f"{cell_group(direction, layer)}/{name}" for name in names)


def _surplus_layers(options: BilmOptions) -> dict[str, str]:
    n_layers = options.lstm.n_layers
    return {f"RNN_{direction}/RNN/MultiRNNCell/Cell{n_layers}": f"{n_layers} layers" for direction in (0, 1)}


class _Layout(ABC):
    """The datasets of a token layer."""

    def __init__(self, options: BilmOptions) -> None:
        self.options = options

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every dataset of a dense token layer."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Every dataset that the token layer may have."""

    @abstractmethod
    def read(self, reader: _Reader) -> dict[str, Array]:
        """Read the datasets."""

    @abstractmethod
    def vocabulary(self, weights: Path, given: Path | None) -> Vocabulary | None:
        """Read the words of the token layer, if it has any of its own."""

    def surplus(self) -> dict[str, str]:
        """Datasets and groups that exist only in a larger layer, with the corresponding option."""
        return {}


class _CharCnnLayout(_Layout):
    @property
    def cnn(self) -> CharCnnOptions:
        return self.options.char_cnn

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return char_cnn_shapes(self.options)

    def names(self) -> Iterator[str]:
        yield from self.shapes()
        layers = range(self.cnn.n_highway)
        yield from (f"CNN_high_{layer}/W{form}" for layer in layers for form in ("_left", "_right"))

    def read(self, reader: _Reader) -> dict[str, Array]:
        shapes, n = self.shapes(), self.cnn.n_filters
        without = shapes[f"{_PROJECTION}/W_proj"] == (self.options.lstm.projection_dim,) * 2
        if without and not reader.has(_PROJECTION):
            shapes = {name: shape for name, shape in shapes.items() if not name.startswith(_PROJECTION)}
        factored = [k for k in range(self.cnn.n_highway) if reader.has(f"CNN_high_{k}/W_left")]
        left_out = [f"CNN_high_{layer}/W_{gate}" for layer in factored for gate in HIGHWAY_GATES]
        arrays = {name: reader.read(name, shape) for name, shape in shapes.items() if name not in left_out}
        for layer in factored:
            arrays = with_highway(arrays, layer, reader.read_matrix(f"CNN_high_{layer}/W", (n, 2 * n)))
        return arrays

    def vocabulary(self, weights: Path, given: Path | None) -> Vocabulary | None:
        return None

    def surplus(self) -> dict[str, str]:
        cnn = self.cnn
        return {
            f"CNN/W_cnn_{len(cnn.filters)}": f"{len(cnn.filters)} filters",
            f"CNN_high_{cnn.n_highway}": f"{cnn.n_highway} highway layers",
        }


class _WordTableLayout(_Layout):
    def __init__(self, options: BilmOptions, n_words: int) -> None:
        super().__init__(options)
        self.n_words = n_words

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {_TABLE: (self.n_words, self.options.lstm.projection_dim)}

    def names(self) -> Iterator[str]:
        yield _TABLE

    def read(self, reader: _Reader) -> dict[str, Array]:
        return {name: reader.read(name, shape) for name, shape in self.shapes().items()}

    def vocabulary(self, weights: Path, given: Path | None) -> Vocabulary:
        return _words(weights, given, self.n_words, read_vocabulary, "a word-level ELMo")


class _UnicodeCnnLayout(_CharCnnLayout):
    def __init__(self, options: BilmOptions, sizes: UnicodeCnnOptions) -> None:
        super().__init__(options)
        self.sizes = sizes

    @property
    def cnn(self) -> CharCnnOptions:
        return self.sizes.cnn

    def shapes(self) -> dict[str, tuple[int, ...]]:
        sizes, p = self.sizes, self.options.lstm.projection_dim
        shapes = _cnn_shapes(sizes.cnn, len(sizes.characters), p)
        projection = {f"{_PROJECTION}/W_proj": (sizes.word_dim + sizes.cnn.n_filters, p)}
        return shapes | projection | {_TABLE: (sizes.n_words, sizes.word_dim)}

    def vocabulary(self, weights: Path, given: Path | None) -> Vocabulary:
        return _words(weights, given, self.sizes.n_words, read_words, "a Unicode CNN")


def _words(
    weights: Path, given: Path | None, n_words: int, read: Callable[[Path], Vocabulary], whose: str
) -> Vocabulary:
    path = given or vocabulary_beside(weights)
    if path is None:
        expected = f"the vocabulary of {whose}: {', '.join(VOCABULARIES)}, or another that is given"
        raise InputError(weights.parent, f"found no vocabulary next to {weights.name}, expected {expected}")
    vocabulary = read(path)
    if len(vocabulary) != n_words:
        raise InputError(
            path, f"found {len(vocabulary):,} words, expected {n_words:,}, the n_tokens_vocab of the options"
        )
    return vocabulary


def _layout(options: BilmOptions) -> _Layout:
    sizes = options.token_layer
    if isinstance(sizes, UnicodeCnnOptions):
        return _UnicodeCnnLayout(options, sizes)
    return _CharCnnLayout(options) if isinstance(sizes, CharCnnOptions) else _WordTableLayout(options, sizes.n_words)


def _read_lstm(reader: _Reader, group: str, options: BilmOptions) -> LstmWeights:
    n, p = options.lstm.dim, options.lstm.projection_dim
    matrices: dict[Target, Matrix]
    if reader.is_split(group):
        matrices = {t: reader.read_matrix(f"{group}/{_NAMES[t]}", (p, GATES * n), GATES) for t in STACKED}
    elif reader.has(f"{group}/W_0_left"):
        matrices = {JOINT: reader.read_matrix(f"{group}/W_0", (2 * p, GATES * n), GATES)}
    else:
        stacked = reader.read(f"{group}/W_0", (2 * p, 4 * n))
        matrices = {"input": np.ascontiguousarray(stacked[:p].T), "recurrent": np.ascontiguousarray(stacked[p:].T)}
    if n != p or reader.has_matrix(f"{group}/W_P_0"):
        matrices["projection"] = reader.read_matrix(f"{group}/W_P_0", (n, p))
    primed = None
    h, c = (f"{group}/{name}" for name in _STATES)
    if reader.has(h):
        primed = reader.read(h, (p,)), reader.read(c, (n,))
    return LstmWeights(matrices, reader.read(f"{group}/B", (4 * n,)), primed)


class _Reader(NumbersFile):
    def is_split(self, group: str) -> bool:
        return any(self.has_matrix(f"{group}/{_NAMES[target]}") for target in STACKED)

    def has_matrix(self, name: str) -> bool:
        """Whether a matrix is there: dense, factored or pruned."""
        return any(self.has(f"{name}{form}") for form in _FORMS)

    def read_matrix(self, name: str, shape: tuple[int, int], most_blocks: int = 1) -> Matrix:
        """Read a matrix of `shape` (inputs, outputs), dense, pruned or factored, and transpose it to outputs first."""
        if self.has(f"{name}_pruned"):
            return Pruned(np.ascontiguousarray(self.read(f"{name}_pruned", shape).T))
        if not self.has(f"{name}_left"):
            return np.ascontiguousarray(self.read(name, shape).T)
        left, right = self.read(f"{name}_left", (shape[0], -1)), self.read(f"{name}_right", (-1, shape[1]))
        if left.shape[1] == 0:
            self.fail(f"{name}_left", f"shape {left.shape}", "a rank of 1 or more")
        ranks = sorted({left.shape[1] // blocks for blocks in (1, most_blocks) if left.shape[1] % blocks == 0})
        if right.shape[0] not in ranks:
            shapes = " or ".join(show_shape((rank, shape[1])) for rank in ranks)
            self.fail(f"{name}_right", f"shape {right.shape}", f"{shapes}, as {name}_left has {left.shape[1]} columns")
        return Factors(np.ascontiguousarray(right.T), np.ascontiguousarray(left.T))

    def reject_surplus(self, surplus: Mapping[str, str]) -> None:
        """Reject weights of a larger model, which contain all expected datasets and additional ones."""
        for name, expected in surplus.items():
            if self.has(name):
                self.fail(name, "a surplus group", f"{expected} as the options say")

    def reject_other_history(self, options: BilmOptions) -> None:
        """Reject options of another compression of the same sizes; those of the weights before it are accepted."""
        stored, digests = self.text(_HISTORY), options.history.digests()
        if stored is not None and digests and not stored.startswith(json.dumps(digests)[:-1]):
            found = f"options with a history of {len(digests)} compressions, one of which is not that of these weights"
            raise InputError(self.path, f"found {found}, expected the options.json that was written with them")


def write_weights(
    path: str | Path,
    weights: BilmWeights,
    dtype: str = "float32",
    history: History | None = None,
    scales: Mapping[str, Array] | None = None,
) -> None:
    """Write a checkpoint atomically; dense matrices have the official layout, others the one described above.

    Each dataset has the SHA-256 of its numbers as an attribute, which `read_weights` verifies.

    Args:
        path: HDF5 file.
        weights: What to write.
        dtype: `float32`, `float16`, or `int8` for the matrices with all other numbers in float16; or `int4` for the
            LSTMs' matrices, unless they are pruned, with the others in int8. Defaults to float32.
        history: What was done to the weights, see `BilmOptions.history`; `read_weights` then rejects options
            that say something else. None to record nothing.
        scales: See `StoredWeights`; matrices that are still products with these scales are written with them in it.

    Raises:
        InputError: A value does not fit in `dtype`, or is not a number.
    """
    if dtype not in DTYPES:
        raise InputError("dtype", f"found {dtype}, {one_of(dtype, DTYPES)}")
    with atomic_path(path) as temporary, hdf5_file(temporary, compact=dtype == "int4") as file:
        if history is not None:
            file.attrs[_HISTORY] = json.dumps(history.digests())
        for name, array in _datasets(weights).items():
            where, packing = f"{path}: {name}", "gzip" if name.endswith("_pruned") else None
            known = None if scales is None else scales.get(name)
            if dtype not in ROUNDED_DTYPES or not _is_matrix(name):
                stored = "float16" if dtype in ROUNDED_DTYPES else dtype
                write_numbers(file, name, as_stored(array, stored, where), packing)
            elif dtype == "int4" and is_of_lstm(name) and packing is None:
                write_in_four_bits(file, name, as_stored(array, "float32", where), known)
            else:
                write_rounded(file, name, as_stored(array, "float32", where), packing, known)


def stored_bytes(weights: BilmWeights, dtype: str) -> tuple[int, int]:
    """Count the bytes of the numbers that `write_weights` stores, with the scales of rounded matrices.

    Pruned matrices count in full, although they are written with HDF5's compression; initial states do not count.

    Args:
        weights: The weights.
        dtype: See `write_weights`.

    Returns:
        The bytes of the LSTMs, and of the whole ELMo.
    """
    sizes = stored_sizes(weights, dtype)
    return sum(size for name, size in sizes.items() if is_of_lstm(name)), sum(sizes.values())


def stored_sizes(weights: BilmWeights, dtype: str) -> dict[str, int]:
    """Count the bytes of each dataset's numbers, see `stored_bytes`.

    Args:
        weights: The weights; of their arrays, only the shapes matter.
        dtype: See `write_weights`.

    Returns:
        The bytes by the dataset's name.
    """
    datasets = _datasets(weights)
    return {name: _stored_size(name, array, dtype) for name, array in datasets.items() if not name.endswith(_STATES)}


def is_of_lstm(name: str) -> bool:
    """Whether a dataset is one of the LSTMs', not of the layers before them."""
    return name.startswith("RNN_")


def _stored_size(name: str, array: Array, dtype: str) -> int:
    if dtype not in ROUNDED_DTYPES or not _is_matrix(name):
        return int(array.size) * (4 if dtype == "float32" else 2)
    if dtype == "int4" and is_of_lstm(name) and not name.endswith("_pruned"):
        rows, columns = map(int, array.shape)
        return -(-int(array.size) // 2) + 2 * columns * -(-rows // GROUP)
    return int(array.size) + 4 * int(array.shape[-1])


def _is_matrix(name: str) -> bool:
    """Whether a dataset is that of a product, not a bias, a state or a table."""
    return name.rpartition("/")[2].startswith("W_")


def rounded_to(weights: BilmWeights, scales: Mapping[str, Array]) -> BilmWeights:
    """Return the weights with each matrix rounded to multiples of the scales that it was stored with.

    Args:
        weights: Weights that are close to those of the checkpoint.
        scales: See `StoredWeights`.
    """
    arrays = {name: _rounded(array, scales.get(name)) for name, array in weights.token_layer.items()}
    lstms = {}
    for key, lstm in weights.lstms.items():
        of_lstm = {name.removeprefix(f"{cell_group(*key)}/"): numbers for name, numbers in scales.items()}
        matrices = {target: _rounded_matrix(target, matrix, of_lstm) for target, matrix in lstm.matrices.items()}
        lstms[key] = replace(lstm, matrices=matrices)
    return replace(weights, token_layer=arrays, lstms=lstms)


def _rounded_matrix(target: Target, matrix: Matrix, scales: Mapping[str, Array]) -> Matrix:
    name = _NAMES[target]
    if isinstance(matrix, Factors):
        left, right = _rounded(matrix.left.T, scales.get(f"{name}_right")), scales.get(f"{name}_left")
        return Factors(left.T, _rounded(matrix.right.T, right).T)
    if isinstance(matrix, Pruned):
        return Pruned(_rounded(matrix.values.T, scales.get(f"{name}_pruned")).T)
    if target in STACKED and _NAMES[JOINT] in scales:
        return _rounded_part(matrix.T, scales[_NAMES[JOINT]], target == "recurrent").T
    return _rounded(matrix.T, scales.get(name)).T


def _rounded_part(rows: Array, scales: Array, last: bool) -> Array:
    """Round the first or the last rows of a matrix with these scales, as many as there are others."""
    if scales.ndim == 1:
        return _rounded(rows, scales)
    other = np.zeros_like(rows)
    both = _rounded(np.concatenate([other, rows] if last else [rows, other]), scales)
    return both[len(rows) :] if last else both[: len(rows)]


def _rounded(array: Array, scales: Array | None) -> Array:
    return array if scales is None else scaled(whole_numbers(array, scales), scales)


def _datasets(weights: BilmWeights) -> dict[str, Array]:
    """Return the datasets of a checkpoint by name."""
    arrays = dict(weights.token_layer)
    for (direction, layer), lstm in weights.lstms.items():
        group = cell_group(direction, layer)
        arrays[f"{group}/B"] = lstm.bias
        arrays |= {f"{group}/{name}": array for name, array in _lstm_datasets(lstm).items()}
    return arrays


def _lstm_datasets(lstm: LstmWeights) -> dict[str, Array]:
    matrices = dict(lstm.matrices)
    datasets: dict[str, Array] = {}
    w_x, w_h = (matrices.get(target) for target in STACKED)
    if isinstance(w_x, np.ndarray) and isinstance(w_h, np.ndarray):
        datasets["W_0"] = np.concatenate([w_x.T, w_h.T])
        del matrices["input"], matrices["recurrent"]
    for target, matrix in matrices.items():
        name = _NAMES[target]
        if isinstance(matrix, Factors):
            datasets |= {f"{name}_left": matrix.right.T, f"{name}_right": matrix.left.T}
        elif isinstance(matrix, Pruned):
            datasets[f"{name}_pruned"] = matrix.values.T
        else:
            datasets[name] = matrix.T
    if lstm.primed is not None:
        datasets |= dict(zip(_STATES, lstm.primed, strict=True))
    return datasets
