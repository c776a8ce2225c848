"""What docs/install.md says of uv resolves against the index that uv is configured with; nothing is installed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from elmo_mf.cli.setup_allennlp import ALLENNLP
from tests.conftest import ROOT
from tests.packaging.test_lock import pinned

pytestmark = pytest.mark.slow

NEEDED = ("pyproject.toml", "README.md", "LICENSE", "requirements.torch", "requirements.lock", "elmo_mf/__init__.py")
HASTE = {"UV_HTTP_TIMEOUT": "20", "UV_HTTP_RETRIES": "1"}


@pytest.fixture
def uv() -> str:
    """The environment's uv, or another."""
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip("uv is not installed")
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What uv reads of a checkout, without `uv.lock` and `.venv`."""
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def _resolved(folder: Path, *command: str) -> str:
    """What uv prints, with the index as far as its cache has it, or else with the index."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    for variables in ({"UV_OFFLINE": "1"}, HASTE):
        done = subprocess.run(command, cwd=folder, env=environment | variables, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stderr
    if "Failed to fetch" in done.stderr:
        pytest.skip(f"no package index can be reached: {done.stderr.splitlines()[-1].strip()}")
    raise AssertionError(done.stderr)


def test_sync(uv: str, checkout: Path) -> None:
    """For each Python that the package supports, on each platform."""
    _resolved(checkout, uv, "sync", "--dry-run", "--python", sys.executable)


def test_the_line_that_installs_without_tools(uv: str, checkout: Path) -> None:
    """Into an empty environment; it has the releases of the users' lock."""
    (line,) = re.findall(
        r"^uv pip install .+", (ROOT / "docs" / "install.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, "empty"], cwd=checkout, check=True)
    printed = _resolved(checkout, uv, *shlex.split(line)[1:], "--dry-run", "--python", "empty")
    releases: dict[str, str] = dict(re.findall(r"^ \+ (\S+)==(\S+)", printed, re.MULTILINE))  # names are canonical
    assert releases.keys() >= {one.partition("==")[0] for one in ALLENNLP}
    locked = {name: release for name, release in pinned("requirements.lock").items() if name in releases}
    assert len(locked) > 50 and {name: releases[name] for name in locked} == locked
