"""Words repeat: the character CNN runs once for each distinct word of a batch, and less where vectors are kept."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.derived_cache import fingerprint


class WordVectors:
    """Applies a character CNN to tokens, each distinct spelling once.

    Args:
        cache_mb: memory for the vectors of the words last seen, used on a CPU where the CNN gets no gradients; the
            least recently used make room. 0 keeps none. A change of the CNN's parameters empties it.
    """

    def __init__(self, cache_mb: float = 0) -> None:
        self.cache_mb = cache_mb
        self._slots: OrderedDict[bytes, int] = OrderedDict()  # least recently used first
        self._vectors = torch.empty(0)
        self._made_by: tuple[object, ...] = ()

    def __call__(self, cnn: CharCnn, ids: Tensor) -> Tensor:
        """Character ids (tokens, characters) to vectors (tokens, p), as `cnn(ids)`."""
        if len(ids) < 2:
            return self._spelled(cnn, ids)
        distinct, inverse = distinct_rows(ids)
        return self._spelled(cnn, distinct).index_select(0, inverse)

    def _spelled(self, cnn: CharCnn, ids: Tensor) -> Tensor:
        trained = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in cnn.parameters())
        if not self.cache_mb or trained or ids.device.type != "cpu":
            vectors: Tensor = cnn(ids)
            return vectors
        self._empty_if_changed(cnn)
        keys = [row.tobytes() for row in ids.to(torch.int16).numpy()]
        slots = [self._slots.get(key) for key in keys]
        fresh = [index for index, slot in enumerate(slots) if slot is None]
        result = ids.new_empty(len(ids), cnn.output_dim, dtype=cnn.embedding.dtype)
        kept = [index for index, slot in enumerate(slots) if slot is not None]
        if kept:
            result[kept] = self._vectors[[slot for slot in slots if slot is not None]]
            for index in kept:
                self._slots.move_to_end(keys[index])
        if fresh:
            result[fresh] = cnn(ids[fresh])
            self._keep([keys[index] for index in fresh], result[fresh])
        return result

    def _empty_if_changed(self, cnn: CharCnn) -> None:
        made_by = fingerprint(cnn.parameters())
        if made_by != self._made_by:
            width, dtype = cnn.output_dim, cnn.embedding.dtype
            capacity = int(self.cache_mb * 1e6 / (width * dtype.itemsize))
            self._slots.clear()
            with torch.inference_mode(False):  # so that it can be used in any mode
                self._vectors = torch.empty(capacity, width, dtype=dtype)
            self._made_by = made_by

    def _keep(self, keys: list[bytes], vectors: Tensor) -> None:
        capacity = len(self._vectors)
        keys, vectors = keys[:capacity], vectors[:capacity]
        slots = []
        for key in keys:
            full = len(self._slots) == capacity
            slot = self._slots.popitem(last=False)[1] if full else len(self._slots)
            self._slots[key] = slot
            slots.append(slot)
        self._vectors[slots] = vectors


_FACTORS: dict[tuple[int, torch.device], Tensor] = {}


def distinct_rows(ids: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct rows of `ids` (rows, columns) in some order, and for each row its index among them (rows,).

    Rows are told apart by a 64-bit hash, and the outcome is checked: in the event of a collision all rows are returned.
    """
    key = ids.shape[1], ids.device
    if key not in _FACTORS:
        generator = torch.Generator().manual_seed(0)
        _FACTORS[key] = torch.randint(-(2**62), 2**62, (ids.shape[1],), generator=generator).to(ids.device)
    hashes = (ids * _FACTORS[key]).sum(dim=1)
    values, inverse = torch.unique(hashes, return_inverse=True)
    rows = torch.empty_like(values).scatter_(0, inverse, torch.arange(len(ids), device=ids.device))
    distinct = ids[rows]
    if not torch.equal(distinct[inverse], ids):
        return ids, torch.arange(len(ids), device=ids.device)
    return distinct, inverse
