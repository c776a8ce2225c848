"""Against a server on loopback that stalls, cuts, and serves wrong bytes; and against archives with bad intentions."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from elmo_mf.errors import InputError
from elmo_mf.fetch import download as downloads
from elmo_mf.fetch.archive import extract
from elmo_mf.fetch.catalogue import DATA, WEIGHTS, Source
from elmo_mf.fetch.fetch import fetch
from elmo_mf.harness.task import load_task
from tests.fetch.server import Server, serving

CONTENT = bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_PAUSE", 0.01)
    monkeypatch.setattr(downloads, "_TIMEOUT", (2.0, 0.5))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({"big.bin": CONTENT}) as made:
        yield made


def _source(server: Server, name: str = "big.bin", known: bool = True) -> Source:
    sha256 = hashlib.sha256(CONTENT).hexdigest() if known else None
    return Source(f"{server.address}/{name}", {"": "file.bin"}, sha256)


def _nothing(folder: Path) -> None: ...


def _left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_download(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    new = fetch((_source(server),), tmp_path, _nothing, advance=lambda _: lambda a, b: told.append((a, b)))
    assert new == [tmp_path / "file.bin"] and new[0].read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT)) and _left(tmp_path) == {"file.bin", "fetch.lock"}
    assert fetch((_source(server),), tmp_path, _nothing) == [] and len(server.ranges) == 1


@pytest.mark.parametrize(
    "trouble", [["cut"], ["stall"], ["cut", "stall", "cut"], ["cut", "error", "cut"], ["cut", "no-range"]]
)
def test_broken_connections(trouble: list[str], server: Server, tmp_path: Path) -> None:
    """What has come is not asked for again, unless the server knows no ranges."""
    server.trouble = list(trouble)
    fetch((_source(server),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    asked = int(str(server.ranges[1])[6:-1])
    assert len(CONTENT) // 2 - downloads._CHUNK < asked <= len(CONTENT) // 2
    again = ("no-range" in trouble) * len(CONTENT) // 2
    assert 0 <= server.sent - len(CONTENT) - again < len(trouble) * downloads._CHUNK


def test_the_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.trouble = ["cut"] * 5
    with pytest.raises(InputError) as error:
        fetch((_source(server),), tmp_path, _nothing)
    assert "cut off 5 times (" in str(error.value) and "\n" not in str(error.value)
    assert _left(tmp_path) == {".fetch/big.bin.part"}
    fetch((_source(server),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert 0 <= server.sent - len(CONTENT) < 6 * downloads._CHUNK
    assert _left(tmp_path) == {"file.bin", "fetch.lock"}


def test_wrong_bytes(server: Server, tmp_path: Path) -> None:
    server.trouble = ["garbage"]
    with pytest.raises(InputError, match=r"big\.bin: found another content, expected that of SHA-256"):
        fetch((_source(server),), tmp_path, _nothing)
    assert _left(tmp_path) == set()
    fetch((_source(server),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_of_something_else(server: Server, tmp_path: Path) -> None:
    """The hash finds it, and the next call begins anew."""
    (tmp_path / ".fetch").mkdir()
    (tmp_path / ".fetch" / "big.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match="found another content"):
        fetch((_source(server),), tmp_path, _nothing)
    fetch((_source(server),), tmp_path, _nothing)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_trust_on_first_use(server: Server, tmp_path: Path) -> None:
    """Of a file that nobody has published a hash of, the first download's is asked for from then on."""
    fetch((_source(server, known=False),), tmp_path, _nothing)
    (tmp_path / "file.bin").unlink()
    server.files["big.bin"] = CONTENT[:-1] + b"x"
    with pytest.raises(InputError, match="found another content"):
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


@pytest.mark.parametrize(
    ("url", "mirror", "message"),
    [
        ("{}/gone.bin", None, r"gone.bin: found 404 .*, expected a file"),
        ("http://127.0.0.1:1/big.bin", None, r"127.0.0.1:1/big.bin: not reached or cut off 5 times \(ConnectionError"),
        ("{}/big.bin", "gone", r"gone/big.bin: found no readable file \(No such file or directory\), expected it in"),
        ("{}/big.bin", "ftp://x", r"--mirror: found ftp://, expected http, https or a folder"),
    ],
)
def test_errors(url: str, mirror: str | None, message: str, server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as error:
        fetch((Source(url.format(server.address), {"": "file.bin"}),), tmp_path, _nothing, mirror)
    assert "\n" not in str(error.value) and not (tmp_path / "file.bin").exists()


def test_too_large(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="found 1,024,000 bytes, expected at most 1,000"):
        fetch((_source(server),), tmp_path, _nothing)


def test_mirrors(server: Server, tmp_path: Path) -> None:
    """An address or a folder with the file under its own name, to which the same hash applies."""
    source = Source("http://127.0.0.1:1/far/away/big.bin", {"": "file.bin"}, hashlib.sha256(CONTENT).hexdigest())
    fetch((source,), tmp_path / "a", _nothing, server.address)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "big.bin").write_bytes(CONTENT)
    fetch((source,), tmp_path / "b", _nothing, str(tmp_path / "mirror"))
    assert (tmp_path / "a" / "file.bin").read_bytes() == (tmp_path / "b" / "file.bin").read_bytes() == CONTENT
    (tmp_path / "mirror" / "big.bin").write_bytes(b"other")
    with pytest.raises(InputError, match="found another content"):
        fetch((source,), tmp_path / "c", _nothing, str(tmp_path / "mirror"))


def _zip(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def test_only_what_was_asked_for_leaves_an_archive(tmp_path: Path) -> None:
    evil = {"../evil.txt": b"x", "/tmp/evil.txt": b"x", "trees/../../evil.txt": b"x", "trees/train.txt": b"(3 fine)"}
    (tmp_path / "a.zip").write_bytes(_zip(evil))
    (tmp_path / "in").mkdir()
    extract(tmp_path / "a.zip", "trees/train.txt", tmp_path / "in" / "train.txt")
    assert _left(tmp_path) == {"a.zip", "in/train.txt"}


@pytest.mark.parametrize("damage", ["cut", "garbage", "missing", "bomb"])
def test_damaged_archives(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = _zip({"a.txt": b"some text " * 1000})
    name = "b.txt" if damage == "missing" else "a.txt"
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "garbage":
        content = content[:40] + bytes(len(content) - 80) + content[-40:]
    elif damage == "bomb":
        monkeypatch.setattr("elmo_mf.fetch.archive.MOST_BYTES", 5000)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError) as error:
        extract(tmp_path / "a.zip", name, tmp_path / "out")
    assert str(error.value).startswith(f"{tmp_path / 'a.zip'}: ") and "\n" not in str(error.value)


def test_the_catalogue_is_what_the_tasks_read() -> None:
    for name, sources in DATA.items():
        files = {file for source in sources for file in source.files.values()}
        assert files == set(load_task(name).files.values())
        assert all(source.sha256 and source.url.startswith("https://") for source in sources)
    for options, weights in WEIGHTS.values():
        assert options.name.endswith("_options.json") and weights.name.endswith("_weights.hdf5")


def test_the_command(
    elmo_files: Callable[..., tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights from a mirror, read before they are put in place."""
    from elmo_mf.cli.main import main

    monkeypatch.chdir(tmp_path)
    options, weights = elmo_files()
    files = dict(zip((source.name for source in WEIGHTS["small"]), (options, weights), strict=True))
    with serving({name: path.read_bytes() for name, path in files.items()}) as server:
        assert main(["fetch", "weights", "small", "--mirror", server.address]) == 0
        assert capsys.readouterr().out == "wrote weights/small/options.json\nwrote weights/small/weights.hdf5\n"
        assert main(["fetch", "weights", "small", "--mirror", server.address]) == 0
        assert capsys.readouterr().out == "weights/small: all there\n"
        lock = json.loads((tmp_path / "weights" / "small" / "fetch.lock").read_text())
        assert lock[WEIGHTS["small"][1].url] == lock["weights.hdf5"] == hashlib.sha256(weights.read_bytes()).hexdigest()

        name = WEIGHTS["medium"][1].name
        server.files |= {WEIGHTS["medium"][0].name: options.read_bytes(), name: weights.read_bytes()[:2000]}
        assert main(["fetch", "weights", "medium", "--mirror", server.address]) == 2
        assert "truncated or not HDF5" in capsys.readouterr().err
        assert _left(tmp_path / "weights" / "medium") == set()
    for arguments, message in (
        (["weight", "small"], "KIND: found 'weight', expected one of weights, data, words; did you mean weights?"),
        (["data", "mnist"], "NAME: found 'mnist', expected any of sst, snli, squad"),
    ):
        assert main(["fetch", *arguments]) == 2
        assert message in capsys.readouterr().err
