"""Compatibility of unmodified AllenNLP 2.10.1 with current versions of its dependencies.

Importing `elmo_mf` calls `install`, and `elmo_mf_compat.pth` imports it at every start of an interpreter, because the
`allennlp` script imports `allennlp.commands` before any plug-in. This module therefore imports only `sys`: it adds a
finder to `sys.meta_path`, and the patches are loaded together with AllenNLP. Where `.pth` files are not read, use
`python -m elmo_mf.compat` instead of the `allennlp` script.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class _Finder:
    """Finder that loads those modules of AllenNLP that need a patch inside the patch."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith("allennlp"):
            return None
        from elmo_mf.compat._patches import patched_spec

        return patched_spec(name, path, target)


def install() -> None:
    """Patch AllenNLP in this process whenever it is imported; calling it again has no effect."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
