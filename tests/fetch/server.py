"""A loopback server that misbehaves as a test asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """State of a server.

    Attributes:
        files: Content of the files by name.
        etag: ETag of every file; empty for none.
        trouble: Faults of the next requests, one each: `cut`, `stall`, `garbage`, `no-range`, `error`, `other-range`,
            `long`, `status`, or a URL to redirect to.
        ranges: The header `Range` of each request.
        sent: Number of bytes that have been sent.
        address: URL of the server.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.etag = ""
        self.trouble: list[str] = []
        self.ranges: list[str | None] = []
        self.sent = 0
        self.address = ""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    server = Server(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            trouble = server.trouble.pop(0) if server.trouble else ""
            server.ranges.append(self.headers.get("Range"))
            content = server.files.get(self.path.rsplit("/", 1)[1])
            if content is None or trouble == "error":
                self.send_error(404 if content is None else 503)
                return
            if "://" in trouble or trouble == "status":
                self.send_response(203 if trouble == "status" else 302)
                self.send_header("Location", trouble)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if trouble != "no-range" else 0
            if server.etag and self.headers.get("If-Range", server.etag) != server.etag:
                start = 0
            if start >= len(content) > 0 and start:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            body = bytes(len(content)) if trouble == "garbage" else content[start:]
            if start:
                first = start - 1 if trouble == "other-range" else start
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            if server.etag:
                self.send_header("ETag", server.etag)
            if trouble != "long":
                self.send_header("Content-Length", str(len(body)))
            else:
                body += b"more"
            self.end_headers()
            part = body[: len(body) // 2] if trouble in ("cut", "stall") else body
            self.wfile.write(part)
            self.wfile.flush()
            server.sent += len(part)
            if trouble == "stall":
                time.sleep(1.5)

        def log_message(self, *_: object) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    server.address = f"http://127.0.0.1:{http.server_port}/files"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
