"""The wheel in environments of its own, outside the checkout: with no more than it requires, and with AllenNLP."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from elmo_mf.cli.setup_allennlp import ALLENNLP
from tests.conftest import ROOT
from tests.packaging.environments import closure, make_environment, repack, run, site_packages
from tests.packaging.test_docker import context
from tests.packaging.test_lock import pinned
from tests.records.samples import record, write

pytestmark = pytest.mark.slow

NOWHERE = {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "PATH": "/proc/none"}
"""A home in which nobody can write, and no programs."""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, and the wheel made from it."""
    out = tmp_path_factory.mktemp("dist")
    _build(ROOT, "--outdir", out)
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


def _build(folder: Path, *options: str | Path) -> None:
    run(folder, sys.executable, "-m", "build", "--no-isolation", *options, folder)


def _metadata(wheel: Path) -> list[Requirement]:
    """What the wheel requires."""
    archive = zipfile.ZipFile(wheel)
    content = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA")))
    return [Requirement(line) for line in message_from_bytes(content).get_all("Requires-Dist") or ()]


def _sums(wheel: Path) -> dict[str, int]:
    return {file.filename: file.CRC for file in zipfile.ZipFile(wheel).infolist()}


def test_contents(wheel: Path) -> None:
    names = _sums(wheel).keys()
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
        f"{share}/leaderboard/recommended.json",
        f"{share}/requirements.lock",
        f"{share}/tasks/squad/task.toml",
        f"{share}/tasks/squad/demo/train.json",
        f"{share}/weights/demo/weights.hdf5",
        f"{share}/weights/demo/options.json",
        f"{share}/weights/base/softmax.hdf5",
    ):
        assert name in names
    assert not [name for name in names if name.startswith(("tests", "leaderboard"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_image_has_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    for path in context():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, source / path)
    _build(source, "--wheel", "--outdir", tmp_path)
    assert _sums(next(tmp_path.glob("*.whl"))) == _sums(wheel)


def test_checkout_and_source_distribution_give_the_same_wheel(dist: Path, wheel: Path, tmp_path: Path) -> None:
    _build(ROOT, "--wheel", "--outdir", tmp_path)
    assert _sums(next(tmp_path.glob("*.whl"))) == _sums(wheel)
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    assert {"README.md", "requirements.lock", "tests"} <= tops
    assert not {name for name in tops if name.endswith("cache") or name in (".venv", "runs")}


def test_allennlp_is_not_a_dependency(wheel: Path) -> None:
    required = _metadata(wheel)
    assert required and not [requirement for requirement in required if "allennlp" in requirement.name]


COMMANDS = """
import sys
from pathlib import Path

import elmo_mf
from elmo_mf.cli.main import main
from elmo_mf.resources import demo_options, demo_weights

assert Path(elmo_mf.__file__).is_relative_to(sys.prefix)
elmo = [str(demo_options()), str(demo_weights())]
small = ["--cell", "8", "--projection", "4", "--epochs", "1"]
for arguments in (
    ["compress", *elmo, "--rank", "4", "--out", "factored"],
    ["inspect", *elmo, "--plot", "spectra.svg"],
    ["embed", "text.txt", "vectors.hdf5", "--options", elmo[0], "--weights", elmo[1]],
    ["pretrain", "text.txt", "--valid", "text.txt", "--out", "own", *small],
    ["perplexity", "text.txt", "--options", "own/options.json", "--weights", "own/weights.hdf5", "--rank", "2"],
    ["leaderboard", "sweep"],
    ["recommend"],
    ["tasks"],
):
    assert main(arguments) == 0, arguments
for command in ("sweep demo --output new", "gradients sst gradients.hdf5", "setup-allennlp --dry-run"):
    assert main(command.split()) == 2, command
"""


@pytest.fixture(scope="module")
def declared(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel and what it requires, and nothing else."""
    needed = closure(canonicalize_name(one.name) for one in _metadata(wheel) if one.marker is None)
    return make_environment(tmp_path_factory.mktemp("declared"), wheel, needed)


def test_commands_with_what_the_wheel_requires(declared: Path, tmp_path: Path) -> None:
    """They need no package that is not declared, no AllenNLP, no home and no other program."""
    (tmp_path / "text.txt").write_text("a cat sat\nthe dog ran home\n" * 20, encoding="utf-8")
    (tmp_path / "commands.py").write_text(COMMANDS, encoding="utf-8")
    write(tmp_path / "sweep", [record(rank, score) for rank, score in ((None, 0.5), (4, 0.4))])
    environment = NOWHERE | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([declared, "commands.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert done.stderr.count("install AllenNLP 2.10.1 with `elmo-mf setup-allennlp`\n") == 2
    assert "found neither pip nor uv in this environment" in done.stderr
    assert {"factored", "spectra.svg", "vectors.hdf5", "own"} <= {path.name for path in tmp_path.iterdir()}


def test_the_script_is_there(declared: Path, tmp_path: Path) -> None:
    assert run(tmp_path, declared.with_name("elmo-mf"), "--version").startswith("elmo-mf ")


@pytest.fixture(scope="module")
def complete(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the users' lock, in which `elmo-mf setup-allennlp` has installed AllenNLP.

    First with pip, without the wheel's `.pth` file, because its last command must work where none is read. Then, pip
    being gone, what it runs with uv, up to the last command, which is the same and slow; nothing is downloaded.
    """
    index = tmp_path_factory.mktemp("index")
    for requirement in ALLENNLP:
        repack(requirement.partition("==")[0], index)
    packages = {*pinned("requirements.lock"), *closure(["torch"]), "pip"}
    python = make_environment(tmp_path_factory.mktemp("complete"), wheel, packages)
    setup = (python.with_name("elmo-mf"), "setup-allennlp")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_NO_COMPILE": "1"}
    pth = site_packages(python) / "elmo_mf_compat.pth"
    away = pth.rename(index / pth.name)
    assert run(index, *setup, "--yes", **offline).endswith("\nallennlp 2.10.1\n")
    away.rename(pth)
    (site_packages(python) / "pip").unlink()
    variables = {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(index), "PATH": str(Path(sys.executable).parent)}
    plan = [shlex.split(line) for line in run(index, *setup, "--dry-run", **variables).splitlines()[1:]]
    assert [command[0].endswith("uv") for command in plan] == [True, True, False]
    for command in plan[:-1]:
        run(index, *command, **variables)
    return python


WORKER = """
import contextlib, io, multiprocessing, runpy, sys
def loaded(script):
    sys.argv = [script, "--version"]
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        runpy.run_path(script, run_name="__main__")
    from allennlp.commands import main
    from allennlp.training.learning_rate_schedulers.pytorch_lr_schedulers import ReduceOnPlateauLearningRateScheduler
    from allennlp_models.rc.tools import narrativeqa
    patched = hasattr(ReduceOnPlateauLearningRateScheduler.__init__, "__wrapped__")
    return f"{printed.getvalue().strip()}, {main.__module__}, {narrativeqa.__name__}, {patched}"
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(loaded, sys.argv[1:]))
        pool.close()
        pool.join()  # AllenNLP catches the signal by which pools end processes
"""


def test_allennlp_is_cured(complete: Path, tmp_path: Path) -> None:
    """Its own script, run by a worker process, imports what needs the patches."""
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    printed = run(tmp_path, complete, "worker.py", complete.with_name("allennlp"))
    assert printed == "allennlp 2.10.1, allennlp.commands, allennlp_models.rc.tools.narrativeqa, True\n"


SWEEP = "{overrides: {sst: {'trainer.num_epochs': 1}}, latency_sentences: 2, latency_rounds: 1}"


def test_sweep_and_leaderboard_where_no_pth_is_read(complete: Path, tmp_path: Path) -> None:
    """Python finds packages through `PYTHONPATH` alone, as do the worker processes in which the models are trained."""
    path = str(site_packages(complete))
    (tmp_path / "short.jsonnet").write_text(SWEEP, encoding="utf-8")
    where = "import elmo_mf; print(elmo_mf.__file__)"
    assert run(tmp_path, complete, "-S", "-c", where, PYTHONPATH=path).startswith(path)
    sweep = "sweep short.jsonnet --tasks sst --ranks 4 --limit 16 --output out".split()
    run(tmp_path, complete, "-S", "-m", "elmo_mf", *sweep, PYTHONPATH=path)
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "records").glob("*.json")]
    assert sorted(record["run"].get("compression") is None for record in records) == [False, True]
    assert "svd all rank 4" in run(tmp_path, complete.with_name("elmo-mf"), "leaderboard", "out")
