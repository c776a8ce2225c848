"""A wheel in a fresh environment, used outside the checkout.

The environment sees this one's third-party packages through a path entry, which runs none of their `.pth` files, so
that `elmo_mf` and its patches come from the wheel alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "third_party.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def _run(cwd: Path, *command: str | Path, path: str | None = None) -> str:
    """What a command prints; it finds no packages through this process's `PYTHONPATH`, but through `path`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {} if path is None else {"PYTHONPATH": path}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _short_sweep(folder: Path) -> list[str]:
    """Arguments of a sweep of two runs, which writes to `out`."""
    (folder / "short.jsonnet").write_text(
        "{overrides: {sst: {'trainer.num_epochs': 1}}, latency_sentences: 2, latency_rounds: 1}"
    )
    return "sweep short.jsonnet --tasks sst --ranks 4 --limit 16 --output out".split()


def test_contents(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    share = "elmo_mf/share"
    for name in (
        "elmo_mf_compat.pth",
        "elmo_mf/py.typed",
        "elmo_mf/compression/calibration/calibration.txt",
        "elmo_mf/leaderboard/page/page.html",
        "elmo_mf/leaderboard/page/page.css",
        "elmo_mf/leaderboard/page/page.js",
        f"{share}/jsonnet/sst.jsonnet",
        f"{share}/jsonnet/lib/demo.libsonnet",
        f"{share}/jsonnet/sweeps/demo.jsonnet",
        f"{share}/tasks/squad/task.toml",
        f"{share}/tasks/squad/demo/train.json",
        f"{share}/weights/demo/weights.hdf5",
        f"{share}/weights/demo/options.json",
        f"{share}/weights/base/softmax.hdf5",
    ):
        assert name in names
    assert not [name for name in names if name.startswith(("tests", "leaderboard"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_allennlp_is_not_a_dependency(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
    required = [line for line in archive.read(metadata).decode().splitlines() if line.startswith("Requires-Dist")]
    assert required and not any("allennlp" in line for line in required)


def test_sweep_and_leaderboard_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    where = _run(tmp_path, python, "-c", "import elmo_mf; print(elmo_mf.__file__)")
    assert str(ROOT) not in where and str(python.parent.parent) in where
    script = python.with_name("elmo-mf")
    _run(tmp_path, script, *_short_sweep(tmp_path))
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "records").glob("*.json")]
    assert sorted(record["run"].get("compression") is None for record in records) == [False, True]
    assert "svd all rank 4" in _run(tmp_path, script, "leaderboard", "out")


WORKER = """
import importlib, multiprocessing
def name_of(module): return importlib.import_module(module).__name__
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(name_of, ["allennlp_models.rc.tools.narrativeqa"]))
"""


def test_allennlp_is_cured(python: Path, tmp_path: Path) -> None:
    """Its own script, and a worker process, import what needs the patches."""
    script = Path(sys.executable).with_name("allennlp")
    assert _run(tmp_path, python, script, "--version").startswith("allennlp 2.10.1")
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    assert _run(tmp_path, python, "worker.py") == "allennlp_models.rc.tools.narrativeqa\n"


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install --target` makes: a folder on the path, in which no `.pth` file is read."""
    folder = tmp_path_factory.mktemp("target")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return folder


def _without_pth(target: Path, cwd: Path, *arguments: str) -> str:
    """Python that finds packages through `PYTHONPATH` alone, as do its worker processes."""
    return _run(cwd, sys.executable, "-S", *arguments, path=f"{target}:{sysconfig.get_path('purelib')}")


def test_plugin_where_no_pth_is_read(target: Path, tmp_path: Path) -> None:
    code = "import elmo_mf.plugin; print(elmo_mf.plugin.__file__)"
    assert _without_pth(target, tmp_path, "-c", code).startswith(str(target))


def test_commands_where_no_pth_is_read(target: Path, tmp_path: Path) -> None:
    """The sweep's trainings run in worker processes."""
    assert _without_pth(target, tmp_path, "-m", "elmo_mf.compat", "--version").startswith("allennlp 2.10.1")
    _without_pth(target, tmp_path, "-m", "elmo_mf", *_short_sweep(tmp_path))
    assert len(list((tmp_path / "out" / "records").glob("*.json"))) == 2
