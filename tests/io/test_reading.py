"""Tests that invalid files give one-line errors, in bounded memory and time."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from elmo_mf import Compression
from elmo_mf.compression import read_compression, with_file_hashes
from elmo_mf.errors import InputError
from elmo_mf.io import TextLines, check_folder, check_output, exclusive, read_bytes, read_json, read_text, write_text


def test_special_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    for name in ("zero", "fifo"):
        with pytest.raises(InputError, match=r"not a regular file|cannot be opened"):
            read_bytes(tmp_path / name, "options file", "options.json", most=100)
    with pytest.raises(InputError, match=f"^{tmp_path}: found a folder, expected options.json$"):
        read_bytes(tmp_path, "options file", "options.json", most=100)
    with pytest.raises(InputError, match="none: "):
        read_bytes(tmp_path / "none", "options file", "options.json", most=100)
    with pytest.raises(InputError, match="cannot be opened"):
        read_bytes(tmp_path / ("x" * 300), "options file", "options.json", most=100)
    with pytest.raises(InputError, match="cannot be opened"):
        read_bytes("a\0b", "options file", "options.json", most=100)


def test_a_bound_is_not_asked_for_as_memory(tmp_path: Path) -> None:
    content = bytes(3_000_000)
    (tmp_path / "x").write_bytes(content)
    assert read_bytes(tmp_path / "x", "file", "bytes", most=1 << 50) == content
    assert read_bytes(tmp_path / "x", "file", "bytes", most=len(content)) == content
    with pytest.raises(InputError, match="2,999,999 bytes"):
        read_bytes(tmp_path / "x", "file", "bytes", most=len(content) - 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 65 + "]" * 65, "nested"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested"),
        ("[" * 100_000, "RecursionError|Expecting value"),
        ("[" + "9" * 5000 + "]", "ValueError"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("", "Expecting value"),
        ('{"a": 1', "JSONDecodeError"),
    ],
)
def test_json_that_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=problem):
        read_json(tmp_path / "x.json", "options file", "options.json", most=1_000_000)


def test_json_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + b"[" * 64 + b"]" * 64)
    assert read_json(tmp_path / "x.json", "options file", "options.json", most=1_000_000)
    (tmp_path / "x.json").write_text("1.5")
    assert read_json(tmp_path / "x.json", "options file", "options.json", most=3) == 1.5
    with pytest.raises(InputError, match="more than 2 bytes"):
        read_json(tmp_path / "x.json", "options file", "options.json", most=2)


def test_the_line_of_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\nb\xff\n")
    with pytest.raises(InputError, match="line 2"):
        read_text(tmp_path / "x", "task config", "TOML", most=100)


@pytest.mark.parametrize("place", ["/proc/none/out", "file/out", "file/deep/out"])
def test_places_that_cannot_be_written_to(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--out"):
        check_output("--out", tmp_path / place)
    with pytest.raises(InputError, match="--out"):
        check_folder("--out", tmp_path / place)


def test_places_that_can(tmp_path: Path) -> None:
    check_output("--out", tmp_path / "a" / "b")
    check_folder("--out", tmp_path / "a" / "b")
    check_folder("--out", tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="--out: "):
        check_output("--out", tmp_path)


def test_names_that_no_result_can_have(tmp_path: Path) -> None:
    """Invalid output names are reported before the work, and devices are not replaced by files."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/null"), Path("/dev/stdout")):
        with pytest.raises(InputError, match=r"--out: found .*expected"):
            check_output("--out", path)
    for check in (check_output, check_folder):
        for name in ("x" * 256, "a\0b"):
            with pytest.raises(InputError, match=r"--out: "):
                check("--out", tmp_path / name)
    (tmp_path / "out" / "weights.hdf5").mkdir(parents=True)
    with pytest.raises(InputError, match=r"--out: .*weights\.hdf5"):
        check_folder("--out", tmp_path / "out", ["options.json", "weights.hdf5"])


def test_a_link_to_a_file_or_to_nothing_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for name, target in (("link", "file"), ("nowhere", "gone")):
        (tmp_path / name).symlink_to(target)
        check_output("--out", tmp_path / name)
        write_text(tmp_path / name, "new")
    assert (tmp_path / "file").read_text() == "kept"


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "out", "the vectors"),
        pytest.raises(InputError, match="another process"),
        exclusive(tmp_path / "out", "the vectors"),
    ):
        pass
    with exclusive(tmp_path / "out", "the vectors"):
        pass


@pytest.mark.parametrize("link", ["none", "symbolic", "hard", "folder"])
def test_an_output_is_no_input(tmp_path: Path, link: str) -> None:
    given = tmp_path / "in" / "options.json"
    given.parent.mkdir()
    given.write_text("{}")
    out = tmp_path / "out"
    if link == "folder":
        out.symlink_to(given.parent)
    elif link == "none":
        out = given.parent
    else:
        out.mkdir()
        (out.joinpath("options.json").symlink_to if link == "symbolic" else out.joinpath("options.json").hardlink_to)(
            given
        )
    with pytest.raises(InputError, match=r"--out: found .*in/options\.json"):
        check_output("--out", out / "options.json", [None, tmp_path / "gone", given])
    with pytest.raises(InputError, match="replace the input"):
        check_folder("--out", out, ["weights.hdf5", "options.json"], [None, str(given)])
    check_folder("--out", out, ["weights.hdf5"], [given])
    assert given.read_text() == "{}"


def test_a_folder_that_was_held_and_stayed_empty_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong"), exclusive(tmp_path / "a" / "b", "x"):
        raise ValueError("wrong")
    assert not (tmp_path / "a" / "b").exists()
    with exclusive(tmp_path / "a", "x"):
        (tmp_path / "a" / "kept").write_text("")
    assert (tmp_path / "a" / "kept").exists()


BROKEN = Path("/proc/self/mem")  # a regular file whose first byte cannot be read


def test_a_file_that_fails_while_it_is_read(tmp_path: Path) -> None:
    """A read error, as on a failing disk, is one line that names the file."""
    from elmo_mf.compression.calibration import read_row_weights
    from elmo_mf.provenance import file_hash
    from elmo_mf.tasks.formats import FORMATS
    from tests.conftest import random_bilm

    readers: list[Callable[[], object]] = [
        lambda: read_json(BROKEN, "file", "JSON", most=10),
        lambda: list(TextLines(BROKEN)),
        lambda: list(TextLines(BROKEN, regular=True)),
        lambda: read_row_weights(BROKEN, random_bilm().weights()),
        lambda: with_file_hashes(Compression(method="svd", rank=2, targets="all", calibration=str(BROKEN))).to_dict(),
        *(partial(data.contents, BROKEN) for data in FORMATS.values()),
    ]
    for read in readers:
        with pytest.raises(InputError, match=r"^/proc/self/mem: .*, expected "):
            read()
    with pytest.raises(OSError, match="/proc/self/mem"):
        file_hash(BROKEN)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["\0", "a\0b", "\ud800", "~\ud800/x", "x" * 5000, "a\nb", "\ud800/x"])
def test_names_that_no_file_has(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elmo_mf.tasks import SweepSpec, expand

    monkeypatch.chdir(tmp_path)
    keys = {"method": "svd", "rank": 2, "targets": "all"}
    readers: list[Callable[[], object]] = [
        lambda: read_json(name, "file", "JSON", most=10),
        lambda: list(TextLines(name)),
        lambda: list(TextLines(name, regular=True)),
        lambda: with_file_hashes(read_compression(keys | {"calibration": name})).to_dict(),
        lambda: expand(SweepSpec.from_value({"tasks": ["sst"], "data": name}, "s")),
        lambda: expand(SweepSpec.from_value({"tasks": ["sst"], "preset": "paper", "glove": name}, "s")),
    ]
    for read in readers:
        with pytest.raises(InputError, match="expected"):
            read()
