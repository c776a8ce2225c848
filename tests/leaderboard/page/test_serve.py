"""Tests of the page of a running sweep."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from elmo_mf.cli._bounded_server import BoundedServer
from elmo_mf.cli._page_server import MOST_LINES, server
from elmo_mf.errors import InputError
from elmo_mf.io.locks import acquire
from tests.leaderboard.page.conftest import Opens
from tests.records.samples import record, write


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[BoundedServer]:
    with server(tmp_path, 0) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _address(serving: BoundedServer) -> str:
    return f"http://127.0.0.1:{serving.server_port}/"


def _lines(serving: BoundedServer) -> list[str]:
    with urllib.request.urlopen(f"{_address(serving)}status.json", timeout=60) as answer:
        return list(json.load(answer)["text"].split("\n"))


def test_records_come_as_they_are_written(opens: Opens, serving: BoundedServer, tmp_path: Path) -> None:
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


def test_what_runs_and_what_failed(serving: BoundedServer, tmp_path: Path) -> None:
    write(tmp_path, [record(None, 0.4)])
    lock = acquire(tmp_path / "running" / "sst-svd-seed-1.lock")
    assert lock is not None
    lock.write(json.dumps({"phase": "training", "share": 0.25, "loss": 1.5}))
    (tmp_path / "failed" / "sst-nmf-seed-1").mkdir(parents=True)
    (tmp_path / "failed" / "sst-nmf-seed-1" / "error.json").write_text('{"id": "x", "error": "out of memory"}')
    (tmp_path / "records" / "torn.json").write_text("{")
    lines = _lines(serving)
    lock.release(remove=True)
    assert lines[:3] == [
        "1 recorded, 1 running, 1 failed",
        "sst-svd-seed-1: training 25% loss 1.500",
        "sst-nmf-seed-1: failed: out of memory",
    ]
    assert "torn.json" in lines[3]


def test_others_are_sent_away(serving: BoundedServer) -> None:
    """Other host names are rejected too; a page of such a site could otherwise read the records."""
    for address, host, status in (
        ("nothing", "localhost:1", 404),
        ("", "example.org", 403),
        ("data.json", "127.0.0.1.example.org:80", 403),
    ):
        request = urllib.request.Request(_address(serving) + address, headers={"Host": host})
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request)
        assert error.value.code == status


@pytest.mark.slow
def test_who_goes_away_early(serving: BoundedServer, capfd: pytest.CaptureFixture[str]) -> None:
    """A client that disconnects early causes no traceback."""
    serving.daemon_threads = False  # so that closing the server waits for its threads
    with socket.create_connection(("127.0.0.1", serving.server_port)) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not closed
        one.sendall(b"GET / HTTP/1.0\r\nHost: localhost:1\r\n\r\n")
        assert one.recv(1)  # the answer is too large for any buffer
    serving.shutdown()
    serving.server_close()
    assert "ConnectionResetError" not in capfd.readouterr().err


def test_no_folder_and_no_port(serving: BoundedServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: "):
        server(tmp_path / "nowhere", 0)
    with pytest.raises(InputError, match=f"--port: found {serving.server_port}"):
        server(tmp_path, serving.server_port)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let child processes receive Ctrl+C, which background jobs of a shell ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
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
    assert line.startswith("http://127.0.0.1:") and line.endswith(f"shows {tmp_path}; press Ctrl+C to stop\n")
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "note",
    [b"", b"\xff", b"5", b"[" * 9000, b'{"phase": 5}', b'{"share": "much"}', b'{"share": 1e400}', b'{"share": -1}',
     b'{"loss": [1]}', b'{"phase": "x", "pid": {}}', b'{"phase": "' + b"x" * 20_000 + b'"}',
     b'{"pid": 1' + b"0" * 9000 + b"}"],
)  # fmt: skip
def test_notes_that_are_none(note: bytes, serving: BoundedServer, tmp_path: Path) -> None:
    """Invalid notes of runs are ignored."""
    lock = acquire(tmp_path / "running" / "cell.lock")
    assert lock is not None
    (tmp_path / "running" / "cell.lock").write_bytes(note)
    for name, content in (("one", note), ("two", b'{"id": "x", "error": ["no"]}')):
        (tmp_path / "failed" / name).mkdir(parents=True)
        (tmp_path / "failed" / name / "error.json").write_bytes(content)
    assert _lines(serving) == ["0 recorded, 1 running, 0 failed", "cell: starting"]
    lock.release(remove=True)


def test_notes_are_lines_of_text(serving: BoundedServer, tmp_path: Path) -> None:
    lock = acquire(tmp_path / "running" / "a\nb.lock")
    assert lock is not None
    lock.write(json.dumps({"phase": "x\x1b[2J\n" + "y" * 99, "loss": float("nan")}))
    (tmp_path / "failed" / "one").mkdir(parents=True)
    (tmp_path / "failed" / "one" / "error.json").write_text(
        json.dumps({"id": "x", "error": "\x1b]0;\n" + "z" * 99_999})
    )
    _, running, failed = _lines(serving)
    lock.release(remove=True)
    assert running.startswith(r"a\nb: x\x1b[2J\ny") and running.endswith("yyy") and len(running) < 100
    assert failed.startswith(r"one: failed: \x1b]0;\nzzz") and len(failed) < 1100


def test_what_is_no_file(serving: BoundedServer, tmp_path: Path) -> None:
    for folder, name in (("running", "pipe.lock"), ("failed/one", "error.json")):
        (tmp_path / folder).mkdir(parents=True)
        os.mkfifo(tmp_path / folder / name)
    (tmp_path / "running" / "folder.lock").mkdir()
    assert _lines(serving) == ["0 recorded, 0 running, 0 failed"]


def test_no_more_lines_than_a_page_can_show(serving: BoundedServer, tmp_path: Path) -> None:
    for index in range(MOST_LINES + 5):
        (tmp_path / "failed" / str(index)).mkdir(parents=True)
        (tmp_path / "failed" / str(index) / "error.json").write_text('{"id": "x", "error": "no"}')
    lines = _lines(serving)
    assert len(lines) == MOST_LINES + 2 and lines[-1] == "and 5 more"


@pytest.mark.slow
def test_records_of_a_page_that_leaves_them_out(serving: BoundedServer, tmp_path: Path) -> None:
    """Records are served by their names, and no other files are."""
    one = record(None, 0.4)
    write(tmp_path, [one])
    (tmp_path / "records" / "other.json").write_text("{}")
    (tmp_path / "secret.json").write_text("{}")
    _lines(serving)
    with urllib.request.urlopen(f"{_address(serving)}records/00000-{one['id'][:10]}.json", timeout=60) as answer:
        assert json.load(answer) == one
    for name in ("other.json", "..%2Fsecret.json", "%2e%2e/secret.json", "", "%00", "x" * 9000):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{_address(serving)}records/{name}", timeout=60)
        assert error.value.code == 404
