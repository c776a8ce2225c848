"""Compressions from the keys that records have, each read once however many records have it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from elmo_mf.compression import Compression

_MOST = 20_000  # that are kept


def compression_of(raw: Mapping[str, Any]) -> Compression:
    """As `Compression.from_dict`.

    Raises:
        InputError: they are no compression.
    """
    return _read(json.dumps(raw))[0]


def plain_form(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one way to write a compression, as `Compression.to_dict`; it is not to be changed.

    Raises:
        InputError: they are no compression.
    """
    return _read(json.dumps(raw))[1]


@lru_cache(_MOST)
def _read(text: str) -> tuple[Compression, Mapping[str, Any]]:
    found = Compression.from_dict(json.loads(text))
    return found, found.to_dict()
