"""A frozen encoder's activations, kept by sentence: epochs after the first do not run the biLSTM."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from elmo_mf.bilm.bilm import Activations, Bilm


class ActivationCache:
    """Runs `bilm` on the sentences that it has not seen, and remembers until `max_bytes` are full.

    Right only where a sentence's vectors depend on nothing but the sentence: a frozen biLM whose state
    policy is not `carried`. Sentences are recognised by a 128-bit hash of their character ids.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._kept: dict[bytes, Tensor] = {}

    def __call__(self, bilm: Bilm, ids: Tensor) -> Activations:
        """As `bilm(ids)`; `ids` (sentences, longest, characters)."""
        lengths = (ids > 0).any(dim=2).sum(dim=1)
        sentences = [row[:length] for row, length in zip(ids, lengths.tolist(), strict=True)]
        keys = [hashlib.blake2b(s.cpu().numpy().tobytes(), digest_size=16).digest() for s in sentences]
        fresh = self._compute(bilm, {k: s for k, s in zip(keys, sentences, strict=True) if k not in self._kept})
        vectors = [fresh[key] if key in fresh else self._kept[key] for key in keys]
        self._keep(fresh)
        shape = (len(vectors[0]), len(ids), ids.shape[1] + 2, bilm.output_dim)
        layers = torch.zeros(shape, dtype=vectors[0].dtype, device=ids.device)
        for index, vector in enumerate(vectors):
            layers[:, index, : vector.shape[1]] = vector
        steps = torch.arange(ids.shape[1] + 2, device=ids.device)
        return Activations(layers, steps < (lengths + 2).unsqueeze(1))

    @staticmethod
    def _compute(bilm: Bilm, sentences: dict[bytes, Tensor]) -> dict[bytes, Tensor]:
        if not sentences:
            return {}
        batch = torch.nn.utils.rnn.pad_sequence(list(sentences.values()), batch_first=True)
        with torch.no_grad():
            layers = bilm(batch).layers
        return {key: layers[:, i, : len(ids) + 2].clone() for i, (key, ids) in enumerate(sentences.items())}

    def _keep(self, fresh: dict[bytes, Tensor]) -> None:
        for key, vectors in fresh.items():
            size = vectors.numel() * vectors.element_size()
            if self.bytes + size > self.max_bytes:
                return
            self._kept[key] = vectors.cpu()
            self.bytes += size
