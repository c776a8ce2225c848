"""The token layer of ELMoForManyLangs: a character CNN over Unicode characters, with a table of words."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.options import UnicodeCnnOptions
from elmo_mf.bilm.runtime import Precision
from elmo_mf.bilm.unicode_ids import PADDING, UnicodeIds
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.bilm.weights import Array
from elmo_mf.errors import InputError

_TABLE = "embedding"


class UnicodeCnn(CharCnn):
    """Projects a word's vector and the outputs of a character CNN's highway layers together.

    Args:
        options: Sizes and characters.
        projection_dim: Width of the token vectors, p.
        arrays: The datasets of the character CNN, and `embedding` (words, word_dim). The rows of `CNN_proj/W_proj`
            are those of the words, then those of the filters.
        vocabulary: The words of the rows of `embedding`.
        precision: See `CharCnn`.

    Raises:
        InputError: There are more or fewer words than rows.
    """

    kind, unit = "unicode_cnn", "character and word"

    def __init__(
        self,
        options: UnicodeCnnOptions,
        projection_dim: int,
        arrays: dict[str, Array],
        vocabulary: Vocabulary,
        precision: Precision = "float32",
    ) -> None:
        table = arrays[_TABLE]
        if len(table) != len(vocabulary):
            expected = f"{len(table):,}, the rows of the table of words"
            raise InputError("vocabulary", f"found {len(vocabulary):,} words, expected {expected}")
        super().__init__(options.cnn, projection_dim, arrays, precision)
        padding = np.zeros((1, table.shape[1]), np.float32)
        self.words = nn.Parameter(torch.from_numpy(np.concatenate([padding, table]).astype(np.float32, copy=False)))
        self.padding = options.characters.index(PADDING) + 1
        self.vocabulary: Vocabulary = vocabulary
        self.unicode_ids = UnicodeIds(vocabulary, options.characters, options.cnn.max_characters_per_token)
        self.width = 1 + options.cnn.max_characters_per_token

    def word_ids(self, word: str) -> list[int]:
        """Return the ids of a word and of its characters; see `UnicodeIds.of`."""
        return self.unicode_ids.of(word)

    def arrays(self) -> dict[str, Array]:
        """Return the parameters as the datasets that they came from."""
        return super().arrays() | {_TABLE: self.words.detach().cpu().numpy()[1:].copy()}

    def _maxima(self, ids: Tensor) -> Tensor:
        return super()._maxima(ids[:, 1:])

    def _look_up(self, ids: Tensor) -> Tensor:
        if len(self.embedding) <= self.settings.table_characters:
            return super()._look_up(ids)
        used, places = torch.unique(ids, return_inverse=True)
        padding = int(torch.searchsorted(used, self.padding))  # if it is not used, no place is its own
        if padding == len(used) or used[padding] != self.padding:
            padding = -1
        return self._tables_of(self.embedding[used], padding).maxima(places)

    def _projected(self, vectors: Tensor, ids: Tensor) -> Tensor:
        return torch.cat([nn.functional.embedding(ids[:, 0], self.words), vectors], dim=1)
