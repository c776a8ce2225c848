"""One attempt at a run, which ends in measurements or an error."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from elmo_mf.errors import one_line
from elmo_mf.experiments._runs import MeasuredT, Report, Result, RunT
from elmo_mf.experiments._workspace import Workspace, workspace

ENVIRONMENT = {
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore:resource_tracker",  # it warns when it cleans up the locks of a killed run
}
"""Environment of the processes that execute runs, where only the sweep shows progress bars."""

_LOG_BYTES = 1_000_000
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
_MEMORY = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
_DISK_TEXTS = ("No space left on device", "errno = 28")
_WRITER_TEXTS = (  # of torch.save, which does not name the cause
    "PytorchStreamWriter failed",
    "unexpected pos",
)
_MEMORY_TEXTS = ("can't allocate memory", "out of memory", "Unable to allocate")


def attempt(
    execute: Callable[[RunT, Workspace], MeasuredT], run: RunT, output: Path, report: Report, cache_bytes: int
) -> Result[MeasuredT]:
    """Execute a run in a workspace below `output`.

    Args:
        execute: Executes the run and returns its measurements.
        run: The run.
        output: Folder of the sweep.
        report: Called with the run's progress.
        cache_bytes: Size limit of the shared cache, in bytes; 0 for none.

    Returns:
        The measurements, or the error if there was an exception.
    """
    log = ""
    try:
        with workspace(output, run.name, cache_bytes, report) as work:
            try:
                return Result(execute(run, work))
            except Exception:
                logging.exception("the run failed")
                log = log_end(work.log)
                raise
    except Exception as error:
        text, fault = one_line(error, 300), fault_of(error)
        if fault == "disk" and any(writer in text for writer in _WRITER_TEXTS):
            text = f"No space left on device, or another reason why PyTorch cannot write ({text})"
        return Result(error=text, log=log, fault=fault)


def log_end(log: Path) -> str:
    """Return the last megabyte of a log."""
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_BYTES))
        return file.read().decode("utf-8", "replace")


def fault_of(error: BaseException) -> str:
    """Return `disk` or `memory` if the machine ran out of it, else an empty string."""
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
