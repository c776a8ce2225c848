"""Many records in little memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload


@dataclass(frozen=True)
class Packed:
    """A record, compressed, and the name of its file."""

    name: str
    content: bytes

    @classmethod
    def of(cls, record: dict[str, Any], name: str) -> Packed:
        return cls(name, zlib.compress(json.dumps(record, separators=(",", ":")).encode(), 1))

    def record(self) -> dict[str, Any]:
        """The record, made anew each time."""
        return dict(json.loads(zlib.decompress(self.content)))


class Records(Sequence[dict[str, Any]]):
    """Records that take a tenth of the memory that their dictionaries would; each is unpacked when it is asked for."""

    def __init__(self, packed: Sequence[Packed]) -> None:
        self.packed = packed

    def __len__(self) -> int:
        return len(self.packed)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Records: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | Records:
        return Records(self.packed[index]) if isinstance(index, slice) else self.packed[index].record()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (one.record() for one in self.packed)

    def names(self) -> list[str]:
        """Of their files."""
        return [one.name for one in self.packed]


def some_of(records: Sequence[dict[str, Any]], places: Sequence[int]) -> Sequence[dict[str, Any]]:
    """Some of the records, packed if these are."""
    if isinstance(records, Records):
        return Records([records.packed[place] for place in places])
    return [records[place] for place in places]
