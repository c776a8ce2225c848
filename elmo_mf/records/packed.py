"""Many records in little memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from elmo_mf.records.record import Record


@dataclass(frozen=True)
class PackedRecord:
    """A record as compressed JSON, and the name of its file."""

    name: str
    content: bytes

    @classmethod
    def pack(cls, record: Record, name: str) -> PackedRecord:
        """Compress a record.

        Args:
            record: The record.
            name: Name of its file.
        """
        return cls(name, zlib.compress(record.model_dump_json(exclude_defaults=True).encode(), 1))

    def unpack(self) -> Record:
        """Rebuild the record."""
        return Record.model_validate_json(zlib.decompress(self.content))


class Records(Sequence[Record]):
    """Records in a tenth of the memory that their objects would take; each is unpacked when it is accessed."""

    def __init__(self, packed: Sequence[PackedRecord]) -> None:
        self.packed = packed

    def __len__(self) -> int:
        return len(self.packed)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Records: ...

    def __getitem__(self, index: int | slice) -> Record | Records:
        return Records(self.packed[index]) if isinstance(index, slice) else self.packed[index].unpack()

    def __iter__(self) -> Iterator[Record]:
        return (one.unpack() for one in self.packed)

    def names(self) -> list[str]:
        """Return the names of the records' files."""
        return [one.name for one in self.packed]


def select(records: Sequence[Record], places: Sequence[int]) -> Sequence[Record]:
    """Return some of the records.

    Args:
        records: Records.
        places: Indices of those to return.

    Returns:
        The chosen records in this order, packed if `records` are.
    """
    if isinstance(records, Records):
        return Records([records.packed[place] for place in places])
    return [records[place] for place in places]
