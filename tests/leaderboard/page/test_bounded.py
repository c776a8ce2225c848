"""Tests of a server that no client can block."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from elmo_mf.cli._bounded_server import MOST_BYTES, MOST_CONNECTIONS, BoundedHandler, BoundedServer

_LONG = b"x" * 50_000_000
_REQUEST = b"GET /short HTTP/1.1\r\nHost: localhost:1\r\n"


class _Handler(BoundedHandler):
    def answer(self, path: str) -> tuple[str, bytes] | None:
        return {"/short": ("text/plain", b"here"), "/long": ("text/plain", _LONG)}.get(path)


@contextmanager
def _serving(patience: float = 60.0, clock: Callable[[], float] = lambda: 0.0) -> Iterator[BoundedServer]:
    with BoundedServer(0, _Handler, patience, clock) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _connect(serving: BoundedServer, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", serving.server_port), 60)
    connection.sendall(sent)
    return connection


def _answer(serving: BoundedServer, request: bytes) -> bytes:
    with _connect(serving, request) as one:
        return b"".join(iter(lambda: one.recv(65536), b""))


def _status(serving: BoundedServer, request: bytes) -> int:
    return int(_answer(serving, request).split()[1])


def test_it_answers() -> None:
    with _serving() as serving:
        assert _answer(serving, _REQUEST + b"\r\n").endswith(b"\r\n\r\nhere")
        assert _status(serving, b"GET /no HTTP/1.1\r\nHost: localhost:1\r\n\r\n") == 404
        assert _status(serving, b"GET /short HTTP/1.1\r\nHost: example.org\r\n\r\n") == 403
        assert _status(serving, b"POST /short HTTP/1.1\r\nHost: localhost:1\r\n\r\n") == 501


def test_it_answers_beside_many_that_say_nothing() -> None:
    """New connections close the oldest idle ones, and there are never more than allowed."""
    with _serving() as serving, ExitStack() as stack:
        idle = [stack.enter_context(_connect(serving, b"GET / HT")) for _ in range(MOST_CONNECTIONS + 20)]
        assert _answer(serving, _REQUEST + b"\r\n").endswith(b"here")
        assert [one.recv(1) for one in idle[:20]] == [b""] * 20
        idle[-1].sendall(b"TP/1.0\r\nHost: localhost:1\r\n\r\n")
        assert idle[-1].recv(12) == b"HTTP/1.0 404"


def test_it_does_not_wait_for_ever() -> None:
    """Silent and slow clients are disconnected in time."""
    now = [0.0]
    with _serving(100.0, lambda: now[0]) as serving, _connect(serving) as silent, _connect(serving, b"GET") as slow:
        assert _answer(serving, _REQUEST + b"\r\n").endswith(b"here")  # so that those before have been accepted
        now[0] = 90.0
        slow.sendall(b" /short HTTP/1.1\r\nHost: localhost:1\r\n")
        assert _answer(serving, _REQUEST + b"\r\n").endswith(b"here")
        now[0] = 110.0
        assert silent.recv(1) == slow.recv(1) == b""


def test_nor_for_who_does_not_read() -> None:
    with _serving(0.1) as serving, _connect(serving, _REQUEST.replace(b"short", b"long") + b"\r\n") as one:
        ended = threading.Event()
        shutdown = serving.shutdown_request

        def seen(request: socket.socket) -> None:
            shutdown(request)
            ended.set()

        serving.shutdown_request = seen  # type: ignore[method-assign]
        assert ended.wait(60)
        assert sum(map(len, iter(lambda: one.recv(1_000_000), b""))) < len(_LONG)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (_REQUEST + b"A: " + b"x" * (MOST_BYTES - len(_REQUEST) - 3), 431),
        ((_REQUEST + b"A: b\r\n" * 90)[:-4] + b"\r\n" * 9, 200),
        (_REQUEST + b"A: b\r\n" * 110, 431),
        (b"GET /" + b"x" * (MOST_BYTES - 5), 431),
        (_REQUEST + b"Content-Length: 9999999999999\r\n\r\nxxxx", 200),
        (_REQUEST + b"Content-Length: -1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 200),
        (_REQUEST + b"\r\n" + b"\x00\xff garbage\r\n" * 9, 200),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /short HTTP/9.9\r\n\r\n", 505),
    ],
)
def test_whatever_is_asked(request_: bytes, status: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Every request gets one answer, and nothing is printed."""
    with _serving() as serving:
        with _connect(serving, request_) as one:
            one.shutdown(socket.SHUT_WR)
            answer = one.recv(65536)
        assert f" {status} ".encode() in answer.splitlines()[0] or f"Error code: {status}".encode() in answer
        assert _answer(serving, _REQUEST + b"\r\n").endswith(b"here")
    assert "Traceback" not in capfd.readouterr().err


def test_more_than_a_request_may_be(capfd: pytest.CaptureFixture[str]) -> None:
    """The connection of a request that is too large ends."""
    with _serving() as serving:
        with _connect(serving) as one, pytest.raises(ConnectionError):
            for _ in range(1000):
                one.sendall(b"x" * 100_000)
        assert _answer(serving, _REQUEST + b"\r\n").endswith(b"here")
    assert "Traceback" not in capfd.readouterr().err
