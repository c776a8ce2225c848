"""A Hugging Face Hub on loopback: what the client asks of it to upload and to download files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_write"
READER = "hf_read"


@dataclass
class Repository:
    """The branches of a repository, each with the content of its files by name."""

    private: bool
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {".gitattributes": b""}})


@dataclass
class FakeHub:
    """State of the Hub.

    Attributes:
        repositories: By name.
        stored: Large files by SHA-256.
        messages: Messages of the commits.
        requests: Method and path of each request.
        address: Its URL.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def create(self, asked: Any) -> tuple[int, Any]:
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        status = 409 if name in self.repositories else 200
        self.repositories.setdefault(name, Repository(asked.get("visibility") == "private"))
        return status, {"url": f"{self.address}/{name}"}

    def modes(self, asked: Any) -> tuple[int, Any]:
        """Large files are stored apart, as on the real one."""
        paths = [file["path"] for file in asked["files"]]
        modes = ["lfs" if path.endswith(".hdf5") else "regular" for path in paths]
        return 200, {
            "files": [
                {"path": path, "uploadMode": mode, "shouldIgnore": False}
                for path, mode in zip(paths, modes, strict=True)
            ]
        }

    def batch(self, asked: Any) -> tuple[int, Any]:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.address}/stored/{one['oid']}"}}} for one in asked["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}

    def commit(self, name: str, branch: str, lines: bytes) -> tuple[int, Any]:
        files = self.repositories[name].branches[branch]
        for line in map(json.loads, lines.splitlines()):
            value = line["value"]
            match line["key"]:
                case "header":
                    self.messages.append(value["summary"])
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.stored[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        sha = _sha(files)
        return 200, {"success": True, "commitOid": sha, "commitUrl": f"{self.address}/{name}/commit/{sha}"}

    def files(self, name: str, revision: str) -> dict[str, bytes] | None:
        """Return the files of a branch or of a commit that is the newest of its branch."""
        repository = self.repositories.get(name)
        for branch, files in repository.branches.items() if repository else ():
            if revision in (branch, _sha(files)):
                return files
        return None


def _sha(files: dict[str, bytes]) -> str:
    content = [(name, hashlib.sha256(files[name]).hexdigest()) for name in sorted(files)]
    return hashlib.sha1(json.dumps(content).encode()).hexdigest()


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def _answer(self, status: int, value: Any = None, headers: dict[str, str] | None = None) -> None:
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for key, text in ({"Content-Length": str(len(body))} | (headers or {})).items():
                self.send_header(key, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def do_PUT(self) -> None:
            hub.requests.append(f"PUT {self.path}")
            content = self._body()
            hub.stored[hashlib.sha256(content).hexdigest()] = content
            self._answer(200)

        def do_POST(self) -> None:
            hub.requests.append(f"POST {self.path}")
            body = self._body()
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token not in (TOKEN, READER):
                self._answer(401, {"error": "Invalid username or password."})
            elif token == READER:
                self._answer(403, {"error": "You don't have the rights to create a model under this namespace"})
            elif self.path == "/api/repos/create":
                self._answer(*hub.create(json.loads(body)))
            elif self.path == "/api/validate-yaml":
                self._answer(200, {"errors": [], "warnings": []})
            elif match := re.fullmatch(r"/api/models/(.+)/branch/(.+)", self.path):
                branches = hub.repositories[match[1]].branches
                new = match[2] not in branches
                branches.setdefault(match[2], dict(branches["main"]))
                self._answer(200 if new else 409, {})
            elif "/preupload/" in self.path:
                self._answer(*hub.modes(json.loads(body)))
            elif self.path.endswith(".git/info/lfs/objects/batch"):
                self._answer(*hub.batch(json.loads(body)))
            elif match := re.fullmatch(r"/api/models/(.+)/commit/(.+)", self.path):
                self._answer(*hub.commit(match[1], match[2], body))

        def do_GET(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            path = self.path.partition("?")[0]
            if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
                files = hub.files(match[1], match[2]) or {}
                entries = [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for name, content in files.items()
                ]
                self._answer(200, entries, {"Content-Type": "application/json"})
            elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
                self._model(match[1], match[2] or "main")
            elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._file(*match.groups())
            else:
                self._answer(404, {})

        do_HEAD = do_GET

        def _model(self, name: str, revision: str) -> None:
            files = hub.files(name, revision)
            if files is None:
                code = "RevisionNotFound" if name in hub.repositories else "RepoNotFound"
                self._answer(404, {"error": code}, {"X-Error-Code": code})
                return
            siblings = [{"rfilename": one} for one in files]
            private = hub.repositories[name].private
            self._answer(200, {"id": name, "private": private, "sha": _sha(files), "siblings": siblings})

        def _file(self, name: str, revision: str, file: str) -> None:
            files = hub.files(name, revision)
            if files is None or file not in files:
                code = "RepoNotFound" if files is None else "EntryNotFound"
                self._answer(404, b"", {"X-Error-Code": code})
                return
            etag = hashlib.sha256(files[file]).hexdigest()
            self._answer(200, files[file], {"ETag": f'"{etag}"', "X-Repo-Commit": _sha(files)})

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield hub
        server.shutdown()
