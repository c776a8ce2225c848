"""The page of a sweep that goes on."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from elmo_mf.errors import InputError
from elmo_mf.locks import acquire
from elmo_mf.report.page.serve import server
from tests.report.page.conftest import Opens
from tests.report.records import record, write


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    with server(tmp_path, 0) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def _address(serving: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{serving.server_port}/"


def test_records_come_as_they_are_written(opens: Opens, serving: ThreadingHTTPServer, tmp_path: Path) -> None:
    page = opens(_address(serving))
    expect(page.locator("#live")).to_have_text("0 recorded, 0 running, 0 failed")
    write(tmp_path, [record(None, 0.4), record(4, 0.3)])
    expect(page.locator("#table tbody tr")).to_have_count(2)
    page.get_by_label("Find").fill("rank")
    expect(page.locator("#table tbody tr")).to_have_count(1)
    write(tmp_path, [record(None, 0.4), record(4, 0.3), record(8, 0.35)])
    expect(page.locator("#live")).to_contain_text("3 recorded")
    expect(page.locator("#table tbody tr")).to_have_count(2)
    expect(page.get_by_label("Find")).to_have_value("rank")
    assert not (tmp_path / "index.html").exists() and not (tmp_path / "README.md").exists()


def test_what_runs_and_what_failed(serving: ThreadingHTTPServer, tmp_path: Path) -> None:
    write(tmp_path, [record(None, 0.4)])
    lock = acquire(tmp_path / "running" / "sst-svd-seed-1.lock")
    assert lock is not None
    lock.note(json.dumps({"phase": "training", "share": 0.25, "loss": 1.5}))
    (tmp_path / "failed" / "sst-nmf-seed-1").mkdir(parents=True)
    (tmp_path / "failed" / "sst-nmf-seed-1" / "error.json").write_text('{"id": "x", "error": "out of memory"}')
    (tmp_path / "records" / "torn.json").write_text("{")
    with urllib.request.urlopen(f"{_address(serving)}status.json") as answer:
        lines = json.load(answer)["text"].splitlines()
    lock.release(remove=True)
    assert lines[:3] == [
        "1 recorded, 1 running, 1 failed",
        "sst-svd-seed-1: training 25% loss 1.500",
        "sst-nmf-seed-1: failed: out of memory",
    ]
    assert "torn.json" in lines[3]


def test_others_are_sent_away(serving: ThreadingHTTPServer) -> None:
    """Also those whose name leads here: a page of theirs could read the records otherwise."""
    for address, host, status in (
        ("nothing", "localhost:1", 404),
        ("", "example.org", 403),
        ("data.json", "127.0.0.1.example.org:80", 403),
    ):
        request = urllib.request.Request(_address(serving) + address, headers={"Host": host})
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request)
        assert error.value.code == status


def test_who_goes_away_early(serving: ThreadingHTTPServer, capfd: pytest.CaptureFixture[str]) -> None:
    """Leaves no traceback behind."""
    serving.daemon_threads = False  # so that closing it waits for them
    with socket.create_connection(("127.0.0.1", serving.server_port)) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not closed
        one.sendall(b"GET / HTTP/1.0\r\nHost: localhost:1\r\n\r\n")
        assert one.recv(1)  # of an answer that no buffer holds
    serving.shutdown()
    serving.server_close()
    assert "ConnectionResetError" not in capfd.readouterr().err


def test_no_folder_and_no_port(serving: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: found no folder"):
        server(tmp_path / "nowhere", 0)
    with pytest.raises(InputError, match=f"--port: found {serving.server_port}, expected a port that is free"):
        server(tmp_path, serving.server_port)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell's jobs in the background ignore Ctrl+C, and so would a process that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_the_command(tmp_path: Path) -> None:
    write(tmp_path, [record(None, 0.4)])
    command = [sys.executable, "-m", "elmo_mf", "leaderboard", str(tmp_path), "--serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            line = process.stdout.readline()
            with urllib.request.urlopen(line.split()[0]) as answer:
                assert b"<h1>Leaderboard</h1>" in answer.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130 and "Traceback" not in process.stderr.read()
        finally:
            process.kill()
    assert line.startswith("http://127.0.0.1:") and line.endswith(f"shows {tmp_path}; Ctrl+C ends it\n")
    assert [path.name for path in tmp_path.iterdir()] == ["records"]
