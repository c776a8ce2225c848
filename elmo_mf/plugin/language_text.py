"""Text for language models in AllenNLP: a reader of lines and a loader of contiguous batches."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.data import DataLoader, DatasetReader, Instance, Token, TokenIndexer, Vocabulary
from allennlp.data.fields import TextField
from allennlp.data.token_indexers import SingleIdTokenIndexer
from torch import Tensor

from elmo_mf.addresses import local_path
from elmo_mf.io import TextLines

VERSION = 1
"""Version of the reader and of the data loader, part of a run's identity; raised when batches change."""

END = "<eos>"


@DatasetReader.register("language_text")
class LanguageTextReader(DatasetReader):  # type: ignore[misc]
    """Reader of tokenised text with one sentence per line.

    Words are separated by white space. `<eos>` is appended to every line, including empty ones, and `<unk>` is an
    ordinary word. See `elmo_mf.io.TextLines` for the definition of a line.

    Args:
        token_indexers: Indexers of the field `tokens`. Defaults to single ids.
        kwargs: Those of `DatasetReader`.
    """

    def __init__(self, token_indexers: dict[str, TokenIndexer] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._indexers = token_indexers or {"tokens": SingleIdTokenIndexer()}

    def _read(self, file_path: str) -> Iterable[Instance]:
        for line in TextLines(local_path(file_path), "tokenised text, one sentence per line"):
            yield self.text_to_instance(line.split())

    def text_to_instance(self, words: list[str]) -> Instance:
        """Build the instance of one line from its words."""
        return Instance({"tokens": TextField([Token(word) for word in (*words, END)])})

    def apply_token_indexers(self, instance: Instance) -> None:
        """Give the instance's field the indexers, see `DatasetReader`."""
        instance["tokens"].token_indexers = self._indexers


@DataLoader.register("text_streams")
class TextStreams(DataLoader):  # type: ignore[misc]
    """Data loader that yields the whole text once, in order, for truncated backpropagation through time.

    The text is cut into `batch_size` streams of equal length, and each batch holds the next words of every stream.
    Words at the end that do not fill all streams are dropped. With one stream, as in evaluation, every word except the
    first is predicted.

    Each batch has `tokens` and `targets` (streams, steps), the targets one word ahead, and `start`, which is True in
    the first batch.

    Args:
        reader: Dataset reader, passed by AllenNLP.
        data_path: Text file, passed by AllenNLP.
        batch_size: Number of streams. Defaults to 1.
        steps: Number of words of each stream per batch. Defaults to 70.
        vary: Whether to draw the number of steps of each batch at random, around `steps` and occasionally around half
            of it (Merity et al. 2018, section 5), so that the text is cut at other places in each epoch. Defaults to
            False.

    Raises:
        ConfigurationError: `batch_size` or `steps` is below 1.
    """

    def __init__(
        self, reader: DatasetReader, data_path: str, batch_size: int = 1, steps: int = 70, vary: bool = False
    ) -> None:
        for name, value in (("batch_size", batch_size), ("steps", steps)):
            if value < 1:
                raise ConfigurationError(f"text_streams: {name}: found {value}, expected a positive integer")
        self.reader, self.data_path = reader, data_path
        self.batch_size, self.steps, self.vary = batch_size, steps, vary
        self._ids: Tensor | None = None
        self._device: torch.device | None = None

    def __len__(self) -> int:
        """Return the number of batches; with `vary`, an estimate."""
        mean = self.steps * (1 - _HALVED / 2) if self.vary else self.steps
        return max(1, math.ceil((self._streams().shape[1] - 1) / mean))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        streams = self._streams()
        if self._device is not None:
            streams = streams.to(self._device)
        start, last = 0, streams.shape[1] - 1
        while start < last:
            stop = min(last, start + self._draw())
            yield {
                "tokens": streams[:, start:stop],
                "targets": streams[:, start + 1 : stop + 1],
                "start": start == 0,
            }
            start = stop

    def iter_instances(self) -> Iterator[Instance]:
        """Read the text again and yield one instance per line."""
        yield from self.reader.read(self.data_path)

    def index_with(self, vocab: Vocabulary) -> None:
        """Read the text as ids, with `<unk>` for words that are not in the vocabulary.

        Raises:
            ConfigurationError: The text has fewer than two words per stream, so that there is nothing to predict.
        """
        words = (token.text for instance in self.iter_instances() for token in instance["tokens"])
        self._ids = torch.tensor([vocab.get_token_index(word) for word in words])
        if len(self._ids) < 2 * self.batch_size:
            raise ConfigurationError(
                f"{self.data_path}: found {len(self._ids)} words, expected at least {2 * self.batch_size} for "
                f"{self.batch_size} streams"
            )

    def set_target_device(self, device: torch.device) -> None:
        """Yield batches on a device from now on; without one, on the CPU."""
        self._device = device

    def _streams(self) -> Tensor:
        """Return the text as streams, (streams, words)."""
        if self._ids is None:
            raise RuntimeError("index_with must be called first")
        length = len(self._ids) // self.batch_size
        return self._ids[: length * self.batch_size].view(self.batch_size, length)

    def _draw(self) -> int:
        if not self.vary:
            return self.steps
        mean = self.steps / 2 if random.random() < _HALVED else self.steps
        return max(_LEAST, round(random.gauss(mean, _LEAST)))


_HALVED, _LEAST = 0.05, 5
