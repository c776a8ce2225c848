"""Token vectors computed once for each distinct word of a batch, or of many batches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor, nn

from elmo_mf.bilm.derived_cache import DerivedCache
from elmo_mf.bilm.token_embeddings import TokenEmbeddings, keys_of
from elmo_mf.bilm.token_layer import TokenLayer


class WordVectors(nn.Module):
    """Applies a token layer to tokens; a character CNN once for each distinct spelling.

    The vectors of a vocabulary that were computed before can be put into the cache, see `start_with`.

    Args:
        cache_mb: Memory in MB for the vectors of the most recently used words, which are kept on a CPU when the layer
            gets no gradients. A change of its parameters empties it, see `DerivedCache`. Defaults to 0, which
            keeps none.
    """

    def __init__(self, cache_mb: float = 0) -> None:
        super().__init__()
        self.cache_mb = cache_mb
        self._embeddings: TokenEmbeddings | None = None
        self._kept = DerivedCache[_KeptVectors]()

    def start_with(self, embeddings: TokenEmbeddings) -> None:
        """Keep the vectors of these words in addition to the most recently used ones, until parameters change."""
        self._embeddings = embeddings
        self._kept.clear()

    def forward(self, layer: TokenLayer, ids: Tensor) -> Tensor:
        """Turn ids into vectors, as `layer(ids)` does.

        Args:
            layer: The token layer.
            ids: (tokens, width).

        Returns:
            (tokens, p).
        """
        if not layer.worth_keeping or len(ids) < 2:
            return self._vectors(layer, ids)
        distinct, inverse = distinct_rows(ids)
        return self._vectors(layer, distinct).index_select(0, inverse)

    def _vectors(self, layer: TokenLayer, ids: Tensor) -> Tensor:
        trained = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in layer.parameters())
        keeps = layer.worth_keeping and (self.cache_mb or self._embeddings is not None)
        if not keeps or trained or ids.device.type != "cpu":
            vectors: Tensor = layer(ids)
            return vectors
        return self._kept.get(layer.parameters(), lambda: self._first_kept(layer)).vectors(layer, ids)

    def _first_kept(self, layer: TokenLayer) -> _KeptVectors:
        known = self._embeddings
        if known is not None and not known.belong_to(layer):
            known = None
        return _KeptVectors(self.cache_mb, layer.output_dim, layer.embedding.dtype, known)


class _KeptVectors:
    """Vectors of words by their character ids; the least recently used make room.

    Args:
        cache_mb: Memory for the vectors.
        width: Numbers of a vector.
        dtype: Type of the numbers.
        known: Vectors that are there from the beginning, and stay.
    """

    def __init__(self, cache_mb: float, width: int, dtype: torch.dtype, known: TokenEmbeddings | None) -> None:
        self._rows: OrderedDict[bytes, int] = OrderedDict()  # of `_vectors`, least recently used first
        capacity = int(cache_mb * 1e6 / (width * dtype.itemsize))
        with torch.inference_mode(False):  # so that it can be used in any mode
            self._vectors = torch.empty(capacity, width, dtype=dtype)
        self._stores: list[tuple[Mapping[bytes, int], Tensor]] = [(self._rows, self._vectors)]
        if known is not None:
            self._stores.insert(0, (known.rows, known.vectors))

    def vectors(self, layer: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
        """Return the vectors of character ids (words, characters); `layer` computes those that are not kept."""
        keys = keys_of(ids)
        result = self._vectors.new_empty(len(ids), self._vectors.shape[1])
        new, known = list(range(len(keys))), list[int]()
        for places, vectors in self._stores:
            rows = [places.get(keys[index]) for index in new]
            known = [index for index, row in zip(new, rows, strict=True) if row is not None]
            new = [index for index, row in zip(new, rows, strict=True) if row is None]
            if known:
                result[known] = vectors[[row for row in rows if row is not None]]
        for index in known:  # in the last store
            self._rows.move_to_end(keys[index])
        if new:
            result[new] = layer(ids[new])
            self._keep([keys[index] for index in new], result[new])
        return result

    def _keep(self, keys: list[bytes], vectors: Tensor) -> None:
        capacity = len(self._vectors)
        if not capacity:
            return
        keys, vectors = keys[:capacity], vectors[:capacity]
        rows = []
        for key in keys:
            full = len(self._rows) == capacity
            row = self._rows.popitem(last=False)[1] if full else len(self._rows)
            self._rows[key] = row
            rows.append(row)
        self._vectors[rows] = vectors


@cache
def _hash_factors(columns: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-(2**62), 2**62, (columns,), generator=generator).to(device)


def distinct_rows(ids: Tensor, factors: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Find the distinct rows of a matrix of integers.

    Rows are compared by a 64-bit hash, and the result is checked: if two rows collide, all rows are returned.

    Args:
        ids: (rows, columns).
        factors: Integers (columns,) whose products with a row add up to its hash; random ones if None.

    Returns:
        The distinct rows in any order, and the index among them of each row of `ids` (rows,).
    """
    factors = _hash_factors(ids.shape[1], ids.device) if factors is None else factors
    hashes = (ids * factors).sum(dim=1)
    values, inverse = torch.unique(hashes, return_inverse=True)
    rows = torch.empty_like(values).scatter_(0, inverse, torch.arange(len(ids), device=ids.device))
    distinct = ids[rows]
    if not torch.equal(distinct[inverse], ids):
        return ids, torch.arange(len(ids), device=ids.device)
    return distinct, inverse
