"""Paths and addresses, against AllenNLP's `cached_path`."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from allennlp.common.file_utils import cached_path

from elmo_mf.errors import InputError
from elmo_mf.paths import local_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a b%20c.txt").write_text("text")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("form", ["~/{name}", "{home}/{name}", "file://{home}/{name}", "{name}", "file://{name}"])
def test_local_files_are_where_allennlp_finds_them(form: str, home: Path) -> None:
    given = form.format(home=home, name="a b%20c.txt")
    assert local_path(given) == cached_path(given)
    if not given.startswith("file://a"):  # of which a Path makes file:/a
        assert local_path(Path(given)) == local_path(given)


@pytest.mark.parametrize("path", ["gone.txt", "/", "", "a:b/c", "ftp:/x", "~nobody-of-that-name/x", "~\0", "~\ud800/x"])
def test_other_names_stay_as_they_are(path: str) -> None:
    assert local_path(path) == path


def test_local_paths_do_not_import_allennlp() -> None:
    code = "import sys; from elmo_mf.paths import local_path; local_path('file:///x'); print('allennlp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(home))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_addresses(address: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a text, and as a `Path`, which loses a slash."""
    monkeypatch.setattr("allennlp.common.file_utils.CACHE_DIRECTORY", str(home / "cache"))
    (home / "words.txt").write_text("from afar")
    for given in (f"{address}/words.txt", Path(f"{address}/words.txt")):
        assert Path(local_path(given)).read_text() == "from afar"
    with pytest.raises(InputError, match=r"gone\.txt: cannot be fetched \(.*\), expected an address of a file"):
        local_path(f"{address}/gone.txt")
