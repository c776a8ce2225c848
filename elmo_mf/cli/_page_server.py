"""Serve the leaderboard page of a folder, which a sweep may still be writing to, on this machine only."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from elmo_mf.cli._bounded_server import PATIENCE, BoundedHandler, BoundedServer
from elmo_mf.errors import InputError, printable
from elmo_mf.experiments import Failures, Heartbeat, Leases
from elmo_mf.io import read_bytes
from elmo_mf.leaderboard import MARGIN, boards, outputs_of
from elmo_mf.leaderboard.page import as_json, page, page_data
from elmo_mf.records.record import MOST_BYTES
from elmo_mf.records.store import RecordStore

_RECORDS = "/records/"
MOST_LINES = 200
"""Largest number of lines about running runs, failed runs and invalid records."""


class Live:
    """Current content of an output folder, which is not modified, and read again only when it has changed.

    Args:
        folder: The output folder.
        margin: The largest loss treated as negligible. Defaults to 1.
    """

    def __init__(self, folder: Path, margin: float = MARGIN) -> None:
        self._folder, self._margin = folder, margin
        self._lock = threading.Lock()
        self._version: str | None = None
        self._data: dict[str, Any] = {}
        self._names: set[str] = set()
        self._problems: list[str] = []

    def data(self) -> tuple[str, dict[str, Any]]:
        """Return the version of the page's data, and the data."""
        with self._lock:
            version = self._seen()
            if version != self._version:
                store = RecordStore(self._folder)
                records = store.records()
                self._data, self._version = page_data(boards(records, outputs_of(self._folder), self._margin)), version
                self._names, self._problems = set(records.names()), list(store.problems.values())
            return version, self._data

    def record(self, name: str) -> bytes | None:
        """Return the content of a record's file, or None if there is no such record."""
        if name not in self._names:
            return None
        try:
            return read_bytes(self._folder / "records" / name, "record", "a result record", most=MOST_BYTES)
        except InputError:  # removed since
            return None

    def status(self) -> dict[str, str]:
        """Return the version of the page's data, and the state of the sweep as text."""
        version, _ = self.data()
        running, failed = Leases(self._folder).all(), Failures(self._folder).all()
        lines = [f"{printable(name)}: {_progress(heartbeat)}" for name, heartbeat in running.items()]
        lines += [f"{printable(name)}: failed: {error}" for name, error in failed.items()]
        lines += self._problems
        more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
        counts = f"{len(self._names)} recorded, {len(running)} running, {len(failed)} failed"
        return {"version": version, "text": "\n".join([counts, *lines[:MOST_LINES], *more])}

    def _seen(self) -> str:
        """Return a hash of the names, sizes and modification times of the record files."""
        states = []
        for path in sorted((self._folder / "records").glob("*.json")):
            try:
                status = path.stat()
            except OSError:  # removed since
                continue
            states.append(f"{path.name} {status.st_size} {status.st_mtime_ns}")
        return hashlib.sha256("\n".join(states).encode()).hexdigest()[:16]


def _progress(heartbeat: Heartbeat) -> str:
    parts = [heartbeat.phase]
    parts += [f"{heartbeat.share:.0%}"] if heartbeat.share else []
    parts += [] if heartbeat.loss is None else [f"loss {heartbeat.loss:.3f}"]
    return " ".join(parts)


def server(folder: Path, port: int, margin: float = MARGIN, patience: float = PATIENCE) -> BoundedServer:
    """Build a server of a folder's page on the loopback interface; `serve_forever` starts it.

    Args:
        folder: Output folder of a sweep.
        port: Port; 0 for any free one.
        margin: The largest loss treated as negligible, see `boards`.
        patience: Seconds, see `bounded_server.PATIENCE`.

    Raises:
        InputError: The folder does not exist, or the port is taken.
    """
    if not folder.is_dir():
        raise InputError(folder, "no such folder, expected the output folder of a sweep")
    live = Live(folder, margin)
    pages: dict[str, tuple[str, Callable[[], str]]] = {
        "/": ("text/html", lambda: _page(live)),
        "/index.html": ("text/html", lambda: _page(live)),
        "/data.json": ("application/json", lambda: as_json(live.data()[1])),
        "/status.json": ("application/json", lambda: as_json(live.status())),
    }

    class Handler(BoundedHandler):
        def answer(self, path: str) -> tuple[str, bytes] | None:
            if path.startswith(_RECORDS):
                record = live.record(unquote(path.removeprefix(_RECORDS)))
                return None if record is None else ("application/json", record)
            if path not in pages:
                return None
            kind, text = pages[path]
            return kind, text().encode()

    try:
        return BoundedServer(port, Handler, patience)
    except OSError as error:
        raise InputError("--port", f"found {port}, expected a free port ({error.strerror})") from None


def _page(live: Live) -> str:
    version, data = live.data()
    return page(data, version)
