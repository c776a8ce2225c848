"""A check of what HDF5 does not check itself: the heaps in which a file keeps texts of any length."""

from __future__ import annotations

import mmap
import re
import struct
from pathlib import Path

_COLLECTION = re.compile(rb"GCOL\x01\0\0\0")
_SIZE = struct.Struct("<Q")
_OBJECT = struct.Struct("<HHIQ")  # index, references, reserved, bytes


def has_endless_heap(path: Path) -> bool:
    """Return whether reading a global heap of a file would loop forever in the HDF5 library.

    The library adds the sizes of the objects in a heap to find the next one, without noticing a sum that does not grow.
    See section III.E of the HDF5 File Format Specification, version 3.0.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(_is_endless(content, match.start()) for match in _COLLECTION.finditer(content))


def _is_endless(content: mmap.mmap, start: int) -> bool:
    header = start + 8 + _SIZE.size
    if header > len(content):
        return False  # cut off, which HDF5 does notice
    end = min(start + _SIZE.unpack_from(content, start + 8)[0], len(content))
    place = header
    while place + _OBJECT.size <= end:
        index, _, _, size = _OBJECT.unpack_from(content, place)
        length = _OBJECT.size + -(-size // 8) * 8 if index else size
        if length % 2**64 < _OBJECT.size:
            return True
        place += length
    return False
