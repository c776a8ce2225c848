"""Tests of outputs that cannot be written: one-line errors before the work, and no partial files."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from elmo_mf.cli.main import main
from elmo_mf.resources import demo_options, demo_weights
from tests.conftest import ROOT, random_bilm
from tests.records.samples import record, write

FOLDERS = ("/proc/none/out", "file/out")


def _commands(out: str) -> list[list[str]]:
    """Return every command that writes, with the output `out`."""
    elmo = [str(demo_options()), str(demo_weights())]
    return [
        ["embed", "t.txt", out],
        ["compress", *elmo, "--rank", "4", "--out", out],
        ["pretrain", "t.txt", "--valid", "t.txt", "--out", out, "--cell", "8", "--projection", "4", "--min-count", "1"],
        ["gradients", "sst", out],
        ["inspect", *elmo, "--json", out],
        ["inspect", *elmo, "--plot", f"{out}.svg"],
        ["bench", "--size", "small", "--json", out],
        ["bench", "--size", "small", "--plot", f"{out}.svg"],
        ["perplexity", "t.txt", "--json", out],
        ["tasks", "--json", out],
        ["explain", "run", "--json", out],
        ["compare", "run", "run", "--json", out],
        ["sweep", "--tasks", "sst", "--dry-run", "--json", out],
        ["sweep", "--tasks", "sst", "--limit", "4", "--output", out],
        ["fetch", "data", "snli", "--out", out],
    ]


@pytest.mark.parametrize("out", FOLDERS)
@pytest.mark.parametrize("index", range(len(_commands(""))))
def test_a_place_that_cannot_be_written_to(
    index: int, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("t.txt").write_text("A line .\n")
    write(tmp_path / "run", [record(None, 0.4), record(4, 0.3)])
    assert main(_commands(out)[index]) == 2
    error = capsys.readouterr().err
    assert error.startswith("elmo-mf: error: ") and error.count("\n") == 1
    assert out in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "run", "t.txt"]


ELMO = [str(demo_options()), str(demo_weights())]
REPLACING: list[tuple[str, list[str]]] = [
    ("out/options.json", ["compress", *ELMO, "--rank", "4", "--out", "out"]),
    ("out/MODEL_CARD.md", ["compress", *ELMO, "--rank", "4", "--out", "out"]),
    ("out/softmax.hdf5", ["shrink", *ELMO, "--cells", "8", "--out", "out"]),
    ("out/vocabulary.txt", ["convert", "many", "--out", "out"]),
    ("out/options.json", ["pretrain", "t.txt", "--valid", "t.txt", "--out", "out"]),
    ("out.hdf5", ["gradients", "sst", "out.hdf5"]),
    ("out.hdf5", ["embed", "t.txt", "out.hdf5"]),
    ("out.tar.gz", ["accelerate", "model.tar.gz", "--out", "out.tar.gz"]),
    ("out.json", ["accelerate", "model.tar.gz", "--out", "out.tar.gz", "--json", "out.json"]),
    ("out.json", ["inspect", *ELMO, "--json", "out.json"]),
    ("out.svg", ["inspect", *ELMO, "--plot", "out.svg"]),
    ("out.json", ["bench", "--size", "small", "--json", "out.json"]),
    ("out.svg", ["bench", "--size", "small", "--plot", "out.svg"]),
    ("out.json", ["perplexity", "t.txt", "--json", "out.json"]),
    ("out.json", ["tasks", "--json", "out.json"]),
    ("out.json", ["explain", "run", "--json", "out.json"]),
    ("run/EXPLAIN.md", ["explain", "run"]),
    ("run/README.md", ["leaderboard", "run"]),
    ("run/index.html", ["leaderboard", "run"]),
    ("out.json", ["compare", "run", "run", "--json", "out.json"]),
    ("out.json", ["recommend", "run", "--json", "out.json"]),
    ("out.json", ["sweep", "--tasks", "sst", "--dry-run", "--json", "out.json"]),
    ("out/train.txt", ["fetch", "data", "sst", "--out", "out"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "command"), REPLACING, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_files_of_others_are_not_replaced(
    name: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text("A line .\n")
    for file in ("char.dic", "word.dic", "token_embedder.pkl", "encoder.pkl", "config.json"):
        (tmp_path / "many" / file).parent.mkdir(exist_ok=True)
        (tmp_path / "many" / file).touch()
    Path("model.tar.gz").touch()
    write(tmp_path / "run", [record(None, 0.4), record(4, 0.3)])
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"elmo-mf: error: {name}: already exists")
    assert error.count("\n") == 1 and Path(name).read_text() == "mine" and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("option", ["--out", "--output"])
@pytest.mark.parametrize(
    "command",
    [
        ["compress", *ELMO, "--rank", "4"],
        ["convert", "nothing"],
        ["pretrain", "t.txt", "--valid", "t.txt"],
        ["embed", "t.txt"],
        ["gradients", "sst"],
        ["accelerate", "nothing"],
        ["fetch", "data", "snli"],
        ["sweep", "--tasks", "sst"],
    ],
    ids=lambda value: str(value[0]),
)
def test_an_output_has_one_option(
    command: list[str], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text("A line .\n")
    assert main([*command, option, "t.txt/out"]) == 2
    assert re.search("found t.txt/out|nothing", capsys.readouterr().err)
    assert main(["embed", "t.txt", "out.hdf5", option, "out.hdf5"]) == 2
    assert "OUTPUT: found out.hdf5 and out.hdf5" in capsys.readouterr().err


@pytest.mark.slow
def test_files_are_replaced_with_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, status in (([], 0), ([], 2), (["--force"], 0)):
        assert main(["tasks", "--json", str(tmp_path / "t.json"), *more]) == status
    folder = write(tmp_path / "run", [record(None, 0.4), record(4, 0.3)])
    (folder / "README.md").write_text("mine")
    for more, status in (([], 2), (["--force"], 0), ([], 0)):  # in the end it is the command's own
        assert main(["leaderboard", str(folder), *more]) == status
    assert (folder / "README.md").read_text().startswith("# Leaderboard\n")


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 2)])
def test_a_terminal_is_asked(answer: str, status: int, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("mine")
    master, terminal = os.openpty()
    os.write(master, f"{answer}\n".encode())
    command = [sys.executable, "-m", "elmo_mf", "tasks", "--json", "t.json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, stdin=terminal, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    os.close(master)
    os.close(terminal)
    assert done.returncode == status and done.stderr.startswith("replace t.json? [y/N]:")
    assert ((tmp_path / "t.json").read_text() == "mine") == (status == 2)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let this process write no larger files, as with a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


COMMANDS: list[Callable[[], list[str]]] = [
    lambda: ["embed", "t.txt", "out/out.hdf5"],
    lambda: ["compress", str(demo_options()), str(demo_weights()), "--rank", "4", "--out", "out"],
    lambda: ["leaderboard", "run"],
    lambda: ["inspect", str(demo_options()), str(demo_weights()), "--json", "out/out.json"],
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(
    command: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text("".join(f"line {index} of a text\n" for index in range(60)))
    write(tmp_path / "run", [record(None, 0.4), record(4, 0.3)])
    records = list((tmp_path / "run").rglob("*"))
    with largest_file(20_000):
        status = main(command())
    printed = capfd.readouterr().err
    errors = [line for line in printed.splitlines() if line.startswith("elmo-mf: error: ")]
    assert (status, len(errors)) == (2, 1), printed
    assert "File too large" in errors[0]
    assert "Traceback" not in printed
    assert not list(tmp_path.rglob(".*.tmp"))
    assert not [p for p in (tmp_path / "out").rglob("*") if p.name in ("out.hdf5", "weights.hdf5", "options.json")]
    assert list((tmp_path / "run").rglob("*")) == records


@pytest.mark.slow
def test_a_board_is_replaced_as_a_whole(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A page that cannot be written leaves the old table, plots and exports unchanged."""
    folder = write(tmp_path / "run", [record(None, 0.4), record(4, 0.3)])
    assert main(["leaderboard", str(folder), "--export", "csv"]) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {"README.md", "index.html", "board.csv"} <= set(before)
    write(folder, [record(8, 0.2)])
    with largest_file(1_000_000):
        assert main(["leaderboard", str(folder), "--export", "csv"]) == 2
    assert "index.html" in capfd.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_folder_that_holds_an_elmo_is_not_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_bilm().save(tmp_path / "elmo")
    assert main(["tasks", "--json", str(tmp_path / "elmo")]) == 2
    assert "expected the name of a file" in capsys.readouterr().err


def test_an_interrupted_command_says_that_it_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("elmo_mf.compression.compress_checkpoint", interrupted)
    assert (
        main(["compress", str(demo_options()), str(demo_weights()), "--rank", "8", "--out", str(tmp_path / "out")])
        == 130
    )
    assert capsys.readouterr().err == "elmo-mf: interrupted; the same command starts over\n"
    monkeypatch.setattr("elmo_mf.tasks.task_names", interrupted)
    assert main(["tasks"]) == 130 and capsys.readouterr().err == "elmo-mf: interrupted\n"


@pytest.mark.parametrize("command", ["embed", "pretrain", "compress", "fetch", "sweep"])
def test_an_interrupted_command_says_that_it_can_be_resumed(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text("A line .\n")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    places = {
        "embed": "elmo_mf.embed.embed_file", "pretrain": "elmo_mf.pretrain.Trainer.run",
        "compress": "elmo_mf.compression.recovery.distillation.distill", "fetch": "elmo_mf.fetch.fetch",
        "sweep": "elmo_mf.experiments.executors.LocalExecutor.start",
    }  # fmt: skip
    monkeypatch.setattr(places[command], interrupted)
    (arguments,) = [given for given in _commands("out") if given[0] == command and "--dry-run" not in given]
    assert main([*arguments, *(["--distill", "t.txt"] if command == "compress" else [])]) == 130
    error = capsys.readouterr().err
    assert error.endswith("elmo-mf: interrupted; run the same command again to resume\n")
    assert "Traceback" not in error
    assert not Path("out").is_file() and not list(Path("out").glob("*.json"))
