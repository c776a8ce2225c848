"""Contribution of each example to a run's scores, in a file in the folder of the record.

A board compares encoders example by example. The file is a NumPy archive with an array for each split and quantity,
such as `test/score`.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from tokenize import TokenError
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from elmo_mf.errors import InputError, one_line
from elmo_mf.records.identity import Split

Array = npt.NDArray[np.float32]
Quantity = Literal["score", "log_likelihood", "cluster"]
"""An example's contribution to the primary metric, whose mean is the metric; the logarithm of the probability of its
label; and the number of the document that it is from, where examples share documents."""

SUFFIX = ".npz"
MOST_BYTES = 50_000_000
"""Largest size of a file, packed or not."""
_MOST_EXAMPLES = 5_000_000
_DAMAGE = (ValueError, KeyError, EOFError, SyntaxError, TokenError, zipfile.BadZipFile, zlib.error, NotImplementedError,
           MemoryError, OverflowError)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SplitOutputs:
    """The outputs on one split, (examples,) each.

    Attributes:
        score: What each example contributes to the primary metric, whose value is the mean.
        log_likelihood: Natural logarithm of the probability of each label; None where it was not kept.
        cluster: Number of the document of each example, where examples share documents; None where they do not.
    """

    score: Array
    log_likelihood: Array | None = None
    cluster: Array | None = None


@dataclass(frozen=True, eq=False)
class Outputs:
    """The outputs of a run.

    Attributes:
        splits: The outputs by split.
    """

    splits: Mapping[Split, SplitOutputs] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the content of the file; equal outputs give equal bytes on one machine."""
        arrays = {
            f"{split}/{quantity}": values.astype(np.float16 if quantity == "log_likelihood" else np.float32)
            for split, outputs in self.splits.items()
            for quantity in get_args(Quantity)
            if (values := getattr(outputs, quantity)) is not None
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()


def parse_outputs(raw: bytes, sha256: str, where: str) -> Outputs:
    """Check the content of a file of outputs.

    Args:
        raw: The content.
        sha256: The record's hash of it.
        where: Name of the file, for errors.

    Returns:
        The outputs, in float32.

    Raises:
        InputError: The content is not that of the record, or is no file of outputs.
    """
    expected = "the outputs of the record next to it"
    if (computed := hashlib.sha256(raw).hexdigest()) != sha256:
        raise InputError(where, f"found SHA-256 {computed[:16]}, expected {sha256[:16]}, {expected}")
    arrays: dict[Split, dict[str, Array]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
                raise ValueError("too large")
        with np.load(io.BytesIO(raw), allow_pickle=False, max_header_size=10_000) as loaded:
            for name in loaded.files:
                split, quantity = name.split("/")
                arrays.setdefault(_split(split), {})[_quantity(quantity)] = _numbers(loaded[name])
        splits = {split: SplitOutputs(**values) for split, values in arrays.items()}
        if any(len({len(one) for one in values.values()}) != 1 for values in arrays.values()):
            raise ValueError("arrays of several lengths")
    except (*_DAMAGE, TypeError) as error:
        raise InputError(where, f"found no outputs ({one_line(error)}), expected {expected}") from None
    return Outputs(splits)


def _split(name: str) -> Split:
    for split in get_args(Split):
        if name == split:
            return split  # type: ignore[no-any-return]
    raise ValueError(f"a split named {name[:20]!r}")


def _quantity(name: str) -> str:
    if name not in get_args(Quantity):
        raise ValueError(f"a quantity named {name[:20]!r}")
    return name


def _numbers(array: object) -> Array:
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype not in (np.float16, np.float32):
        raise ValueError("an array that is no list of numbers")
    if not 0 < len(array) <= _MOST_EXAMPLES or not np.isfinite(array).all():
        raise ValueError("an array without finite numbers")
    return array.astype(np.float32)
