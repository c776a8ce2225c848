"""Commands where AllenNLP, jsonnet or MLflow is not installed: one line that says what to install."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT


def _without(package: str, folder: Path) -> Path:
    """Fill a folder with this environment's packages except one, and return it."""
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(package) and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "accelerate model.tar.gz --out out.tar.gz",
        "bench --size small",
        "sweep --tasks sst --output out",
        "sweep demo --retime all",
        "gradients sst out.hdf5",
    ],
)
def test_without_allennlp(command: str, tmp_path: Path) -> None:
    where = tmp_path / "here"
    where.mkdir()
    (where / "model.tar.gz").touch()
    path = f"{ROOT}:{_without('allennlp', tmp_path / 'packages')}"
    done = subprocess.run(
        [sys.executable, "-S", "-m", "elmo_mf", *command.split()],
        cwd=where, env={"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    expected = "install AllenNLP 2.10.1 with `elmo-mf setup-allennlp`\n"
    assert done.stderr == f"elmo-mf: error: the Python module allennlp is not installed; {expected}"
    assert [file.name for file in where.iterdir()] == ["model.tar.gz"]


@pytest.mark.slow
def test_a_dry_run_needs_no_allennlp(tmp_path: Path) -> None:
    path = f"{ROOT}:{_without('allennlp', tmp_path / 'packages')}"
    done = subprocess.run(
        [sys.executable, "-S", "-m", "elmo_mf", "sweep", "demo", "--dry-run"],
        cwd=tmp_path, env={"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n20 runs: " in done.stdout


@pytest.mark.slow
def test_without_jsonnet(tmp_path: Path) -> None:
    """The process that evaluates the file finds the packages of its own environment only."""
    venv.create(tmp_path / "venv", symlinks=True)
    code = "from elmo_mf.cli.main import main; raise SystemExit(main(['sweep', 'demo', '--dry-run']))"
    done = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-c", code],
        env={"PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}", "OMP_NUM_THREADS": "1"},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    expected = "the Python module _jsonnet is not installed; install it with `pip install jsonnet`\n"
    assert done.stderr == f"elmo-mf: error: {expected}"


def test_without_mlflow(tmp_path: Path) -> None:
    code = "from elmo_mf.trackers import tracker_named; tracker_named('mlflow', '.')"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": f"{ROOT}:{_without('mlflow', tmp_path / 'packages')}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    expected = "the Python module mlflow is not installed; install MLflow with `pip install 'elmo-mf[mlflow]'`"
    assert done.stderr.splitlines()[-1] == f"elmo_mf.errors.InputError: {expected}"
