"""Tests with a loopback server that stalls, cuts and serves wrong bytes, and with malicious archives."""

from __future__ import annotations

import errno
import hashlib
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from elmo_mf.errors import InputError
from elmo_mf.fetch import CATALOGUES, DownloadSettings, Source
from elmo_mf.fetch import fetch as fetch_patiently
from elmo_mf.fetch._download import _is_safe
from elmo_mf.io import OutputError, exclusive
from elmo_mf.tasks import load_task
from tests.conftest import stages_call
from tests.fetch.server import Server, serving
from tests.fuzz import mutated_bytes
from tests.io.test_zip_archive import zip_of

CONTENT = bytes(range(256)) * 4000
HASTY = DownloadSettings(pause=0.01)
fetch = partial(fetch_patiently, settings=HASTY)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({"big.bin": CONTENT}) as running:
        yield running


def _source(server: Server, name: str = "big.bin", known: bool = True) -> Source:
    sha256 = hashlib.sha256(CONTENT).hexdigest() if known else None
    return Source(f"{server.address}/{name}", {"": "file.bin"}, sha256)


def _nothing(folder: Path) -> None: ...


def _left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_download(server: Server, tmp_path: Path) -> None:
    progress: list[float] = []
    begun: list[str] = []
    with stages_call(progress.append, begun.append):
        new = fetch((_source(server),), tmp_path, _nothing)
    assert new == [tmp_path / "file.bin"] and new[0].read_bytes() == CONTENT
    assert begun == ["downloading big.bin", "unpacking and checking"]
    assert progress[-1] == pytest.approx(100) and _left(tmp_path) == {"file.bin", "fetch.lock"}
    assert fetch((_source(server),), tmp_path, _nothing) == [] and len(server.ranges) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble", [["cut"], ["stall"], ["cut", "stall", "cut"], ["cut", "error", "cut"], ["cut", "no-range"]]
)
def test_broken_connections(trouble: list[str], server: Server, tmp_path: Path) -> None:
    """Received bytes are not requested again, unless the server does not support ranges."""
    # elsewhere a slow machine must not be taken for a slow server
    settings = replace(HASTY, timeout=(2.0, 0.5)) if "stall" in trouble else HASTY
    server.trouble = list(trouble)
    fetch((_source(server),), tmp_path, _nothing, settings=settings)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    asked = int(str(server.ranges[1])[6:-1])
    assert len(CONTENT) // 2 - HASTY.chunk < asked <= len(CONTENT) // 2
    again = ("no-range" in trouble) * len(CONTENT) // 2
    assert 0 <= server.sent - len(CONTENT) - again < len(trouble) * HASTY.chunk


def test_the_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.trouble = ["cut"] * 5
    with pytest.raises(InputError) as error:
        fetch((_source(server),), tmp_path, _nothing)
    assert "5 attempts failed (" in str(error.value) and "\n" not in str(error.value)
    assert _left(tmp_path) == {".fetch/big.bin.part"}
    fetch((_source(server),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert 0 <= server.sent - len(CONTENT) < 6 * HASTY.chunk
    assert _left(tmp_path) == {"file.bin", "fetch.lock"}


def test_wrong_bytes(server: Server, tmp_path: Path) -> None:
    server.trouble = ["garbage"]
    with pytest.raises(InputError, match=r"big\.bin: .*SHA-256"):
        fetch((_source(server),), tmp_path, _nothing)
    assert _left(tmp_path) == set()
    fetch((_source(server),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_of_something_else(server: Server, tmp_path: Path) -> None:
    """The hash reveals a wrong partial file, and the next call starts from the beginning."""
    (tmp_path / ".fetch").mkdir()
    (tmp_path / ".fetch" / "big.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match="found other content"):
        fetch((_source(server),), tmp_path, _nothing)
    fetch((_source(server),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_trust_on_first_use(server: Server, tmp_path: Path) -> None:
    """Without a published hash, later downloads must match the hash of the first."""
    fetch((_source(server, known=False),), tmp_path, _nothing)
    (tmp_path / "file.bin").unlink()
    server.files["big.bin"] = CONTENT[:-1] + b"x"
    with pytest.raises(InputError, match="found other content"):
        fetch((_source(server, known=False),), tmp_path, _nothing)
    server.files["big.bin"] = CONTENT
    assert fetch((_source(server, known=False),), tmp_path, _nothing)


def test_a_file_that_was_altered_is_fetched_again(server: Server, tmp_path: Path) -> None:
    fetch((_source(server),), tmp_path, _nothing)
    (tmp_path / "file.bin").write_bytes(b"altered")
    assert fetch((_source(server),), tmp_path, _nothing) == [tmp_path / "file.bin"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_what_does_not_read_is_not_put_in_place(server: Server, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise InputError("no good")

    with pytest.raises(InputError, match="no good"):
        fetch((_source(server, known=False),), tmp_path, fail)
    assert _left(tmp_path) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "mirror", "message"),
    [
        ("{}/gone.bin", None, r"gone.bin: found 404"),
        ("http://127.0.0.1:1/big.bin", None, r"127.0.0.1:1/big.bin: .*ConnectionError"),
        ("{}/big.bin", "gone", r"gone/big.bin: "),
        ("{}/big.bin", "ftp://x", r"^mirror: found ftp://"),
        ("{}/big.bin", "http://example.org", r"^mirror: found http://"),
        ("{}/big.bin", "file:///etc", r"^mirror: found file://"),
        ("http://example.org/big.bin", None, r"found http://"),
    ],
)
def test_errors(url: str, mirror: str | None, message: str, server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as error:
        fetch((Source(url.format(server.address), {"": "file.bin"}),), tmp_path, _nothing, mirror)
    assert "\n" not in str(error.value) and not (tmp_path / "file.bin").exists()


@pytest.mark.parametrize("to", ["http://example.org/big.bin", "file:///etc/passwd", "ftp://127.0.0.1/big.bin"])
def test_a_redirect_to_what_is_not_encrypted(to: str, server: Server, tmp_path: Path) -> None:
    server.trouble = [to]
    with pytest.raises(InputError, match=f"redirect to {to}"):
        fetch((_source(server, known=False),), tmp_path, _nothing)
    assert _left(tmp_path) == set()


def test_redirects(server: Server, tmp_path: Path) -> None:
    """A few redirects are followed, but none from another machine to this one."""
    again = f"{server.address}/big.bin"
    server.trouble = [again] * 3
    fetch((_source(server),), tmp_path / "a", _nothing)
    assert (tmp_path / "a" / "file.bin").read_bytes() == CONTENT
    server.trouble = [again] * 20
    with pytest.raises(InputError, match="10 redirects"):
        fetch((_source(server),), tmp_path / "b", _nothing)
    assert not _is_safe(again, "https://example.org/big.bin")


def test_a_status_without_a_file(server: Server, tmp_path: Path) -> None:
    server.trouble = ["status"]
    with pytest.raises(InputError, match="found status 203"):
        fetch((_source(server, known=False),), tmp_path, _nothing)


def test_a_file_that_changes_between_two_pieces(server: Server, tmp_path: Path) -> None:
    """The download restarts if the ETag has changed or is missing."""
    other = CONTENT[::-1]
    for before, after in (('"a"', '"b"'), ("", "")):
        server.files["big.bin"], server.etag, server.trouble = CONTENT, before, ["cut"] * 5
        folder = tmp_path / f"etag{len(before)}"
        with pytest.raises(InputError, match="5 attempts failed"):
            fetch((_source(server, known=False),), folder, _nothing)
        server.files["big.bin"], server.etag = other, after
        fetch((_source(server, known=False),), folder, _nothing)
        assert (folder / "file.bin").read_bytes() == other


def test_an_unknown_file_is_resumed_by_its_etag(server: Server, tmp_path: Path) -> None:
    server.etag, server.trouble = '"a"', ["cut"]
    fetch((_source(server, known=False),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT and server.ranges[1] is not None
    assert server.sent - len(CONTENT) < 2 * HASTY.chunk and _left(tmp_path) == {"file.bin", "fetch.lock"}


@pytest.mark.parametrize("start", [0, 100_000])
def test_zeros_in_an_unknown_part_are_fetched_again(start: int, server: Server, tmp_path: Path) -> None:
    """Zeros, as left by a power cut, are replaced; without a known hash they would be trusted forever."""
    server.etag, server.trouble = '"a"', ["cut"] * 5
    with pytest.raises(InputError, match="5 attempts failed"):
        fetch((_source(server, known=False),), tmp_path, _nothing)
    with open(tmp_path / ".fetch" / "big.bin.part", "r+b") as file:
        file.seek(start)
        file.write(bytes(5000))
    fetch((_source(server, known=False),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_the_saved_start_of_a_part_without_known_hash_is_kept(server: Server, tmp_path: Path) -> None:
    """Bytes after the last saved state of a killed process are downloaded again."""
    server.etag, server.trouble = '"a"', ["cut"] * 5
    with pytest.raises(InputError, match="5 attempts failed"):
        fetch((_source(server, known=False),), tmp_path, _nothing)
    with open(tmp_path / ".fetch" / "big.bin.part", "ab") as file:
        file.write(bytes(70_000))
    asked = len(server.ranges)
    fetch((_source(server, known=False),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert int(str(server.ranges[asked])[6:-1]) > len(CONTENT) // 2


def test_the_state_is_saved_during_a_download(server: Server, tmp_path: Path) -> None:
    """So that a killed process loses only what came after it."""
    server.etag = '"a"'
    lost: list[int] = []

    def advanced(per_cent: float) -> None:
        there = round(per_cent / 100 * len(CONTENT))
        lost.append(there - json.loads((tmp_path / ".fetch" / "big.bin.part.json").read_text())["size"])

    settings = replace(HASTY, state_bytes=1 << 16)
    with stages_call(advanced):
        fetch((_source(server, known=False),), tmp_path, _nothing, settings=settings)
    assert len(lost) > 20 and max(lost) < settings.state_bytes + settings.chunk


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("more", "requests"), [(b"", 1), (b"extra", 2)])
def test_a_part_that_is_all_of_it_or_more(
    more: bytes, requests: int, known: bool, server: Server, tmp_path: Path
) -> None:
    """A complete partial file is used; one that is too long is downloaded again from the start."""
    server.etag, part = '"a"', CONTENT + more
    note = {"version": '"a"', "size": len(part), "sha256": hashlib.sha256(part).hexdigest()}
    (tmp_path / ".fetch").mkdir()
    (tmp_path / ".fetch" / "big.bin.part").write_bytes(part)
    (tmp_path / ".fetch" / "big.bin.part.json").write_text(json.dumps(note))
    fetch((_source(server, known=known),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(part)}-", None][:requests]


@pytest.mark.slow
@pytest.mark.parametrize(
    "note", ["", "[]", '{"version": "a", "size": -1}', '{"version": ""}', "{" * 5000, "\0" * 20_000]
)
def test_a_damaged_state_of_a_part(note: str, server: Server, tmp_path: Path) -> None:
    """The download starts from the beginning."""
    server.etag = '"a"'
    (tmp_path / ".fetch").mkdir()
    (tmp_path / ".fetch" / "big.bin.part").write_bytes(CONTENT[:5000])
    (tmp_path / ".fetch" / "big.bin.part.json").write_text(note)
    fetch((_source(server, known=False),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT and server.ranges == [None]


def test_another_range_than_was_asked_for(server: Server, tmp_path: Path) -> None:
    server.trouble = ["cut", "other-range"]
    fetch((_source(server),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT and server.ranges[2] is None


def test_a_mirror_without_the_known_size(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "big.bin").write_bytes(CONTENT)
    source = Source("https://example.org/big.bin", {"": "file.bin"}, size=5)
    with pytest.raises(InputError, match=r"mirror/big\.bin: found 1,024,000 bytes"):
        fetch((source,), tmp_path / "out", _nothing, str(tmp_path / "mirror"))
    assert _left(tmp_path / "out") == set()


@pytest.mark.parametrize("trouble", ["", "long"])
def test_a_size_that_is_known(trouble: str, server: Server, tmp_path: Path) -> None:
    server.trouble = [trouble]
    size = len(CONTENT) - 1 if not trouble else len(CONTENT)
    source = Source(f"{server.address}/big.bin", {"": "file.bin"}, size=size)
    with pytest.raises(InputError, match=r"found (1,024,000|more) bytes"):
        fetch((source,), tmp_path, _nothing)
    assert not (tmp_path / "file.bin").exists()


def test_two_at_once(server: Server, tmp_path: Path) -> None:
    with (
        exclusive(tmp_path, "downloads"),
        pytest.raises(InputError, match=f"{tmp_path}: "),
    ):
        fetch((_source(server),), tmp_path, _nothing)
    assert fetch((_source(server),), tmp_path, _nothing)


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"a": 1}',
        '{"a": "b"}',
        "[" * 5000,
        '{"a": NaN}',
        f'{{"a": "{"0" * 63}"}}',
        "\0",
        '{"a": "1", "a": 2}',
    ],
)
def test_a_broken_lock(content: str, server: Server, tmp_path: Path) -> None:
    (tmp_path / "fetch.lock").write_text(content)
    with pytest.raises(InputError, match=r"fetch\.lock: ") as error:
        fetch((_source(server),), tmp_path, _nothing)
    assert "\n" not in str(error.value) and server.ranges == []


def test_a_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is one line, and the next call uses the download."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", full)
        with pytest.raises(OutputError, match="the disk is full"):
            fetch((_source(server),), tmp_path, _nothing)
    assert _left(tmp_path) == {".fetch/big.bin"}
    fetch((_source(server),), tmp_path, _nothing)
    assert len(server.ranges) == 1 and _left(tmp_path) == {"file.bin", "fetch.lock"}


def test_all_files_appear_or_none(server: Server, tmp_path: Path) -> None:
    archive = zip_of({"a.txt": b"a", "b.txt": b"b"})
    server.files["a.zip"] = archive
    source = Source(f"{server.address}/a.zip", {"a.txt": "a.txt", "b.txt": "b.txt", "c.txt": "c.txt"})
    with pytest.raises(InputError, match=r"c\.txt"):
        fetch((source,), tmp_path, _nothing)
    assert _left(tmp_path) == set()


def test_too_large(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found 1,024,000 bytes"):
        fetch((_source(server),), tmp_path, _nothing, settings=replace(HASTY, most_bytes=1000))


def test_mirrors(server: Server, tmp_path: Path) -> None:
    """A mirror is a URL or folder with the file under its own name, and the same hash applies."""
    source = Source("http://127.0.0.1:1/far/away/big.bin", {"": "file.bin"}, hashlib.sha256(CONTENT).hexdigest())
    fetch((source,), tmp_path / "a", _nothing, server.address)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "big.bin").write_bytes(CONTENT)
    fetch((source,), tmp_path / "b", _nothing, str(tmp_path / "mirror"))
    assert (tmp_path / "a" / "file.bin").read_bytes() == (tmp_path / "b" / "file.bin").read_bytes() == CONTENT
    (tmp_path / "mirror" / "big.bin").write_bytes(b"other")
    with pytest.raises(InputError, match="found other content"):
        fetch((source,), tmp_path / "c", _nothing, str(tmp_path / "mirror"))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_mutated_archives(compression: int, tmp_path: Path) -> None:
    """Each archive gives the packed file or a one-line error, after which no download is kept."""
    text, chance = bytes(random.Random(1).choices(b"abc", k=3000)), random.Random(compression)
    content = zip_of({"trees/a.txt": text, "b.txt": b"b" * 100}, compression)
    source, mirror = Source("https://example.org/a.zip", {"trees/a.txt": "a.txt"}), tmp_path / "mirror"
    mirror.mkdir()
    refused = 0
    for number in range(150):
        folder = tmp_path / str(number)
        (mirror / "a.zip").write_bytes(mutated_bytes(content, chance))
        try:
            fetch((source,), folder, _nothing, str(mirror))
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and _left(folder) == set()
        else:
            assert (folder / "a.txt").read_bytes() == text
    assert 20 < refused < 150


def test_the_catalogue_is_what_the_tasks_read() -> None:
    for name, sources in CATALOGUES["data"].items():
        files = {file for source in sources for file in source.files.values()}
        assert files == set(load_task(name).files.values())
        assert all(source.sha256 and source.url.startswith("https://") for source in sources)
    for options, weights in CATALOGUES["weights"].values():
        assert options.name.endswith("_options.json") and weights.name.endswith("_weights.hdf5")


def test_the_command(
    elmo_files: Callable[..., tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights from a mirror are read and checked before they appear."""
    from elmo_mf.cli.main import main

    monkeypatch.chdir(tmp_path)
    options, weights = elmo_files()
    entries = CATALOGUES["weights"]
    files = dict(zip((source.name for source in entries["small"]), (options, weights), strict=True))
    with serving({name: path.read_bytes() for name, path in files.items()}) as server:
        assert main(["fetch", "weights", "small", "--mirror", server.address]) == 0
        captured = capsys.readouterr()
        assert captured.out == (
            "".join(f"downloading {name}\n" for name in files)
            + "unpacking and checking\nwrote weights/small/options.json\nwrote weights/small/weights.hdf5\n"
        )
        assert captured.err.count(": not verified, because no SHA-256 is published for it; ") == 2
        assert main(["fetch", "weights", "small", "--mirror", server.address]) == 0
        assert capsys.readouterr() == ("checking what is there\nweights/small: all files are present\n", "")
        lock = json.loads((tmp_path / "weights" / "small" / "fetch.lock").read_text())
        assert lock[entries["small"][1].url] == lock["weights.hdf5"] == hashlib.sha256(weights.read_bytes()).hexdigest()

        name = entries["medium"][1].name
        server.files |= {
            entries["medium"][0].name: options.read_bytes(),
            name: weights.read_bytes()[:2000],
        }
        assert main(["fetch", "weights", "medium", "--mirror", server.address]) == 2
        assert "truncated or not HDF5" in capsys.readouterr().err
        assert _left(tmp_path / "weights" / "medium") == set()
    for arguments, message in (
        (["weight", "small"], "KIND: found 'weight'"),
        (["data", "mnist"], "NAME: found 'mnist'"),
    ):
        assert main(["fetch", *arguments]) == 2
        assert message in capsys.readouterr().err
