"""A run from outside: its record, or its error and whose fault that is."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from elmo_mf.errors import one_line
from elmo_mf.experiments.workspace import Progress, workspace
from elmo_mf.tasks.grid import Run
from elmo_mf.tasks.spec import SweepSpec

ENVIRONMENT = {
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore:resource_tracker",  # which would tell of a killed run's locks that it cleans up
}
"""Of the processes that run runs: the bars there are the sweep's."""

_LOG_BYTES = 1_000_000  # of a failed run's log, its end
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
_MEMORY = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
_DISK_TEXTS = ("No space left on device", "errno = 28")
_WRITER_TEXTS = (
    "PytorchStreamWriter failed",
    "unexpected pos",
)  # of torch.save, which does not say why it cannot write
_MEMORY_TEXTS = ("can't allocate memory", "out of memory", "Unable to allocate")


@dataclass(frozen=True)
class Result:
    """What became of an attempt: a record, or what of one was measured again; or an error with the log.

    `fault` is empty where the run itself failed and would again; `memory`, `disk` or `killed` where its machine did:
    such a run is run again by the next call of the same command.
    """

    record: dict[str, Any] | None = None
    error: str = ""
    log: str = ""
    fault: str = ""


Attempt = Callable[[SweepSpec, Run, Path, Callable[[Progress], None]], Result]


def attempt(
    spec: SweepSpec, run: Run, output: Path, report: Callable[[Progress], None], *, times_alone: bool = False
) -> Result:
    """Run a run with scratch and cache below `output`; whatever goes wrong is in the result.

    With `times_alone` its record has no more than `measure_times` gives.
    """
    log = ""
    try:
        with workspace(output, run.name, spec.cache_mb, report) as work:
            from elmo_mf.tasks.elmo_run import execute, measure_times

            try:
                return Result((measure_times if times_alone else execute)(spec, run, work))
            except Exception:
                logging.exception("the run failed")
                log = end_of(work.log)
                raise
    except Exception as error:
        text, fault = one_line(error, 300), fault_of(error)
        if fault == "disk" and any(writer in text for writer in _WRITER_TEXTS):
            text = f"No space left on device, or another reason why PyTorch cannot write ({text})"
        return Result(error=text, log=log, fault=fault)


attempt_times: Attempt = partial(attempt, times_alone=True)


def end_of(log: Path) -> str:
    """The last megabyte of a log."""
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_BYTES))
        return file.read().decode("utf-8", "replace")


def fault_of(error: BaseException) -> str:
    """`disk` or `memory` where the machine ran out of it, else nothing."""
    for cause in _causes(error):
        number = cause.errno if isinstance(cause, OSError) else None
        if number in _DISK or any(text in str(cause) for text in (*_DISK_TEXTS, *_WRITER_TEXTS)):
            return "disk"
        if number in _MEMORY or isinstance(cause, MemoryError) or any(text in str(cause) for text in _MEMORY_TEXTS):
            return "memory"
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
