"""The fixture of `tests.io` for disks that fail at one write."""

from tests.io.conftest import each_write_fails

__all__ = ["each_write_fails"]
