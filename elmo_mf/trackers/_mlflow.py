"""MLflow: a database in the output folder, or the server that `MLFLOW_TRACKING_URI` names."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError, check_installed
from elmo_mf.trackers.tracker import TrackedRun, register

_ID = "elmo_mf.run"  # tag with the run's id
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Settings of MLflow: by default it reports its use to its authors, and waits minutes for a server that is down."""


@register("mlflow")
class MLflow:
    """Writes to `mlflow.db` in the output folder, or to the server that `MLFLOW_TRACKING_URI` names.

    The runs belong to the experiment of `MLFLOW_EXPERIMENT_NAME`, by default `elmo-mf`.
    """

    def __init__(self, folder: Path) -> None:
        for module in ("mlflow", "sqlalchemy", "alembic"):
            check_installed(module)
        self._folder = folder.resolve()
        self._address = os.environ.get("MLFLOW_TRACKING_URI")
        if not self._address and any(sign in str(self._folder) for sign in "?#%"):
            raise InputError("tracker", f"found the folder {folder} for mlflow, expected a name without ?, # and %")

    def has(self, run: TrackedRun) -> bool:
        """See `Tracker.has`."""
        return any(one.info.status == "FINISHED" for one in self._logged(run))

    def start(self, run: TrackedRun, step: int) -> _Log:
        """See `Tracker.start`."""
        open_ones = [one.info.run_id for one in self._logged(run) if one.info.status != "FINISHED"]
        if open_ones:
            return _Log(self._client, open_ones[0])
        tags = {_ID: run.id}
        created = self._client.create_run(self._experiment, tags=tags, run_name=run.name).info.run_id
        from mlflow.entities import Param

        self._client.log_batch(created, params=[Param(name, str(value)) for name, value in run.parameters.items()])
        return _Log(self._client, created)

    def _logged(self, run: TrackedRun) -> list[Any]:
        return list(self._client.search_runs([self._experiment], f"tags.`{_ID}` = '{run.id}'"))

    @cached_property
    def _client(self) -> Any:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # which tell about the tables that they create
            logging.getLogger(name).setLevel(logging.WARNING)
        return MlflowClient(self._address or f"sqlite:///{self._folder}/mlflow.db")

    @cached_property
    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "elmo-mf")
        known = self._client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        artifacts = None if self._address else (self._folder / "mlartifacts").as_uri()
        return str(self._client.create_experiment(name, artifact_location=artifacts))


class _Log:
    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._id = client, run_id
        self._last = {  # steps that the log of an interrupted run has
            name: max(metric.step for metric in client.get_metric_history(run_id, name))
            for name in client.get_run(run_id).data.metrics
        }

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """See `RunLog.metrics`."""
        import time

        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        new = [Metric(name, value, now, step) for name, value in values.items() if step > self._last.get(name, -1)]
        self._client.log_batch(self._id, metrics=new)

    def finish(self) -> None:
        """See `RunLog.finish`."""
        self._client.set_terminated(self._id)
