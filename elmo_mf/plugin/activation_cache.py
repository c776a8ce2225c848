"""Cache of a frozen encoder's activations by sentence, so that epochs after the first do not run the biLSTM."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from elmo_mf.bilm.encoder import Activations, Bilm


class ActivationCache:
    """Keeps activations by sentence and runs the biLM only on sentences that it has not seen.

    Valid only if the vectors of a sentence depend on that sentence alone, that is, for a frozen biLM whose state policy
    is not `carried`.

    Args:
        max_bytes: Size at which the cache stops growing.
        stored: Activations (layers, tokens + 2, 2p) that were computed earlier, by `sentence_key`.
    """

    def __init__(self, max_bytes: int, stored: Mapping[bytes, Tensor] | None = None) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._stored: Mapping[bytes, Tensor] = stored or {}
        self._kept: dict[bytes, Tensor] = {}

    def __call__(self, bilm: Bilm, ids: Tensor) -> Activations:
        """Return the same activations as `bilm(ids)` for `ids` (sentences, longest, characters)."""
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
    """Split character ids (sentences, longest, characters) into one tensor (tokens, characters) per sentence."""
    lengths = (ids > 0).any(dim=2).sum(dim=1)
    return [row[:length] for row, length in zip(ids, lengths.tolist(), strict=True)]


def sentence_key(ids: Tensor) -> bytes:
    """Compute a 128-bit hash of a sentence's character ids."""
    return hashlib.blake2b(ids.cpu().numpy().tobytes(), digest_size=16).digest()


def sentence_vectors(bilm: Bilm, sentences: list[Tensor]) -> list[Tensor]:
    """Compute the vectors of all layers in one batch.

    Args:
        bilm: The encoder.
        sentences: Ids of each sentence, (tokens, width).

    Returns:
        For each sentence (layers, tokens + 2, 2p), with the tokens that begin and end it.
    """
    batch = torch.nn.utils.rnn.pad_sequence(sentences, batch_first=True)
    with torch.no_grad():
        layers = bilm(batch.to(bilm.device)).layers
    return [layers[:, index, : len(ids) + 2] for index, ids in enumerate(sentences)]
