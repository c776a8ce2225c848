"""Compiled code on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("llvmlite")

from elmo_mf.bilm.runtime.kernel import compiled
from elmo_mf.bilm.runtime.kernel._code_cache import cached_code
from tests.conftest import ROOT

CODE = b"the code of a kernel"


class Compiler:
    """Counts how often code is compiled."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> bytes:
        self.calls += 1
        return CODE


def calls(config: str = "config", processor: str = "processor") -> int:
    """How often a kernel is compiled when its code is needed once more."""
    compiler = Compiler()
    assert cached_code(config, processor, compiler) == CODE
    return compiler.calls


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ELMO_MF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_code_is_compiled_once_for_each_config_and_processor(folder: Path) -> None:
    assert [calls(), calls(), calls("other"), calls(processor="other"), calls()] == [1, 0, 1, 1, 0]
    assert {file.suffix for file in folder.iterdir()} == {".o"}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def change(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1] + b"!")


def empty(file: Path) -> None:
    file.write_bytes(b"")


def let_others_write(file: Path) -> None:
    file.chmod(0o666)


def let_others_write_beside(file: Path) -> None:
    file.parent.chmod(0o777)


def link(file: Path) -> None:
    file.symlink_to(file.rename(file.parent.parent / "elsewhere"))


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "harm", [cut, change, empty, let_others_write, let_others_write_beside, link, make_folder, Path.unlink]
)
def test_only_whole_files_that_nobody_else_could_write_are_loaded(folder: Path, harm: Callable[[Path], None]) -> None:
    assert calls() == 1
    harm(only_file(folder))
    assert calls() == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_others_are_not_loaded(folder: Path) -> None:
    assert calls() == 1
    os.chown(only_file(folder), 1, 1)
    assert calls() == 1


@pytest.mark.parametrize("harm", [cut, change, empty, let_others_write, Path.unlink])
def test_code_that_was_not_loaded_is_replaced(folder: Path, harm: Callable[[Path], None]) -> None:
    calls()
    harm(only_file(folder))
    assert [calls(), calls()] == [1, 0]


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ELMO_MF_CACHE", str(tmp_path / "file"))
    assert [calls(), calls()] == [1, 1]


def test_an_empty_variable_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMO_MF_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert [calls(), calls()] == [1, 1]
    assert not list(tmp_path.iterdir())


def test_the_cache_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELMO_MF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert [calls(), calls()] == [1, 0]
    assert only_file(tmp_path / "elmo-mf" / "kernels").stat().st_mode & 0o777 == 0o600


SCRIPT = """
import hashlib
from elmo_mf import Bilm
bilm = Bilm.from_files("weights/demo/options.json", "weights/demo/weights.hdf5")
(layers,) = bilm.embed([["A", "sentence", "of", "a", "few", "words"]])
print(hashlib.sha256(layers.tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.skipif(compiled.lanes() is None, reason="needs a processor with fast multiply-adds of vectors")
def test_another_process_computes_the_same_with_code_from_disk(folder: Path) -> None:
    def vectors() -> str:
        process = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
        return process.stdout

    def files() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}

    compiled_here, first = vectors(), files()
    assert first
    assert vectors() == compiled_here
    assert files() == first
