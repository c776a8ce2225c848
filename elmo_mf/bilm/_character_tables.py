"""A character CNN's convolutions in inference, by table look-up.

A convolution's result for a window is a sum over its characters, and each term depends only on the character and its
place in the window. There are few of both, so that all terms fit in a table; a window then takes as many additions as
it has characters, and no products.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class CharacterTables:
    """Convolutions over embedded characters and the maximum over all windows of a word.

    Args:
        embedding: Vectors of the characters (ids, dim). They must not change.
        convolutions: Convolutions of `dim` channels. They must not change.
        padding: Id of the padding behind a word's characters; one that is no id if there is none.
        words_at_once: Words that are looked up at once, see `RuntimeSettings.table_words`.
    """

    def __init__(self, embedding: Tensor, convolutions: Iterable[nn.Conv1d], padding: int, words_at_once: int) -> None:
        self._characters, self._padding, self._words_at_once = len(embedding), padding, words_at_once
        self._tables = [_table(embedding.detach(), convolution) for convolution in convolutions]
        self._filters = sum(table.shape[1] for _, table in self._tables)
        self._shifts = torch.arange(max(width for width, _ in self._tables)) * self._characters  # to a place's rows

    def maxima(self, ids: Tensor) -> Tensor:
        """Return each filter's maximum over all windows of a word.

        Args:
            ids: Character ids (words, characters).

        Returns:
            (words, filters).

        Raises:
            IndexError: An id is out of the embedding's range.
        """
        if not len(ids):
            return torch.empty(0, self._filters)
        smallest, largest = ids.aminmax()
        if smallest < 0 or largest >= self._characters:  # in a table it would be a character of another place
            raise IndexError(
                f"character ids: found {int(smallest)} to {int(largest)}, expected 0 to {self._characters - 1}"
            )
        places = torch.arange(1, ids.shape[1] + 1)
        lengths = ((ids != self._padding) * places).amax(dim=1)
        order = lengths.argsort()
        batches = torch.split(order, self._words_at_once)
        parts = [self._maxima(ids[words], int(lengths[words].amax())) for words in batches]
        result = torch.empty(len(ids), self._filters)
        result[order] = torch.cat(parts)
        return result

    def _maxima(self, ids: Tensor, longest: int) -> Tensor:
        """The maxima of words of up to `longest` characters; one window of padding stands for all others."""
        parts = []
        for width, table in self._tables:
            rows = ids[:, : longest + width].unfold(1, width, 1) + self._shifts[:width]
            windows = nn.functional.embedding_bag(rows.reshape(-1, width), table, mode="sum")
            parts.append(windows.view(*rows.shape[:2], -1).amax(dim=1))
        return torch.cat(parts, dim=1)


def _table(embedding: Tensor, convolution: nn.Conv1d) -> tuple[int, Tensor]:
    """A convolution's width, and its term for each character in each place of a window, (width * ids, filters)."""
    table = torch.einsum("id,fdw->wif", embedding, convolution.weight.detach())
    assert convolution.bias is not None
    table[0] += convolution.bias.detach()
    return len(table), table.flatten(0, 1).contiguous()
