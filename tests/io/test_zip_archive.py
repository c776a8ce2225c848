"""Zip archives that are damaged or malicious."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.errors import InputError
from elmo_mf.io.zip_archive import extract, is_zip, names


def zip_of(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED, more: tuple[Any, ...] = ()) -> bytes:
    """A zip archive with these files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        if more:
            archive.writestr(*more)
    return content.getvalue()


def test_only_what_was_asked_for_leaves_an_archive(tmp_path: Path) -> None:
    evil = {"../evil.txt": b"x", "/tmp/evil.txt": b"x", "trees/../../evil.txt": b"x", "trees/train.txt": b"(3 fine)"}
    (tmp_path / "a.zip").write_bytes(zip_of(evil))
    (tmp_path / "in").mkdir()
    extract(tmp_path / "a.zip", "trees/train.txt", tmp_path / "in" / "train.txt")
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"a.zip", "in/train.txt"}


@pytest.mark.parametrize(
    "damage", ["cut", "garbage", "missing", "bomb", "growth", "encrypted", "link", "twice", "pipe", "compression"]
)
def test_damaged_archives(damage: str, tmp_path: Path) -> None:
    content = zip_of({"a.txt": b"some text " * 1000})
    name, place = "b.txt" if damage == "missing" else "a.txt", content.index(b"PK\1\2")
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "garbage":
        content = content[:40] + bytes(len(content) - 80) + content[-40:]
    elif damage == "growth":
        content = zip_of({"a.txt": bytes(5_000_000)}, zipfile.ZIP_LZMA)
    elif damage == "encrypted":
        content = content[: place + 8] + b"\1" + content[place + 9 :]
    elif damage == "compression":
        content = content[: place + 10] + b"\x63" + content[place + 11 :]
    elif damage == "link":
        content = content[: place + 38] + (0o120777 << 16).to_bytes(4, "little") + content[place + 42 :]
    elif damage == "twice":
        with pytest.warns(UserWarning, match="Duplicate name"):
            content = zip_of({"a.txt": b"one", "other": b""}, more=("a.txt", b"two"))
    (tmp_path / "a.zip").write_bytes(content)
    if damage == "pipe":
        (tmp_path / "a.zip").unlink()
        os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(InputError) as error:
        extract(tmp_path / "a.zip", name, tmp_path / "out", 5000 if damage == "bomb" else 10_000_000)
    assert str(error.value).startswith(f"{tmp_path / 'a.zip'}: ") and "\n" not in str(error.value)


def test_names(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of({"a.txt": b"a", "folder/": b"", "folder/b.txt": b"b"}))
    assert is_zip(tmp_path / "a.zip") and names(tmp_path / "a.zip") == ["a.txt", "folder/b.txt"]
    (tmp_path / "a.txt").write_text("P")
    assert not is_zip(tmp_path / "a.txt") and not is_zip(tmp_path) and not is_zip(tmp_path / "gone")
    (tmp_path / "many.zip").write_bytes(zip_of({str(number): b"" for number in range(10_001)}))
    with pytest.raises(InputError, match="found 10,001 files"):
        names(tmp_path / "many.zip")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:40])
    with pytest.raises(InputError, match="found a damaged archive"):
        names(tmp_path / "cut.zip")
