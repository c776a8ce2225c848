"""The option that names an experiment tracker."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from elmo_mf.cli import _completion

TrackerName = Annotated[
    str | None,
    Option(
        "--tracker",
        autocompletion=_completion.complete_one(_completion.trackers),
        help="Also log to an experiment tracker: tensorboard or mlflow.",
    ),
]
