"""TensorFlow checkpoints: their files, and their variables, which TensorFlow's own reader reads."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from elmo_mf.bilm.weights import Array
from elmo_mf.errors import InputError, absent, instead_of, missing, one_line
from elmo_mf.io import is_regular, read_text
from elmo_mf.progress import stage
from elmo_mf.storage.numbers import as_stored, show_shape

EXPECTED = "a checkpoint of TensorFlow, such as model.ckpt-935588, or the folder of one"
INSTALL = "pip install 'elmo-mf[tensorflow]'"

_INDEX, _GRAPH = ".index", ".meta"
_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
_STATE_FILE = "checkpoint"
_LATEST = re.compile(r'^model_checkpoint_path:\s*"([^"]+)"', re.MULTILINE)
_SAVED_MODEL = Path("variables/variables")
_MOST_STATE = 1_000_000  # bytes
_LEAST_BYTES = 2  # of a number: float16


class Reader(Protocol):
    """The methods used of the reader that `tf.train.load_checkpoint` returns."""

    def get_variable_to_shape_map(self) -> Mapping[str, Sequence[int]]:
        """Return the shapes of all variables."""

    def get_tensor(self, name: str) -> Any:
        """Return the value of a variable, by its name."""


class Checkpoint:
    """The variables of a checkpoint; reader exceptions are raised as `InputError`.

    Args:
        path: What its files' names begin with, see `find_checkpoint`.
        reader: Reads its variables.

    Raises:
        InputError: The checkpoint is damaged.
    """

    def __init__(self, path: Path, reader: Reader) -> None:
        self.path, self._reader = path, reader
        try:
            shapes = reader.get_variable_to_shape_map().items()
            self.shapes = {str(name): tuple(int(size) for size in shape) for name, shape in shapes}
        except Exception as error:  # of any type: the reader is a C++ library's
            raise self._damaged("the names of the variables", error) from None

    def check_size(self, names: Sequence[str]) -> None:
        """Check before reading that the files are large enough for some variables.

        Args:
            names: The names of the variables.

        Raises:
            InputError: They are not.
        """
        numbers = sum(math.prod(self.shapes[name]) for name in names)
        size = sum(file.stat().st_size for file in checkpoint_files(self.path))
        if numbers * _LEAST_BYTES > size:
            raise InputError(
                self.path,
                f"found {numbers:,} numbers in files of {size:,} bytes, expected a checkpoint that is complete",
            )

    def read(self, name: str, shape: tuple[int, ...]) -> Array:
        """Read a variable as float32.

        Args:
            name: Its name.
            shape: Its expected shape.

        Returns:
            The values, in float32.

        Raises:
            InputError: It is missing, damaged or of another shape; or its numbers are no floats, or not finite.
        """
        self.check_shape(name, shape)
        try:
            value = np.asarray(self._reader.get_tensor(name))
        except Exception as error:
            raise self._damaged(name, error) from None
        if value.dtype.name not in ("float16", "float32", "float64"):
            raise InputError(self.path, name, f"found numbers of type {value.dtype}, expected float32")
        bad = value.size - np.count_nonzero(np.isfinite(value))
        if bad:
            raise InputError(self.path, name, f"found {bad} values that are NaN or infinite, expected finite numbers")
        return as_stored(value, "float32", f"{self.path}: {name}")

    def check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Check the shape of a variable.

        Args:
            name: Its name.
            shape: Its expected shape.

        Raises:
            InputError: The variable is missing or has another shape.
        """
        stored = self.shapes.get(name)
        if stored != shape:
            found = None if stored is None else f"shape {show_shape(stored)}"
            raise InputError(self.path, name, instead_of(f"shape {show_shape(shape)} as in the options", found))

    def _damaged(self, what: str, error: Exception) -> InputError:
        return InputError(self.path, what, f"found damaged data ({one_line(error)}), expected {EXPECTED}")


def find_checkpoint(path: Path) -> Path:
    """Return the common prefix of the paths of a checkpoint's files.

    Args:
        path: That prefix; one of the files; the folder in which bilm-tf saved, of which the latest checkpoint is
            taken; or the folder of a SavedModel or of a TF-Hub module.

    Raises:
        InputError: There is no checkpoint, or there are several and none is named as the latest.
    """
    if path.is_dir():
        path = path / _SAVED_MODEL if is_regular(f"{path / _SAVED_MODEL}{_INDEX}") else _latest(path)
    else:
        name = _DATA.sub("", path.name).removesuffix(_INDEX).removesuffix(_GRAPH)
        path = path.with_name(name) if name and is_regular(path) else path
    index = path.with_name(f"{path.name}{_INDEX}") if path.name else path
    if not is_regular(index):
        raise missing(index, "file", EXPECTED)
    if len(checkpoint_files(path)) < 2:
        raise InputError(path, f"found {index.name} and no {path.name}.data-00000-of-00001, expected {EXPECTED}")
    return path


def _latest(folder: Path) -> Path:
    """Return the checkpoint that a folder's state file names as the latest, or the only one."""
    state = folder / _STATE_FILE
    if is_regular(state):
        named = _LATEST.search(read_text(state, "state file", "the name of the latest checkpoint", most=_MOST_STATE))
        if named is None:
            raise InputError(state, "model_checkpoint_path", absent("the name of the latest checkpoint"))
        return folder / Path(named[1]).name  # its folder may be that of another machine
    names = sorted(file.name.removesuffix(_INDEX) for file in folder.glob(f"*{_INDEX}"))
    if len(names) != 1:
        several = f"{len(names)} checkpoints ({', '.join(names[:3])})" if names else "no *.index"
        raise InputError(folder, f"found {several}, expected {'the name of one' if names else EXPECTED}")
    return folder / names[0]


def checkpoint_files(path: Path) -> list[Path]:
    """Return the index and the data files of a checkpoint."""
    parts = sorted(file for file in path.parent.glob("*") if file.name.startswith(path.name))
    data = [file for file in parts if _DATA.fullmatch(file.name.removeprefix(path.name)) and is_regular(file)]
    return [path.with_name(f"{path.name}{_INDEX}"), *data]


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint with TensorFlow.

    Args:
        path: See `find_checkpoint`.

    Returns:
        The checkpoint.

    Raises:
        InputError: TensorFlow is not installed; there is no checkpoint, or it is damaged.
    """
    prefix = find_checkpoint(path)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with stage("loading TensorFlow", 1, "package"), _silent():
            import tensorflow
    except Exception as error:  # an installation can be broken in many ways
        raise InputError(path, f"requires TensorFlow ({one_line(error)}); install it with `{INSTALL}`") from None
    try:
        reader: Reader = tensorflow.train.load_checkpoint(str(prefix))
    except Exception as error:
        raise InputError(prefix, f"found damaged data ({one_line(error)}), expected {EXPECTED}") from None
    return Checkpoint(prefix, reader)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Discard standard error, to which TensorFlow's C++ code writes while it is loaded, whatever its log level."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
