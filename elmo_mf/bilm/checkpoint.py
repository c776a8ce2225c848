"""ELMo's HDF5 layout: read with every shape checked against the options, and written atomically.

The official groups are those of bilm-tf (`dump_weights`), which AllenNLP reads too. A factored checkpoint keeps the
layout; where a matrix `X` is factored, `X_left` and `X_right` stand in its place with `X_left @ X_right` close to `X`,
in the orientation `X` has in the file (inputs first); `X_left` has 4 r columns where each gate has its own factors. A
pruned matrix is `X_pruned`, zeros included. `W_0`, which holds the input rows above the recurrent rows, is factored as
it lies (the target `joint`), or split into `W_0_input` and `W_0_recurrent`, each dense, factored or pruned. A cell may
hold `primed_h` and `primed_c`, the state that the state policy `primed` starts from. Of a highway layer, `W_left` and
`W_right` stand for `W_carry` and `W_transform` side by side.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import (
    GATES,
    HIGHWAY_GATES,
    JOINT,
    Array,
    BilmWeights,
    Factors,
    LstmWeights,
    Matrix,
    Pruned,
    Target,
    with_highway,
)
from elmo_mf.errors import InputError, missing
from elmo_mf.io import atomic_path, check_settled, hdf5_file

N_CHARACTERS = 261  # rows of `char_embed`: 256 bytes and 5 special characters; the mask's row 0 is not stored
DTYPES = ("float16", "float32")
MOST_NUMBERS = 1 << 28  # in a dataset: what is larger is not read, however small its file
_STACKED: tuple[Target, Target] = ("input", "recurrent")  # the rows of W_0
_NAMES: dict[Target, str] = {
    JOINT: "W_0",
    "input": "W_0_input",
    "recurrent": "W_0_recurrent",
    "projection": "W_P_0",
}
_FORMS = ("", "_left", "_pruned")


def char_cnn_shapes(options: BilmOptions) -> dict[str, tuple[int, ...]]:
    """Every dataset of the character CNN with its shape."""
    cnn = options.char_cnn
    n, p = cnn.n_filters, options.lstm.projection_dim
    shapes: dict[str, tuple[int, ...]] = {"char_embed": (N_CHARACTERS, cnn.embedding_dim)}
    for index, (width, number) in enumerate(cnn.filters):
        shapes[f"CNN/W_cnn_{index}"] = (1, width, cnn.embedding_dim, number)
        shapes[f"CNN/b_cnn_{index}"] = (number,)
    for index in range(cnn.n_highway):
        for gate in HIGHWAY_GATES:
            shapes[f"CNN_high_{index}/W_{gate}"] = (n, n)
            shapes[f"CNN_high_{index}/b_{gate}"] = (n,)
    return shapes | {"CNN_proj/W_proj": (n, p), "CNN_proj/b_proj": (p,)}


def cell_group(direction: int, layer: int) -> str:
    """HDF5 group of one LSTM cell; direction 0 is forward, 1 backward."""
    return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"


def read_weights(path: str | Path, options: BilmOptions) -> BilmWeights:
    """Read and check a checkpoint, official or factored.

    # Raises
    InputError: the file is missing, not HDF5 or truncated; a dataset is missing, surplus, of another shape or dtype
    than `options` asks for, or holds NaN or infinity.
    """
    path = Path(path)
    check_settled(path.parent)
    if not path.is_file():
        raise missing(path, "weight file", "HDF5 in the official layout or factored")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path}: found a file that is truncated or not HDF5 ({_short(error)}), expected ELMo weights"
        ) from None
    with file:
        reader = _Reader(path, file)
        reader.refuse_surplus(options)
        char_cnn = _read_char_cnn(reader, options)
        lstms = {
            (direction, layer): _read_lstm(reader, cell_group(direction, layer), options)
            for direction in (0, 1)
            for layer in range(options.lstm.n_layers)
        }
    return BilmWeights(char_cnn, lstms)


def _read_char_cnn(reader: _Reader, options: BilmOptions) -> dict[str, Array]:
    shapes, n = char_cnn_shapes(options), options.char_cnn.n_filters
    factored = [k for k in range(options.char_cnn.n_highway) if reader.has(f"CNN_high_{k}/W_left")]
    left_out = [f"CNN_high_{layer}/W_{gate}" for layer in factored for gate in HIGHWAY_GATES]
    arrays = {name: reader.read(name, shape) for name, shape in shapes.items() if name not in left_out}
    for layer in factored:
        arrays = with_highway(arrays, layer, reader.read_matrix(f"CNN_high_{layer}/W", (n, 2 * n)))
    return arrays


def _read_lstm(reader: _Reader, group: str, options: BilmOptions) -> LstmWeights:
    n, p = options.lstm.dim, options.lstm.projection_dim
    matrices: dict[Target, Matrix]
    if reader.is_split(group):
        matrices = {t: reader.read_matrix(f"{group}/{_NAMES[t]}", (p, GATES * n), GATES) for t in _STACKED}
    elif reader.has(f"{group}/W_0_left"):
        matrices = {JOINT: reader.read_matrix(f"{group}/W_0", (2 * p, GATES * n), GATES)}
    else:
        stacked = reader.read(f"{group}/W_0", (2 * p, 4 * n))
        matrices = {"input": np.ascontiguousarray(stacked[:p].T), "recurrent": np.ascontiguousarray(stacked[p:].T)}
    matrices["projection"] = reader.read_matrix(f"{group}/W_P_0", (n, p))
    primed = None
    if reader.has(f"{group}/primed_h"):
        primed = reader.read(f"{group}/primed_h", (p,)), reader.read(f"{group}/primed_c", (n,))
    return LstmWeights(matrices, reader.read(f"{group}/B", (4 * n,)), primed)


def is_here(file: h5py.File, name: str) -> bool:
    """Whether a dataset is stored in this file, and not in others of whoever reads it, or nowhere."""
    parts = name.split("/")
    links = (file.get("/".join(parts[: n + 1]), getlink=True) for n in range(len(parts)))
    if not all(isinstance(link, h5py.HardLink) for link in links):
        return False
    dataset = file[name]
    return not dataset.is_virtual and not dataset.external and dataset.id.get_storage_size() > 0


class _Reader:
    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.file = path, file

    def fail(self, name: str, found: str, expected: str) -> None:
        raise InputError(f"{self.path}: {name}: found {found}, expected {expected}")

    def has(self, name: str) -> bool:
        try:
            return name in self.file
        except (OSError, RuntimeError, KeyError) as error:
            raise InputError(
                f"{self.path}: {name}: found an unreadable group ({_short(error)}), expected a dataset"
            ) from None

    def is_split(self, group: str) -> bool:
        return any(self.has(f"{group}/{_NAMES[target]}{form}") for target in _STACKED for form in _FORMS)

    def dataset(self, name: str, expected: str) -> h5py.Dataset:
        if not self.has(name):
            self.fail(name, "nothing", expected)
        try:
            dataset = self.file[name]
        except (OSError, RuntimeError, KeyError) as error:
            self.fail(name, f"an unreadable object ({_short(error)})", expected)
        if not isinstance(dataset, h5py.Dataset):
            self.fail(name, "a group", expected)
        if dataset.dtype.name not in DTYPES:
            self.fail(name, f"dtype {dataset.dtype}", " or ".join(DTYPES))
        if dataset.size and not is_here(self.file, name):
            self.fail(name, "a dataset without data of its own", expected)
        if (dataset.size or 0) > MOST_NUMBERS:
            self.fail(name, f"shape {dataset.shape}", f"at most {MOST_NUMBERS} numbers")
        return dataset

    def read(self, name: str, shape: tuple[int, ...]) -> Array:
        """One dataset as float32; `shape` may leave one length open with -1."""
        dataset = self.dataset(name, f"a dataset of shape {_show(shape)}")
        found = dataset.shape
        if (
            found is None
            or len(found) != len(shape)
            or any(want not in (-1, got) for got, want in zip(found, shape, strict=True))
        ):
            self.fail(name, f"shape {found}", f"{_show(shape)} as the options say")
        try:
            array = dataset[()].astype(np.float32)
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            self.fail(name, f"unreadable data ({_short(error)})", f"shape {_show(shape)}")
        if not np.isfinite(array).all():
            bad = int(np.size(array) - np.isfinite(array).sum())
            self.fail(name, f"{bad} values that are NaN or infinite", "finite numbers")
        return np.asarray(array)

    def read_matrix(self, name: str, shape: tuple[int, int], most_blocks: int = 1) -> Matrix:
        """A dataset of `shape` (inputs, outputs), dense or pruned, or its factors; transposed to outputs first."""
        if self.has(f"{name}_pruned"):
            return Pruned(np.ascontiguousarray(self.read(f"{name}_pruned", shape).T))
        if not self.has(f"{name}_left"):
            return np.ascontiguousarray(self.read(name, shape).T)
        left, right = self.read(f"{name}_left", (shape[0], -1)), self.read(f"{name}_right", (-1, shape[1]))
        if left.shape[1] == 0:
            self.fail(f"{name}_left", f"shape {left.shape}", "a rank of 1 or more")
        ranks = sorted({left.shape[1] // blocks for blocks in (1, most_blocks) if left.shape[1] % blocks == 0})
        if right.shape[0] not in ranks:
            shapes = " or ".join(_show((rank, shape[1])) for rank in ranks)
            self.fail(f"{name}_right", f"shape {right.shape}", f"{shapes}, as {name}_left has {left.shape[1]} columns")
        return Factors(np.ascontiguousarray(right.T), np.ascontiguousarray(left.T))

    def refuse_surplus(self, options: BilmOptions) -> None:
        """Weights of a larger model hold every dataset that smaller options ask for: look one further."""
        n_layers = options.lstm.n_layers
        surplus = {
            f"CNN/W_cnn_{len(options.char_cnn.filters)}": f"{len(options.char_cnn.filters)} filters",
            f"CNN_high_{options.char_cnn.n_highway}": f"{options.char_cnn.n_highway} highway layers",
            f"RNN_0/RNN/MultiRNNCell/Cell{n_layers}": f"{n_layers} layers",
            f"RNN_1/RNN/MultiRNNCell/Cell{n_layers}": f"{n_layers} layers",
        }
        for name, expected in surplus.items():
            if self.has(name):
                self.fail(name, "a surplus group", f"{expected} as the options say")


def write_weights(path: str | Path, weights: BilmWeights, dtype: str = "float32") -> None:
    """Write `weights` to `path`, atomically; dense cells in the official layout, factored ones as described above.

    # Raises
    InputError: a value does not fit in `dtype`.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype: found {dtype}, expected {' or '.join(DTYPES)}")
    arrays = dict(weights.char_cnn)
    for (direction, layer), lstm in weights.lstms.items():
        group = cell_group(direction, layer)
        arrays[f"{group}/B"] = lstm.bias
        arrays |= {f"{group}/{name}": array for name, array in _lstm_datasets(lstm).items()}
    with atomic_path(path) as temporary, hdf5_file(temporary) as file:
        for name, array in arrays.items():
            with np.errstate(over="ignore"):
                stored = array.astype(dtype)
            if not np.isfinite(stored).all():
                raise InputError(f"{path}: {name}: found values beyond {dtype}'s range, expected finite numbers")
            file.create_dataset(name, data=stored, compression="gzip" if name.endswith("_pruned") else None)


def _lstm_datasets(lstm: LstmWeights) -> dict[str, Array]:
    matrices = dict(lstm.matrices)
    datasets: dict[str, Array] = {}
    w_x, w_h = (matrices.get(target) for target in _STACKED)
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
        datasets["primed_h"], datasets["primed_c"] = lstm.primed
    return datasets


def _show(shape: tuple[int, ...]) -> str:
    return (
        "("
        + ", ".join("any" if length == -1 else str(length) for length in shape)
        + ("," if len(shape) == 1 else "")
        + ")"
    )


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:100]
