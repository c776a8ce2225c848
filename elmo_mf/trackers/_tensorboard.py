"""TensorBoard: a folder of event files for each run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from elmo_mf.io import read_text, write_text
from elmo_mf.io.reading import is_regular
from elmo_mf.trackers.tracker import TrackedRun, register

_FINISHED = "finished.txt"  # the run's id, once its log is complete


@register("tensorboard")
class TensorBoard:
    """Writes the logs of each run to `tensorboard/NAME` in the output folder.

    Parameters and metrics can be compared in TensorBoard's table HParams.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tensorboard"

    def has(self, run: TrackedRun) -> bool:
        """See `Tracker.has`."""
        path = self._folder / run.name / _FINISHED
        return is_regular(path) and read_text(path, "mark", "a run's id", most=1000).strip() == run.id

    def start(self, run: TrackedRun, step: int) -> _Log:
        """See `Tracker.start`."""
        return _Log(self._folder / run.name, run, step)


class _Log:
    def __init__(self, folder: Path, run: TrackedRun, step: int) -> None:
        from tensorboardX import SummaryWriter

        (folder / _FINISHED).unlink(missing_ok=True)  # that of another run of the same name
        self._writer = SummaryWriter(str(folder), purge_step=step)
        self._folder, self._run, self._names = folder, run, dict[str, None]()

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """See `RunLog.metrics`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._names.update(dict.fromkeys(values))

    def finish(self) -> None:
        """See `RunLog.finish`."""
        from tensorboardX.summary import hparams

        for summary in hparams(dict(self._run.parameters), self._names):
            self._writer.file_writer.add_summary(summary)
        self._writer.close()
        write_text(self._folder / _FINISHED, f"{self._run.id}\n")
