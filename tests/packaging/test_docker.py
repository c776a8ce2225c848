"""The Dockerfile's steps fit the checkout; building it needs Docker and its registry.

`test_wheel.py` builds the wheel that the image has, from the files that it is built from.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import SpecifierSet

from elmo_mf.cli.setup_allennlp import ALLENNLP
from tests.conftest import ROOT

LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _steps(instruction: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in LINES if line.startswith(f"{instruction} ")]


def _copied() -> set[str]:
    return {source for words in _steps("COPY") if not words[0].startswith("--") for source in words[:-1]}


def context() -> Iterator[Path]:
    """The files, as paths in the checkout, that Docker reads there and copies into the image."""
    for name in sorted(_copied()):
        for path in (ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name]:
            if path.is_file() and _is_read(path.relative_to(ROOT)):
                yield path.relative_to(ROOT)


def _is_read(path: Path) -> bool:
    """Whether `.dockerignore` lets a file in: the last line that matches it or a folder of it decides."""
    read = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        parts = {"**/": "(.*/)?", "*": "[^/]*"}
        pattern = "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", line.removeprefix("!")))
        if any(re.fullmatch(pattern, one.as_posix()) for one in (path, *path.parents)):
            read = line.startswith("!")
    return read


def test_it_reads_all_of_that_and_nothing_large() -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in context()}
    assert all(any(path.is_relative_to(name) for path in sizes) for name in _copied()) and sum(sizes.values()) < 50e6
    for name in (
        "elmo_mf/io/__pycache__/x.pyc",
        "elmo_mf/__pycache__/x",
        ".git/config",
        "leaderboard/README.md",
        "runs/x",
    ):
        assert not _is_read(Path(name))


def test_it_copies_what_the_wheel_is_made_of() -> None:
    build = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = PROJECT["project"]
    needed = {"pyproject.toml", project["readme"], *project["license-files"], *build["packages"]}
    assert _copied() == needed | build["force-include"].keys() | {"requirements.torch"}
    assert all((ROOT / name).exists() for name in _copied())
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in kept if line.startswith("!")} == _copied()


def test_it_installs_the_same_as_the_command() -> None:
    installs = [words[words.index("install") + 1 :] for words in _steps("RUN") if "install" in words]
    assert installs == [
        ["-r", "requirements.torch"],
        ["--no-deps", "--require-hashes", "-r", "requirements.lock"],
        ["--no-deps", *ALLENNLP],
        ["--no-deps", "."],
    ]


def test_its_python_is_one_that_the_package_supports() -> None:
    versions = {re.sub(r"python:([\d.]+)-slim", r"\1", words[0]) for words in _steps("FROM")}
    assert len(versions) == 1 and SpecifierSet(PROJECT["project"]["requires-python"]).contains(versions.pop())


def test_it_runs_the_command_without_root() -> None:
    (user,) = _steps("USER")
    assert any(words[0] == "useradd" and words[-1] == user[0] for words in _steps("RUN"))
    (entry,) = (line.removeprefix("ENTRYPOINT ") for line in LINES if line.startswith("ENTRYPOINT "))
    assert json.loads(entry)[0] in PROJECT["project"]["scripts"]
