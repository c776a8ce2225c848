"""A trainer callback that kills its process, for the test of `--recover`."""

from __future__ import annotations

import os
import signal
from typing import Any

from allennlp.training import TrainerCallback


@TrainerCallback.register("kill_at_epoch")
class KillAtEpoch(TrainerCallback):  # type: ignore[misc]
    """Callback that kills its process with `kill -9` after the checkpoint of the epoch `KILL_AT_EPOCH`."""

    def on_epoch(self, trainer: Any, metrics: dict[str, Any], epoch: int, **_: Any) -> None:
        if os.environ.get("KILL_AT_EPOCH") == str(epoch):
            os.kill(os.getpid(), signal.SIGKILL)
