"""The page of a folder that a sweep may still be writing to, on this machine only."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError
from elmo_mf.harness.claims import Claims
from elmo_mf.harness.failures import Failures
from elmo_mf.harness.store import ResultStore
from elmo_mf.report.aggregate import boards
from elmo_mf.report.page.data import page_data
from elmo_mf.report.page.write import as_json, page


class Live:
    """What is in an output folder now; nothing in it is changed, and it is read again only when it has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._version: str | None = None
        self._data: dict[str, Any] = {}
        self._recorded = 0
        self._problems: list[str] = []

    def data(self) -> tuple[str, dict[str, Any]]:
        """The page's data with its version."""
        with self._lock:
            version = self._seen()
            if version != self._version:
                store = ResultStore(self._folder)
                records = store.records()
                self._data, self._version = page_data(boards(records)), version
                self._recorded, self._problems = len(records), list(store.problems.values())
            return version, self._data

    def status(self) -> dict[str, str]:
        """The version, and how far the sweep is, in a text."""
        version, _ = self.data()
        running, failed = Claims(self._folder).all(), Failures(self._folder).all()
        lines = [f"{self._recorded} recorded, {len(running)} running, {len(failed)} failed"]
        lines += [f"{name}: {_progress(note)}" for name, note in running.items()]
        lines += [f"{name}: failed: {error}" for name, error in failed.items()]
        return {"version": version, "text": "\n".join([*lines, *self._problems])}

    def _seen(self) -> str:
        """What the records' names, sizes and times come to."""
        found = []
        for path in sorted((self._folder / "records").glob("*.json")):
            try:
                about = path.stat()
            except FileNotFoundError:
                continue
            found.append(f"{path.name} {about.st_size} {about.st_mtime_ns}")
        return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


def _progress(note: dict[str, Any]) -> str:
    share, loss = note.get("share"), note.get("loss")
    parts = [str(note.get("phase", "starting"))]
    parts += [f"{share:.0%}"] if isinstance(share, float) and share else []
    parts += [f"loss {loss:.3f}"] if isinstance(loss, float) else []
    return " ".join(parts)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing to say of who is gone before the answer is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder's page on the loopback interface; `serve_forever` starts it.

    # Parameters
    port: 0 for any that is free.

    # Raises
    InputError: there is no such folder, or the port is taken.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: found no folder, expected the output folder of a sweep")
    live = Live(folder)
    pages: dict[str, tuple[str, Callable[[], str]]] = {
        "/": ("text/html", lambda: _page(live)),
        "/index.html": ("text/html", lambda: _page(live)),
        "/data.json": ("application/json", lambda: as_json(live.data()[1])),
        "/status.json": ("application/json", lambda: as_json(live.status())),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = pages.get(self.path.partition("?")[0])
            # another site's name that leads here must not read the records
            if self.headers.get("Host", "").rpartition(":")[0] not in ("127.0.0.1", "localhost"):
                self.send_error(HTTPStatus.FORBIDDEN)
            elif found is None:
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                kind, text = found
                self._answer(kind, text().encode())

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing of requests."""

    try:
        return _Server(("127.0.0.1", port), Handler)
    except OSError as error:
        raise InputError(f"--port: found {port}, expected a port that is free ({error.strerror})") from None


def _page(live: Live) -> str:
    version, data = live.data()
    return page(data, version)
