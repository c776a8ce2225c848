"""A character CNN's convolutions in inference, looked up: there are few characters, and few places in a window.

What a window gives is the sum of what each of its characters gives in its place. Those are the rows of a table, made
once; adding them up takes as many additions as a window has characters, and no products.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from elmo_mf.bilm.characters import PADDING


class CharacterTables:
    """Convolutions over embedded characters and the maximum over all windows of a word.

    Args:
        embedding: vectors of the characters (ids, dim).
        convolutions: of `dim` channels. Neither they nor the embedding may change.
    """

    def __init__(self, embedding: Tensor, convolutions: Iterable[nn.Conv1d]) -> None:
        self._characters = len(embedding)
        self._tables = [_table(embedding.detach(), convolution) for convolution in convolutions]
        self._filters = sum(table.shape[1] for _, table in self._tables)
        self._shifts = torch.arange(max(width for width, _ in self._tables)) * self._characters  # to a place's rows

    def maxima(self, ids: Tensor) -> Tensor:
        """Character ids (words, characters) to each filter's maximum (words, filters).

        Raises:
            IndexError: an id is none of the embedding's.
        """
        if not len(ids):
            return torch.empty(0, self._filters)
        least, most = ids.aminmax()
        if least < 0 or most >= self._characters:  # in a table it would be a character of another place
            raise IndexError(f"character ids: found {int(least)} to {int(most)}, expected 0 to {self._characters - 1}")
        places = torch.arange(1, ids.shape[1] + 1)
        lengths = ((ids != PADDING + 1) * places).amax(dim=1)
        order = lengths.argsort()
        parts = [self._equally_long(ids[words], int(lengths[words].amax())) for words in torch.split(order, _WORDS)]
        result = torch.empty(len(ids), self._filters)
        result[order] = torch.cat(parts)
        return result

    def _equally_long(self, ids: Tensor, longest: int) -> Tensor:
        """The maxima of words of up to so many characters: from there on, one window of padding stands for all."""
        parts = []
        for width, table in self._tables:
            rows = ids[:, : longest + width].unfold(1, width, 1) + self._shifts[:width]
            windows = nn.functional.embedding_bag(rows.reshape(-1, width), table, mode="sum")
            parts.append(windows.view(*rows.shape[:2], -1).amax(dim=1))
        return torch.cat(parts, dim=1)


_WORDS = 128  # at once; their windows stay in the cache, measured


def _table(embedding: Tensor, convolution: nn.Conv1d) -> tuple[int, Tensor]:
    """A convolution's width, and what each character gives in each place of a window, (width * ids, filters)."""
    table = torch.einsum("id,fdw->wif", embedding, convolution.weight.detach())
    assert convolution.bias is not None
    table[0] += convolution.bias.detach()
    return len(table), table.flatten(0, 1).contiguous()
