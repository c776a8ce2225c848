"""Functions in processes of their own that have imported AllenNLP, which takes seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from elmo_mf.experiments.executors._local import CONTEXT, _without_main, start_server
from elmo_mf.tasks import PRELOAD

T = TypeVar("T")


def in_another_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function of a module in a process that is forked from the tests' server, which sweeps use too."""
    start_server(PRELOAD)
    with _without_main(), ProcessPoolExecutor(1, CONTEXT) as pool:
        return pool.submit(function, *arguments).result()


def run_allennlp(folder: Path, *arguments: str | Path) -> None:
    """Run a command of AllenNLP in a folder, which stays the current one; call it in another process."""
    from allennlp.__main__ import run

    os.chdir(folder)
    sys.argv = ["allennlp", *map(str, arguments)]
    run()
