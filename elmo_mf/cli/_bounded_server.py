"""An HTTP server that no client can block: connections, their duration and the size of requests are bounded."""

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
"""Largest number of simultaneous connections, each of which has its own thread."""
MOST_BYTES = 16_384
"""Largest size of a request in bytes; requests have no body."""
PATIENCE = 10.0
"""Seconds within which a request must arrive, and for which sending an answer may stall."""
_LONGEST = 30  # longest duration of a connection, in multiples of `PATIENCE`
_CHUNK = 65_536  # bytes per write of an answer


class BoundedServer(ThreadingHTTPServer):
    """Server that answers GET on the loopback interface, one request per connection.

    A connection whose request does not arrive in time is closed. If `MOST_CONNECTIONS` are open when another arrives,
    the oldest one without a request is closed, or the oldest of all if every request has arrived.

    Args:
        port: Port; 0 for any free one.
        handler: Class that answers requests.
        patience: Seconds, see `PATIENCE`.
        clock: Function that returns seconds since any fixed time.
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
        self._waiting: dict[socket.socket, float] = {}  # start times of connections without a request, oldest first
        self._answered: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection; if there are too many, the one that waits longest is ended."""
        with self._lock:
            if len(self._waiting) + len(self._answered) >= MOST_CONNECTIONS:
                connections = self._waiting or self._answered
                oldest = next(iter(connections))
                del connections[oldest]
                _end(oldest)
            self._waiting[request] = self._clock()
        super().process_request(request, client_address)

    def has_asked(self, request: socket.socket) -> None:
        """Record that the request of a connection has arrived."""
        with self._lock:
            if request in self._waiting:
                self._answered[request] = self._waiting.pop(request)

    def service_actions(self) -> None:
        """End connections that have lasted too long; called several times per second."""
        super().service_actions()
        with self._lock:
            now = self._clock()
            for connections, longest in ((self._waiting, 1), (self._answered, _LONGEST)):
                for request, since in connections.items():
                    if now - since > longest * self.patience:
                        _end(request)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._lock:
            self._waiting.pop(request, None)
            self._answered.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print a traceback, except for clients that disconnected early."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _end(request: socket.socket) -> None:
    """Shut a connection down, so that its thread stops waiting and closes it."""
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class BoundedHandler(BaseHTTPRequestHandler):
    """Handler of one GET from this machine; subclasses define `answer`."""

    server: BoundedServer

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Return the content type and body of a path, or None if there is nothing."""
        raise NotImplementedError

    def setup(self) -> None:
        """Bound the time and the size of the request."""
        self.request.settimeout(self.server.patience)
        super().setup()
        self._request = _Limited(self.rfile, MOST_BYTES)
        self.rfile = io.BufferedReader(self._request)

    def do_GET(self) -> None:
        """Answer a request, or reject it."""
        self.server.has_asked(self.request)
        content = None
        if not self._request.left:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        # a page of another site whose name resolves to this machine must not read the records
        elif self.headers.get("Host", "").rpartition(":")[0] not in ("127.0.0.1", "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
        elif (content := self.answer(self.path.partition("?")[0])) is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self._send(*content)

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        for start in range(0, len(body), _CHUNK):
            self.wfile.write(body[start : start + _CHUNK])

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


class _Limited(io.RawIOBase):
    """The first `most` bytes of a stream."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self.left = stream, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read1(min(len(buffer), self.left))
        buffer[: len(content)] = content
        self.left -= len(content)
        return len(content)
