"""The softmax over words that both directions share, and its file `softmax.hdf5`.

The file is separate from `weights.hdf5`, which keeps the official layout. It holds one dataset per parameter, and the
attributes `kind`, `dim` and `words`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.checkpoint_files import SOFTMAX
from elmo_mf.errors import InputError, one_of
from elmo_mf.io import atomic_path, check_settled
from elmo_mf.pretrain._cross_entropy import cross_entropy
from elmo_mf.pretrain.settings import SOFTMAXES, SoftmaxKind
from elmo_mf.storage import hdf5_file
from elmo_mf.storage.numbers import NumbersFile, as_stored, write_numbers

SOFTMAX_FILE = SOFTMAX
_EXPECTED = "the softmax that elmo-mf pretrain writes next to its weights"
_WEIGHT_AND_BIAS = {"full": ("weight", "bias"), "sampled": ("softmax_w", "softmax_b")}
_ROWS = 256  # whose logits are computed at once: there may be hundreds of thousands of words


class _AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss):
    def forward(self, states: Tensor, words: Tensor) -> Tensor:  # type: ignore[override]
        bounds = [0, *self.cutoffs]
        cluster = torch.bucketize(words, torch.tensor(self.cutoffs[:-1], device=words.device), right=True)
        in_head = torch.where(cluster == 0, words, self.shortlist_size + cluster - 1)
        total = cross_entropy(states, self.head.weight, in_head, self.head.bias)
        for number, pair in enumerate(self.tail, start=1):
            project, output = cast(nn.Sequential, pair)
            rows = (cluster == number).nonzero().squeeze(1)
            loss = cross_entropy(project(states[rows]), cast(Tensor, output.weight), words[rows] - bounds[number])
            total = total + loss
        return total


class _FullSoftmax(nn.Linear):
    def forward(self, states: Tensor, words: Tensor) -> Tensor:  # type: ignore[override]
        return cross_entropy(states, self.weight, words, self.bias)


def word_softmax(kind: SoftmaxKind, dim: int, n_words: int) -> nn.Module:
    """Build a softmax that maps states (rows, dim) and words (rows,) to a summed negative log-likelihood in nats.

    Args:
        kind: `adaptive` (Grave et al. 2017, an exact distribution), `full`, or `sampled` (log-uniform candidates in
            training, the full distribution in evaluation).
        dim: Size of the states.
        n_words: Size of the vocabulary, in which the most frequent words come first.

    Returns:
        The module, with random parameters.
    """
    if kind == "adaptive":
        cutoffs = [cut for cut in (2000, 10000) if cut < n_words - 1] or [n_words // 2]
        return _AdaptiveSoftmax(dim, n_words, cutoffs, div_value=2.0)
    if kind == "full":
        return _FullSoftmax(dim, n_words)
    from elmo_mf.pretrain._sampled_softmax import SampledSoftmax

    return SampledSoftmax(n_words, dim, num_samples=min(4096, n_words - 1), sparse=False)


def word_nats(softmax: nn.Module, states: Tensor, words: Tensor) -> Tensor:
    """Compute the negative log-likelihood of each word under the whole distribution.

    Args:
        softmax: See `word_softmax`.
        states: Its inputs, (rows, dim).
        words: Ids of the words, (rows,).

    Returns:
        In nats, (rows,).
    """
    if isinstance(softmax, nn.AdaptiveLogSoftmaxWithLoss):
        log_likelihoods: Tensor = nn.AdaptiveLogSoftmaxWithLoss.forward(softmax, states, words).output
        return -log_likelihoods
    names = _WEIGHT_AND_BIAS["full" if isinstance(softmax, _FullSoftmax) else "sampled"]
    weight, bias = (getattr(softmax, name) for name in names)
    blocks = [slice(first, first + _ROWS) for first in range(0, len(states), _ROWS)]
    logits = (nn.functional.linear(states[block], weight, bias) for block in blocks)
    losses = [
        nn.functional.cross_entropy(one, words[block], reduction="none")
        for one, block in zip(logits, blocks, strict=True)
    ]
    return torch.cat(losses) if losses else states.new_zeros(0)


def softmax_of(kind: Literal["full", "sampled"], weight: np.ndarray, bias: np.ndarray) -> nn.Module:
    """Build a softmax from its parameters.

    Args:
        kind: `full` or `sampled`.
        weight: Weight of each word, (words, dim).
        bias: Bias of each word, (words,).
    """
    n_words, dim = weight.shape
    return _loaded(kind, dim, n_words, dict(zip(_WEIGHT_AND_BIAS[kind], (weight, bias), strict=True)))


def _loaded(kind: SoftmaxKind, dim: int, n_words: int, arrays: Mapping[str, np.ndarray]) -> nn.Module:
    """Build a softmax whose parameters are these arrays, which are not copied: there may be gigabytes of them."""
    with torch.device("meta"):
        softmax = word_softmax(kind, dim, n_words)
    softmax.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, assign=True)
    return softmax


def write_softmax(path: Path, softmax: nn.Module, kind: SoftmaxKind, dim: int, n_words: int, dtype: str) -> None:
    """Write a softmax, atomically.

    Args:
        path: HDF5 file.
        softmax: See `word_softmax`.
        kind: Its kind.
        dim: Size of its inputs.
        n_words: Size of the vocabulary.
        dtype: `float32` or `float16`.

    Raises:
        InputError: A value does not fit in `dtype`, or is NaN or infinite.
    """
    with atomic_path(path) as temporary, hdf5_file(temporary) as file:
        file.attrs.update({"kind": kind, "dim": dim, "words": n_words})
        for name, value in softmax.state_dict().items():
            write_numbers(file, name, as_stored(value.cpu().numpy(), dtype, f"{path}: {name}"))


def read_softmax(path: Path, dim: int, n_words: int) -> nn.Module:
    """Read a softmax, and check it against the encoder's width and the vocabulary's size.

    Args:
        path: HDF5 file.
        dim: Size of its inputs.
        n_words: Size of the vocabulary.

    Returns:
        The softmax in float32, in evaluation mode; see `word_softmax`.

    Raises:
        InputError: The file is missing, truncated or not HDF5, has other sizes, or a wrong or damaged dataset.
    """
    check_settled(path.parent)
    with NumbersFile(path, "file", _EXPECTED) as file:
        kind = _kind(file)
        sizes = file.number("dim"), file.number("words")
        if sizes != (dim, n_words):
            raise InputError(
                path,
                f"found a softmax of {sizes[1]} words on vectors of {sizes[0]}, "
                f"expected {n_words} words on vectors of {dim}",
            )
        with torch.device("meta"):  # shapes only, without allocating memory
            shapes = {name: tuple(t.shape) for name, t in word_softmax(kind, dim, n_words).state_dict().items()}
        file.check_size(shapes)
        arrays = {name: file.read(name, shape) for name, shape in shapes.items()}
    return _loaded(kind, dim, n_words, arrays).eval()


def softmax_kind(path: Path) -> SoftmaxKind:
    """Return which kind of softmax a file has.

    Raises:
        InputError: The file is missing, truncated or not HDF5, or has no known kind.
    """
    check_settled(path.parent)
    with NumbersFile(path, "file", _EXPECTED) as file:
        return _kind(file)


def _kind(file: NumbersFile) -> SoftmaxKind:
    kind = file.text("kind")
    for known in SOFTMAXES:
        if known == kind:
            return known
    raise InputError(file.path, "kind", f"found {kind!r}, {one_of(kind, SOFTMAXES)}")
