"""Compressions from the keys that records have, each read once however many records have it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from elmo_mf.records.compression import Compression, parse_compression

_MOST = 20_000  # that are kept


def compression_of(raw: Mapping[str, Any]) -> Compression:
    """Parse the keys of a record, as `parse_compression` does.

    Raises:
        InputError: They do not describe a compression.
    """
    return _read(json.dumps(raw))[0]


def plain_form(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The canonical form of a compression, which must not be changed.

    Raises:
        InputError: They do not describe a compression.
    """
    return _read(json.dumps(raw))[1]


@lru_cache(_MOST)
def _read(text: str) -> tuple[Compression, Mapping[str, Any]]:
    found = parse_compression(json.loads(text))
    return found, found.to_dict()
