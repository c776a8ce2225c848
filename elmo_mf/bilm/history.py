"""The history of an ELMo: what was done to its weights after they were trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class History:
    """Compressions of an ELMo's weights and other changes, oldest first.

    Attributes:
        steps: The JSON objects that `options.json` has of it, files by their SHA-256: a `Compression`, or the number of
            memory cells that were kept. They are left as they were written, because weights contain their digests.
    """

    steps: tuple[Mapping[str, Any], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def followed_by(self, step: Mapping[str, Any]) -> History:
        """Return the history with one step more."""
        return History((*self.steps, step))

    def digests(self) -> list[str]:
        """Return a digest of each step."""
        texts = (json.dumps(step, sort_keys=True) for step in self.steps)
        return [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
