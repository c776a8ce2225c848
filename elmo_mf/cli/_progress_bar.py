"""The progress bar of long commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


@contextmanager
def progress_bar(*columns: ProgressColumn) -> Iterator[Progress]:
    """Provide a progress bar that is shown only on a terminal; print through its console."""
    from rich.progress import Progress

    from elmo_mf.cli._console import Console

    bar = Progress(*columns, console=Console(soft_wrap=True))
    if bar.console.is_terminal:
        with bar:
            yield bar
    else:
        yield bar
