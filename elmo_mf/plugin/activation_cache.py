"""Cache of a frozen encoder's activations by sentence, so that epochs after the first do not run the biLSTM."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from elmo_mf.bilm.encoder import Activations, Bilm


class ActivationCache:
    """Runs `bilm` on the sentences that it has not seen, and remembers until `max_bytes` are full.

    Right only where a sentence's vectors depend on nothing but the sentence: a frozen biLM whose state
    policy is not `carried`. `stored` has activations (layers, tokens + 2, 2p) from before, by `sentence_key`.
    """

    def __init__(self, max_bytes: int, stored: Mapping[bytes, Tensor] | None = None) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._stored: Mapping[bytes, Tensor] = stored or {}
        self._kept: dict[bytes, Tensor] = {}

    def __call__(self, bilm: Bilm, ids: Tensor) -> Activations:
        """As `bilm(ids)`; `ids` (sentences, longest, characters)."""
        ids = bilm.check_ids(ids)
        if not len(ids):
            return bilm(ids)  # type: ignore[no-any-return]
        sentences = split_sentences(ids)
        lengths = torch.tensor([len(sentence) for sentence in sentences], device=ids.device)
        keys = [sentence_key(sentence) for sentence in sentences]
        fresh = self._compute(bilm, {k: s for k, s in zip(keys, sentences, strict=True) if not self._has(k)})
        vectors = [fresh[k] if k in fresh else self._kept[k] if k in self._kept else self._stored[k] for k in keys]
        self._keep(fresh)
        shape = (len(vectors[0]), len(ids), ids.shape[1] + 2, bilm.output_dim)
        layers = torch.zeros(shape, dtype=vectors[0].dtype, device=ids.device)
        for index, vector in enumerate(vectors):
            layers[:, index, : vector.shape[1]] = vector
        steps = torch.arange(ids.shape[1] + 2, device=ids.device)
        return Activations(layers, steps < (lengths + 2).unsqueeze(1))

    def _has(self, key: bytes) -> bool:
        return key in self._kept or key in self._stored

    @staticmethod
    def _compute(bilm: Bilm, sentences: dict[bytes, Tensor]) -> dict[bytes, Tensor]:
        if not sentences:
            return {}
        vectors = sentence_vectors(bilm, list(sentences.values()))
        return {key: vector.clone() for key, vector in zip(sentences, vectors, strict=True)}

    def _keep(self, fresh: dict[bytes, Tensor]) -> None:
        for key, vectors in fresh.items():
            size = vectors.numel() * vectors.element_size()
            if self.bytes + size > self.max_bytes:
                return
            self._kept[key] = vectors.cpu()
            self.bytes += size


def split_sentences(ids: Tensor) -> list[Tensor]:
    """A batch of character ids (sentences, longest, characters) as one tensor (tokens, characters) a sentence."""
    lengths = (ids > 0).any(dim=2).sum(dim=1)
    return [row[:length] for row, length in zip(ids, lengths.tolist(), strict=True)]


def sentence_key(ids: Tensor) -> bytes:
    """A 128-bit hash of a sentence's character ids."""
    return hashlib.blake2b(ids.cpu().numpy().tobytes(), digest_size=16).digest()


def sentence_vectors(bilm: Bilm, sentences: list[Tensor]) -> list[Tensor]:
    """All layers' vectors (layers, tokens + 2, 2p) of some sentences, in one batch."""
    batch = torch.nn.utils.rnn.pad_sequence(sentences, batch_first=True)
    with torch.no_grad():
        layers = bilm(batch.to(bilm.device)).layers
    return [layers[:, index, : len(ids) + 2] for index, ids in enumerate(sentences)]
