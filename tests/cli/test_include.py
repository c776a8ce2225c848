"""Methods and tasks from outside the package, by `--include` and by entry points."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elmo_mf import extensions, sweep
from elmo_mf.bilm import BilmOptions, Factors, read_weights
from elmo_mf.cli.main import main
from elmo_mf.compression.methods import base
from elmo_mf.errors import InputError
from elmo_mf.provenance import file_hash
from elmo_mf.resources import demo_options, demo_weights
from elmo_mf.tasks.task_config import task_names
from tests.conftest import ROOT, documented_method, rejected, write_reviews

METHOD = "longest_columns"
_TASK = """
title = "Sentiment of my reviews"
config = "jsonnet/sst.jsonnet"
[data]
of = "sst"
format = "ptb-trees"
train = "train.txt"
validation = "dev.txt"
source = "my reviews"
licence = "mine"
[score]
split = "validation"
primary = "accuracy"
chance = "majority"
[score.metrics]
accuracy = "higher"
"""


pytestmark = pytest.mark.usefixtures("nothing_included")


@pytest.fixture
def source() -> str:
    return documented_method()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> Path:
    """A folder with the documented method in a file, in which commands run."""
    (tmp_path / "my_methods.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _compress(*words: str) -> int:
    return main(["compress", str(demo_weights().parent), "--method", METHOD, "--rank", "4", "--out", "out", *words])


def _package(here: Path) -> Path:
    """Move the method to a module of a package that imports another one."""
    folder = here / "my_package"
    (folder / "methods").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "methods" / "__init__.py").touch()
    (folder / "names.py").write_text(f"NAME = {METHOD!r}\n")
    source = (here / "my_methods.py").read_text().replace(f'"{METHOD}"', "NAME")
    (folder / "methods" / "columns.py").write_text(f"from my_package.names import NAME\n{source}")
    (folder / "test_methods.py").write_text("1 / 0")
    (here / "my_methods.py").unlink()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("given", ["my_methods.py", "my_methods", ".", "my_package"])
def test_the_documented_method(given: str, here: Path) -> None:
    """It is used from a file, a module, a folder and a package, and the others do not have its factors."""
    if given == "my_package":
        _package(here)
    assert _compress("--include", given) == 0
    options = BilmOptions.from_file(demo_options())
    dense = read_weights(demo_weights(), options).lstms[0, 0].matrices["input"]
    factors = read_weights(here / "out" / "weights.hdf5", BilmOptions.from_file(here / "out" / "options.json"))
    found = factors.lstms[0, 0].matrices["input"]
    assert isinstance(dense, np.ndarray) and isinstance(found, Factors)
    longest = dense[:, np.argsort(-np.linalg.norm(dense, axis=0))[:4]]
    basis, _ = np.linalg.qr(longest)
    np.testing.assert_allclose(found.left @ found.right, basis @ basis.T @ dense, atol=1e-5)
    report = json.loads((here / "out" / "report.json").read_text())
    assert report["compression"]["method"] == METHOD


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.py", None, "--include: found gone.py, which does not exist, expected a Python file, a folder or an"),
        ("my_gone", None, "--include: my_gone: no such module, expected a Python file"),
        ("my_text.txt", "", "--include: found my_text.txt, expected a Python file"),
        ("my_error.py", "x = 1\n1 / 0", r"my_error.py: line 2: ZeroDivisionError: division by zero"),
        ("my_error.py", "import gone", r"my_error.py: line 1: ModuleNotFoundError: No module named 'gone'"),
        ("my_error.py", "raise SystemExit", r"my_error.py: line 1: SystemExit"),
        ("my_error.py", "def", r"my_error.py: SyntaxError: invalid syntax"),
        ("my_error.py", "VERSION = 1 -> ", r"line 5: LongestColumns: VERSION: missing, expected an integer"),
        ("my_error.py", f"{METHOD} -> svd", r"found the name 'svd', which a method of elmo-mf has, expected another"),
        ("my_error.py", f"{METHOD} -> encoder", r"found the name 'encoder', expected an identifier other than"),
        ("my_error.py", f"{METHOD} -> a b", r"found the name 'a b', expected an identifier other than"),
        ("my_error.py", "class Longest -> class Other", f"OtherColumns: found the name '{METHOD}', which LongestCol"),
    ],
)
def test_errors(
    name: str, content: str | None, message: str, here: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    old, arrow, new = (content or "").partition(" -> ")
    if content is not None:
        (here / name).write_text(source.replace(old, new) if arrow else content)
    assert _compress("--include", "my_methods.py", "--include", name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("elmo-mf: error: ") and message in line and not (here / "out").exists()


def test_an_unknown_method(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without `--include` the method is as unknown as any."""
    assert _compress() == 2
    assert f"--method: found '{METHOD}', expected one of" in capsys.readouterr().err


def test_a_file_may_be_changed_and_included_again(here: Path) -> None:
    extensions.include(["my_methods.py"])
    before = base.method_hash(METHOD)
    file = here / "my_methods.py"
    file.write_text(file.read_text() + "# another\n")
    extensions.include(["my_methods.py"])
    assert base.method_hash(METHOD) == file_hash(file) != before


def test_a_method_of_a_script_is_not_in_other_processes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extensions.include(["my_methods.py"])
    monkeypatch.setattr(type(base.method_named(METHOD)), "__module__", "__main__")
    with rejected("compression.method", ", which is defined in a script or a notebook"):
        base.method_hash(METHOD)


def _sweep(*words: str) -> int:
    grid = [
        "--methods",
        METHOD,
        "--targets",
        "input",
        "--ranks",
        "4",
        "--tasks",
        "sst-probe",
        "--limit",
        "60",
        "--output",
        "runs",
    ]
    return main(["sweep", *grid, *words])


def _records(here: Path) -> list[dict[str, Any]]:
    records = [json.loads(path.read_text()) for path in sorted((here / "runs" / "records").glob("*.json"))]
    return [one for one in records if "compression" in one["run"]]


def test_a_sweep_without_its_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the option, the file with the key, or the argument."""
    (here / "sweep.jsonnet").write_text("{ include: 'gone.py' }")
    assert _sweep("--include", "gone.py", "--status") == 2 and _sweep("sweep.jsonnet", "--status") == 2
    of_option, of_file = capsys.readouterr().err.splitlines()
    assert of_option.startswith(
        "elmo-mf: error: --include: found gone.py, which does not exist, expected a Python file"
    )
    assert of_file.startswith("elmo-mf: error: sweep.jsonnet: include: found gone.py, which does not exist")
    with pytest.raises(InputError, match=r"^include: found gone.py"):
        sweep(include=["gone.py"], output=here / "runs")


@pytest.mark.slow
def test_a_sweep(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Processes of runs find the method, its file is part of the identity, and records are read without it."""
    (here / "sweep.jsonnet").write_text("{ include: 'my_methods.py', latency_sentences: 2, latency_rounds: 1 }")
    assert _sweep("sweep.jsonnet", "--workers", "2", "--quiet") == 0, capsys.readouterr().err
    (record,) = _records(here)
    file = here / "my_methods.py"
    assert record["run"]["method_file"] == file_hash(file) and record["run"]["versions"][METHOD] == 1
    capsys.readouterr()
    assert _sweep("--include", "my_methods.py", "--status") == 0
    assert "2 recorded" in capsys.readouterr().out
    file.write_text(file.read_text() + "# changed\n")
    assert _sweep("--include", "my_methods.py", "--status") == 0
    assert "1 recorded, 0 running, 0 failed, 1 to run" in capsys.readouterr().out
    base.forget_included_methods()
    for command in (["leaderboard", "runs"], ["compare", "runs", "runs"], ["recommend", "runs"], ["explain", "runs"]):
        assert main(command) == 0, capsys.readouterr().err
    given = f"--method {METHOD} --targets input --rank 4 --out small --include FILE"
    assert given in (here / "runs" / "README.md").read_text()
    assert _sweep() == 2


def _entry_points(here: Path, text: str) -> None:
    """What an installed package leaves beside its modules."""
    info = here / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(text)


_COMMANDS = """
import contextlib, io, json, sys
root, here, commands = json.loads(sys.argv[1])
sys.path[:0] = [root, here]
from elmo_mf.cli.main import main
ended = []
for words in commands:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main(words)
    ended.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(ended))
"""


def _run(here: Path, *commands: list[str]) -> list[tuple[int, str, str]]:
    """Run commands in a process that finds packages in a folder; return their statuses, outputs and errors."""
    given = json.dumps([str(ROOT), str(here), commands])
    done = subprocess.run([sys.executable, "-c", _COMMANDS, given], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [(status, out, err) for status, out, err in json.loads(done.stdout)]


@pytest.mark.slow
def test_entry_points(here: Path) -> None:
    _package(here)
    _entry_points(
        here,
        f"[elmo_mf.methods]\n{METHOD} = my_package.methods.columns\nbroken = my_package.gone\n"
        "[elmo_mf.tasks]\nmine = my_package\n",
    )
    (here / "my_package" / "my-reviews").mkdir()
    (here / "my_package" / "my-reviews" / "task.toml").write_text(_TASK)
    compress = ["compress", str(demo_weights().parent), "--rank", "4", "--out", "out", "--force", "--method"]
    unknown, tasks, found, broken = _run(
        here, [*compress, "longest_rows"], ["tasks"], [*compress, METHOD], [*compress, "broken"]
    )
    assert unknown[0] == 2 and f"expected one of broken, fisher_svd, kfac_svd, {METHOD}, nmf" in unknown[2]
    assert tasks[0] == 0 and "my-reviews: Sentiment of my reviews" in tasks[1]
    assert found[0] == 0, found[2]
    assert broken[0] == 2
    assert broken[2].startswith("elmo-mf: error: the entry point broken of mine: ModuleNotFoundError: No module")


@pytest.mark.slow
@pytest.mark.parametrize("given", ["tasks", "tasks/my-reviews"])
def test_a_folder_of_tasks(given: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "tasks" / "my-reviews").mkdir(parents=True)
    (here / "tasks" / "my-reviews" / "task.toml").write_text(_TASK)
    assert "my-reviews" not in task_names()
    assert main(["tasks", "--include", given]) == 0 and "my-reviews" in task_names()
    sweep = ["sweep", "--include", given, "--tasks", "my-reviews", "--methods", "svd", "--ranks", "4", "--dry-run"]
    assert main(sweep) == 0
    assert "my-reviews svd all rank 4 seed 13\n2 runs" in capsys.readouterr().out


def test_a_task_whose_name_is_taken(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "tasks" / "sst").mkdir(parents=True)
    (here / "tasks" / "sst" / "task.toml").write_text(_TASK)
    assert main(["tasks", "--include", "tasks"]) == 2
    assert f"{here}/tasks/sst/task.toml: found the name of the task in {ROOT}" in capsys.readouterr().err


_FAST = "latency_sentences: 1, latency_rounds: 1"


def _scores(folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Return the scores of each record, by its view and whether it is of a compressed encoder, a baseline or dense."""
    scores = {}
    for path in (folder / "runs" / "records").glob("*.json"):
        record = json.loads(path.read_text())
        run = record["run"]
        kind = run.get("baseline", "svd" if "compression" in run else "dense")
        scores[run.get("view", "retrained"), kind] = record["scores"]
        assert record["examples"] == {"train": 60, "validation": 20, "test": 20}
    return scores


@pytest.mark.slow
def test_texts_of_ones_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The documented task is probed."""
    write_reviews(here / "my-reviews")
    (here / "sweep.jsonnet").write_text(f"{{ baselines: ['words'], {_FAST} }}")
    command = ["sweep", "sweep.jsonnet", "--include", "my-reviews", "--tasks", "my-reviews", "--ranks", "8"]
    assert main([*command, "--output", "runs", "--quiet"]) == 0, capsys.readouterr().err
    scores = _scores(here)
    assert set(scores) == {("retrained", kind) for kind in ("dense", "svd", "words")}
    assert scores["retrained", "words"]["accuracy"] == 1 and scores["retrained", "dense"]["accuracy"] > 0.8
    (name,) = (here / "runs" / "records").glob("*words*.json")
    assert json.loads(name.read_text())["run"]["config"]["columns"] == {"text": "review", "label": "stars"}


@pytest.mark.slow
def test_a_model_of_texts_of_ones_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same without the lines of the probe, with the model of the dense encoder."""
    config = write_reviews(here / "my-reviews") / "task.toml"
    config.write_text(config.read_text().replace('kind = "probe"\nprobe.examples = "text"\n', ""))
    overrides = "overrides: { 'my-reviews': { 'trainer.num_epochs': 1 } }"
    (here / "sweep.jsonnet").write_text(
        f"{{ include: 'my-reviews', tasks: 'my-reviews', views: ['swapped'], {overrides}, {_FAST} }}"
    )
    command = ["sweep", "sweep.jsonnet", "--ranks", "8", "--output", "runs", "--quiet"]
    assert main(command) == 0, capsys.readouterr().err
    scores = _scores(here)
    assert set(scores) == {("swapped", kind) for kind in ("dense", "svd")}
    assert all(set(one) == {"accuracy", "loss"} for one in scores.values())
    capsys.readouterr()
    assert main(["leaderboard", "runs"]) == 0
    assert "DEMO" not in capsys.readouterr().out  # these are not demo data
