"""An HTTP server that nobody can keep busy: bounds on connections, on their time, and on what a request may be."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MOST_CONNECTIONS = 64
"""At once, each with a thread of its own."""
MOST_BYTES = 16_384
"""Of a request; nothing that is asked for here has a body."""
PATIENCE = 10.0
"""Seconds in which a request must be there; and the longest that an answer may rest."""
_LONGEST = 30  # times `PATIENCE`, that a connection may last in all
_PIECE = 65_536  # bytes of an answer that are sent at once


class BoundedServer(ThreadingHTTPServer):
    """Answers GET on the loopback interface, one request a connection, whoever else is connected.

    A connection whose request does not come in time is closed. So is the oldest such one, or else the oldest of all,
    when there are `MOST_CONNECTIONS` and another comes.

    Args:
        port: 0 for any that is free.
        handler: answers requests.
        patience: see `PATIENCE`.
        clock: seconds, from any time on.
    """

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(
        self,
        port: int,
        handler: type[BoundedHandler],
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.patience, self._clock = patience, clock
        self._waiting: dict[socket.socket, float] = {}  # for their requests, since when; the oldest first
        self._answered: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._waiting) + len(self._answered) >= MOST_CONNECTIONS:
                connections = self._waiting or self._answered
                oldest = next(iter(connections))
                del connections[oldest]
                _end(oldest)
            self._waiting[request] = self._clock()
        super().process_request(request, client_address)

    def has_asked(self, request: socket.socket) -> None:
        """A connection's request is there."""
        with self._lock:
            if request in self._waiting:
                self._answered[request] = self._waiting.pop(request)

    def service_actions(self) -> None:
        """Between requests, some times a second, end what has lasted too long."""
        super().service_actions()
        with self._lock:
            now = self._clock()
            for connections, longest in ((self._waiting, 1), (self._answered, _LONGEST)):
                for request, since in connections.items():
                    if now - since > longest * self.patience:
                        _end(request)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._waiting.pop(request, None)
            self._answered.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing to say of who is gone before the answer is."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _end(request: socket.socket) -> None:
    """Whatever its thread waits for comes to an end; the thread closes it."""
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class BoundedHandler(BaseHTTPRequestHandler):
    """One GET from this machine; `answer` says what it gets."""

    server: BoundedServer

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Content type and body of a path, None if there is nothing."""
        raise NotImplementedError

    def setup(self) -> None:
        self.request.settimeout(self.server.patience)
        super().setup()
        self._request = _Limited(self.rfile, MOST_BYTES)
        self.rfile = io.BufferedReader(self._request)

    def do_GET(self) -> None:
        self.server.has_asked(self.request)
        found = None
        if not self._request.left:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        # another site's name that leads here must not read the records
        elif self.headers.get("Host", "").rpartition(":")[0] not in ("127.0.0.1", "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
        elif (found := self.answer(self.path.partition("?")[0])) is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self._send(*found)

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        for start in range(0, len(body), _PIECE):
            self.wfile.write(body[start : start + _PIECE])

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing of requests."""


class _Limited(io.RawIOBase):
    """The beginning of a stream."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self.left = stream, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._stream.read1(min(len(buffer), self.left))
        buffer[: len(found)] = found
        self.left -= len(found)
        return len(found)
