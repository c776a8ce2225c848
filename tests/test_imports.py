"""What packages and commands leave unimported."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from elmo_mf.compression import method_names
from elmo_mf.records import Compression
from elmo_mf.resources import demo_options, demo_weights
from tests.conftest import ROOT
from tests.records.samples import record, signed, write

_MODEL_CODE = ("torch", "h5py", "allennlp", "elmo_mf.bilm")
_ELMO = [str(demo_options()), str(demo_weights())]

_EVERY_MODULE = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
"""

_COMMANDS = """
import json, os, sys
from elmo_mf.cli.main import main
for words in json.loads(sys.argv[1]):
    if not os.fork():
        main(words)
        print()
        print("imported", *sys.modules, flush=True)
        os._exit(0)
    os.wait()
"""


def _imported(code: str, *arguments: str, cwd: Path = ROOT) -> set[str]:
    """Run code in a process of its own, and return the modules that it leaves imported."""
    command = [sys.executable, "-c", f"{code}\nprint()\nprint(*sys.modules)", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd)
    return set(done.stdout.splitlines()[-1].split())


def _imported_by(commands: list[list[str]], cwd: Path) -> Iterator[tuple[str, set[str]]]:
    """Run commands in forks of a process that has imported the command line alone; yield what each leaves imported."""
    command = [sys.executable, "-c", _COMMANDS, json.dumps(commands)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd)
    imported = [set(line.split()) for line in done.stdout.splitlines() if line.startswith("imported ")]
    return zip(map(" ".join, commands), imported, strict=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("packages", "unwanted"),
    [
        (["records"], _MODEL_CODE),
        (["leaderboard"], _MODEL_CODE),
        (["analysis"], _MODEL_CODE),
        (["experiments"], _MODEL_CODE),
        (["bilm", "compression", "lm", "embed"], ("allennlp", "elmo_mf.tasks")),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_packages(packages: list[str], unwanted: tuple[str, ...]) -> None:
    names = [f"elmo_mf.{package}" for package in packages]
    imported = _imported(_EVERY_MODULE, *names)
    assert imported.issuperset(names) and imported.isdisjoint(unwanted)


@pytest.mark.slow
def test_reports_of_any_method(tmp_path: Path) -> None:
    records = [record(None, 0.4)]
    for name in method_names():
        entry = record(4, 0.3)
        entry["run"]["compression"] = Compression(method=name, rank=4, targets="all").to_dict()
        records.append(signed(entry))
    write(tmp_path, records)
    ((_, imported),) = _imported_by([["leaderboard", str(tmp_path), "--export", "csv,json"]], ROOT)
    assert imported.isdisjoint(_MODEL_CODE) and (tmp_path / "index.html").is_file()


@pytest.mark.slow
def test_errors_do_not_wait_for_tables(tmp_path: Path) -> None:
    commands = [
        ["leaderboard", "missing"],
        ["leaderboard", "missing", "--export", "x"],
        ["explain", "missing"],
        ["compare", "missing", "missing"],
        ["recommend", "missing"],
    ]
    for words, imported in _imported_by(commands, tmp_path):
        assert imported.isdisjoint({"torch", "pandas", "altair", "matplotlib"}), words


_ERRORS = [
    ["tasks"],
    ["compress", "a", "b", "--rank", "x", "--out", "c"],
    ["compress", "a", "b", "--rank", "4", "--out", "c"],
    ["compress", *_ELMO, "--rank", "64", "--out", "c"],
    ["compress", *_ELMO, "--method", "x", "--rank", "4", "--out", "c"],
    ["compress", *_ELMO, "--rank", "4", "--evaluation", "gone.txt", "--out", "c"],
    ["compress", *_ELMO, "--rank", "4", "--gradients", "gone", "--out", "c"],
    ["compress", *_ELMO, "--rank", "4", "--distill", "gone", "--out", "c"],
    ["compress", *_ELMO, "--cells", "9", "--out", "c"],
    ["shrink", *_ELMO, "--cells", "999", "--out", "c"],
    ["shrink", *_ELMO, "--cells", "9", "--gradients", "gone", "--out", "c"],
    ["perplexity", "."],
    ["pretrain", "text.txt", "--valid", "text.txt", "--out", "x", "--tracker", "x"],
    ["sweep", "--retime", "x"],
    ["sweep", "--ray", "127.0.0.1:1"],
    ["sweep", "--include", "gone.py"],
    ["sweep", "--tasks", "x"],
    ["sweep", "--methods", "x"],
    ["gradients", "x", "out.hdf5"],
    ["pretrain", "gone.txt", "--valid", "gone.txt", "--out", "c"],
    ["perplexity", "gone.txt"],
    ["embed", "gone.txt", "out.hdf5"],
    ["upload", "gone", "user/name"],
    ["bench", "--size", "x"],
    ["bench", "--precisions", "x"],
    ["accelerate", "damaged.tar.gz", "--out", "x"],
    ["accelerate", "damaged.tar.gz", "--out", "x", "--precision", "x"],
    ["accelerate", "empty.tar.gz", "--out", "x"],
    ["inspect", "missing.json", "missing.hdf5"],
    ["accelerate", "missing.tar.gz", "--out", "x"],
    ["convert", "missing", "--out", "x"],
    ["embed", "text.txt", "out.hdf5", "--rank", "x"],
    ["embed", "text.txt", "out.hdf5", "--precision", "x"],
    ["embed", "text.txt", "out.hdf5", "--options", "missing"],
    ["embed", "text.txt", "text.txt"],
    ["gradients", "sst", "out.hdf5", "--options", "missing"],
    ["embed", "text.txt", "out.hdf5", "--device", "x"],
    ["bench", "--device", "x"],
    ["perplexity", "text.txt", "--device", "x"],
    ["pretrain", "text.txt", "--valid", "text.txt", "--out", "x", "--device", "x"],
    ["perplexity", "text.txt", "--targets", "x", "--rank", "4"],
    ["perplexity", "text.txt", "--rank", "999"],
    ["perplexity", "text.txt", "--softmax", "missing"],
    ["embed", "text.txt", "out.hdf5", "--rank", "999"],
    ["bench", "--ranks", "999"],
    ["pretrain", "text.txt", "--valid", "text.txt", "--out", "x", "--rank", "999"],
    ["perplexity", "text.txt", "--json", "text.txt"],
    ["pretrain", "text.txt", "--valid", "text.txt", "--out", "x", "--from-folder", "missing"],
    ["sweep", "--data", "missing", "--tasks", "sst"],
    ["sweep", "published/swapped", "--data", "missing"],
]


@pytest.mark.slow
def test_errors_do_not_wait_for_pytorch(tmp_path: Path) -> None:
    """Its import takes most of the time of a command that fails at once."""
    (tmp_path / "damaged.tar.gz").write_bytes(b"no archive")
    tarfile.open(tmp_path / "empty.tar.gz", "w:gz").close()
    (tmp_path / "text.txt").write_text("a b\n", encoding="utf-8")
    for words, imported in _imported_by(_ERRORS, tmp_path):
        assert "torch" not in imported, words
