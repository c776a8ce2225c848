"""What `setup-allennlp` says before it installs; tests of the wheel install with it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import pytest

from elmo_mf.cli.main import main
from elmo_mf.cli.setup_allennlp import replaced
from tests.conftest import ROOT


def test_dry_run_prints_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup-allennlp", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"In {sys.prefix}:"
    install = f"  {sys.executable} -m pip install --no-deps"
    assert lines[1:3] == [
        f"{install} --require-hashes --requirement {ROOT / 'requirements.lock'}",
        f"{install} allennlp==2.10.1 allennlp-models==2.10.1",
    ]


def test_without_pip_it_takes_the_uv_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uv = tmp_path / "uv"
    uv.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pip", None)
    assert main(["setup-allennlp", "--dry-run"]) == 0
    assert f"\n  {uv} pip install --python {tmp_path / 'python'} --no-deps " in capsys.readouterr().out


def test_it_asks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup-allennlp"]) == 2
    assert "error: --yes: " in capsys.readouterr().err


def test_it_says_which_releases_are_replaced(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"nobody-has-this==1\nnumpy==0.1 \\\n    --hash=sha256:00\nscipy=={version('scipy')}\n")
    assert replaced(lock) == [("numpy", version("numpy"), "0.1")]


@pytest.mark.slow
def test_refused_outside_a_virtual_environment() -> None:
    path = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    command = [str(python), "-m", "elmo_mf", "setup-allennlp", "--dry-run"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"{sys.base_prefix}: not a virtual environment" in done.stderr
