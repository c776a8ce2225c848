"""Unmodified AllenNLP 2.10.1 on a current stack.

Importing `elmo_mf` calls `install`, and `elmo_mf_compat.pth` imports it at every interpreter start of the environment,
because the `allennlp` script imports `allennlp.commands` before any plug-in. So this file imports nothing but `sys`: it
puts a finder on `sys.meta_path`, and the patches are loaded when AllenNLP is. Where no `.pth` file is read,
`python -m elmo_mf.compat` is the `allennlp` script.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class _Finder:
    """Find AllenNLP's modules as Python would, and execute those that need a patch inside it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith("allennlp"):
            return None
        from elmo_mf.compat.patches import patched_spec

        return patched_spec(name, path, target)


def install() -> None:
    """Patch AllenNLP in this process whenever it is imported; calling it again has no effect."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
