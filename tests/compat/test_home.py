"""Tests that AllenNLP reads files even if the home folder is read-only or unknown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from elmo_mf.compat import _home as home

READ = """
import os, sys
from allennlp.common.file_utils import CACHE_ROOT, cached_path
print(cached_path(sys.argv[1]) == sys.argv[1], os.path.isdir(CACHE_ROOT), CACHE_ROOT)
"""
VARIABLES = ("ALLENNLP_CACHE_ROOT", "CACHED_PATH_CACHE_ROOT", "HF_HOME", "MPLCONFIGDIR")


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that the variable is restored, even if the test sets it
        monkeypatch.delenv(name)
    return monkeypatch


def _read(path: Path, **environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.slow
def test_a_home_that_nobody_can_write_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    same, created, folder = _read(tmp_path / "file", HOME="/proc", TMPDIR=str(tmp_path))
    assert (same, created) == ("True", "True") and Path(folder).is_relative_to(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # the process removed its temporary folder


def test_a_home_is_used(tmp_path: Path, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("HOME", str(tmp_path))
    home.ensure_home()
    assert not [name for name in VARIABLES if name in os.environ] and not list(tmp_path.iterdir())


def test_a_cache_that_is_there_is_read(tmp_path: Path, clean: pytest.MonkeyPatch) -> None:
    """An existing cache is used even if it is read-only."""
    (tmp_path / ".allennlp" / "cache").mkdir(parents=True)
    clean.setattr("tempfile.TemporaryFile", lambda **_: (_ for _ in ()).throw(PermissionError()))
    clean.setenv("HOME", str(tmp_path))
    home.ensure_home()
    assert "ALLENNLP_CACHE_ROOT" not in os.environ


def test_what_is_set_stays(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("HOME", "/proc")
    clean.setenv("HF_HOME", "/chosen")
    home.ensure_home()
    assert os.environ["HF_HOME"] == "/chosen" and Path(os.environ["ALLENNLP_CACHE_ROOT"]).parent.is_dir()


def test_a_user_without_a_home(clean: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    clean.setattr(Path, "home", unknown)
    clean.setenv("HOME", "")
    home.ensure_home()
    assert Path(os.environ["HOME"]).is_dir()
