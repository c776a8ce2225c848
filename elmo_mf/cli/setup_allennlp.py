"""`elmo-mf setup-allennlp`: AllenNLP, and the releases of other packages that it runs on."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import typer

from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError
from elmo_mf.resources import share

ALLENNLP = ("allennlp==2.10.1", "allennlp-models==2.10.1")
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", re.MULTILINE)


def setup_allennlp(
    yes: bool = typer.Option(False, "--yes", help="Install without asking."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print what would be done."),
) -> None:
    """Install AllenNLP into the virtual environment that elmo-mf is in, with pip, or with uv if pip is not there.

    AllenNLP's own requirements no longer install. This command installs the pinned releases that elmo-mf is tested with
    (verified by SHA-256), then AllenNLP without its requirements. Other releases of these packages are replaced; torch
    is not.

    Examples:

    \b
      elmo-mf setup-allennlp --dry-run
      elmo-mf setup-allennlp
    """
    if sys.prefix == sys.base_prefix:
        raise InputError(
            sys.prefix,
            "not a virtual environment, expected one, because installed packages may be replaced; "
            "`python -m venv NAME` creates one",
        )
    lock = share() / "requirements.lock"
    commands = _commands(lock)
    echo(f"In {sys.prefix}:")
    for command in commands:
        echo(f"  {shlex.join(command)}")
    for name, installed, locked in replaced(lock):
        echo(f"{name} {installed} is replaced by {locked}")
    if not dry_run:
        _ask(yes)
        for command in commands:
            _run(command)


def _commands(lock: Path) -> list[list[str]]:
    """The lock is complete except for torch, on which elmo-mf depends itself; so no requirement is followed."""
    install = [*_installer(), "--no-deps"]
    return [
        [*install, "--require-hashes", "--requirement", str(lock)],
        [*install, *ALLENNLP],
        [sys.executable, "-m", "elmo_mf.compat", "--version"],
    ]


def _installer() -> list[str]:
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install"]
    beside = Path(sys.executable).parent  # where `uv sync` puts it
    uv = shutil.which("uv") or shutil.which("uv", path=beside)
    if uv is None:
        raise InputError(
            sys.prefix,
            "found neither pip nor uv in this environment and no uv on the PATH, expected one of them; "
            "`python -m ensurepip` installs pip",
        )
    return [uv, "pip", "install", "--python", sys.executable]


def replaced(lock: Path) -> list[tuple[str, str, str]]:
    """Return the installed packages whose release is not the lock's: name, release found, release of the lock."""
    pinned = _PINNED.findall(lock.read_text(encoding="utf-8"))
    installed = {name: _installed(name) for name, _ in pinned}
    return [(name, here, locked) for name, locked in pinned if (here := installed[name]) is not None and here != locked]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _ask(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("--yes", "required where there is no terminal to ask on")
    typer.confirm("Continue?", abort=True)


def _run(command: list[str]) -> None:
    status = subprocess.run(command).returncode
    if status:
        raise InputError(shlex.join(command), f"found exit status {status}, expected 0; what it printed says why")
