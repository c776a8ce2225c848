"""Paths and addresses, against AllenNLP's `cached_path`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from allennlp.common.file_utils import cached_path

from elmo_mf import Bilm
from elmo_mf.addresses import local_path
from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from tests.conftest import random_bilm


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
    uses = "import sys; from elmo_mf.addresses import local_path; local_path('file:///x')"
    code = f"{uses}; print('allennlp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(home))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_addresses(address: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a text, and as a `Path`, which loses a slash."""
    monkeypatch.setattr("allennlp.common.file_utils.CACHE_DIRECTORY", str(home / "cache"))
    (home / "words.txt").write_text("from afar")
    for given in (f"{address}/words.txt", Path(f"{address}/words.txt")):
        assert Path(local_path(given)).read_text() == "from afar"
    with pytest.raises(InputError, match=r"gone\.txt: cannot be fetched \(.*\), expected the URL of a file"):
        local_path(f"{address}/gone.txt")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["~", "file://", "http://"])
def test_encoders_from_any_place(kind: str, address: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allennlp.common.file_utils.CACHE_DIRECTORY", str(home / "cache"))
    bilm = random_bilm()
    bilm.save(home / "elmo")
    start = {"~": "~", "file://": f"file://{home}", "http://": address}[kind]
    from_addresses = Bilm.from_files(f"{start}/elmo/options.json", f"{start}/elmo/weights.hdf5")
    assert np.array_equal(from_addresses.embed([["A", "word"]])[0], bilm.embed([["A", "word"]])[0])
    with pytest.raises(InputError, match=r"gone\.json"):
        Bilm.from_files(f"{start}/gone.json", f"{start}/elmo/weights.hdf5")
    shutil.make_archive(str(home / "elmo"), "zip", home / "elmo")
    zipped = Bilm.from_files(f"{start}/elmo.zip")
    assert np.array_equal(zipped.embed([["A", "word"]])[0], bilm.embed([["A", "word"]])[0])
    assert main(["inspect", f"{start}/elmo.zip"]) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("short_limits")
@pytest.mark.parametrize("kind", ["~", "file://", "http://"])
def test_files_on_the_command_line(
    kind: str, address: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that a command reads, and `~` and `file://` of those that it writes."""
    monkeypatch.setattr("allennlp.common.file_utils.CACHE_DIRECTORY", str(home / "cache"))
    random_bilm().save(home / "elmo")
    (home / "t.txt").write_text("a b\nc\n" * 20)
    start = {"~": "~", "file://": f"file://{home}", "http://": address}[kind]
    out = "~/out" if kind == "http://" else f"{start}/out"
    elmo = [f"{start}/elmo/options.json", f"{start}/elmo/weights.hdf5"]
    given = ["--options", elmo[0], "--weights", elmo[1]]
    text = f"{start}/t.txt"
    small = [*elmo, "--rank", "2", "--evaluation", text]
    bench = ["--seconds", "0", "--batches", "1", "--lengths", "3", "--ranks", "2", "--parts", "characters"]
    for command in (
        ["inspect", *elmo, "--json", f"{out}/spectra.json"],
        ["compress", *small, "--out", f"{out}/small"],
        ["compress", *small, "--method", "whitened_svd", "--calibration", text, "--out", f"{out}/white"],
        ["compress", *small, "--distill", text, "--distill-steps", "1", "--out", f"{out}/tuned"],
        ["embed", text, f"{out}/vectors.hdf5", *given],
        ["bench", *given, *bench, "--precisions", "float32", "--json", f"{out}/bench.json"],
        ["tasks", "--json", f"{out}/tasks.json"],
    ):
        assert main(command) == 0, capsys.readouterr().err
    written = {path.name for path in (home / "out").iterdir()}
    assert written == {"spectra.json", "small", "white", "tuned", "vectors.hdf5", "bench.json", "tasks.json"}
    assert {path.name for path in home.iterdir()} <= {"elmo", "out", "t.txt", "cache", "a b%20c.txt"}
    assert main(["inspect", f"{address}/gone.json", elmo[1]]) == 2
    assert "gone.json: cannot be fetched" in capsys.readouterr().err
