"""The sweep files of this package, by name."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from elmo_mf.errors import InputError, any_of
from elmo_mf.resources import share


def named_sweeps() -> dict[str, str]:
    """Return the first sentence of each sweep file's comment, by the file's name, such as `published/probes`."""
    folder = share() / "jsonnet" / "sweeps"
    paths = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.jsonnet"))}
    return {name: _first_sentence(path) for name, path in paths.items()}


def sweep_file(given: Path) -> Path:
    """Return the path of a sweep file that is given by its path or by its name.

    Raises:
        InputError: There is neither.
    """
    if given.suffix or given.exists():
        return given
    name, known = given.as_posix(), named_sweeps()
    if name not in known:
        raise InputError(
            "file", f"found {given}, expected a sweep file, or {any_of(name, known).removeprefix('expected ')}"
        )
    return share() / "jsonnet" / "sweeps" / f"{name}.jsonnet"


def _first_sentence(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = [line[2:].strip() for line in takewhile(lambda line: line.startswith("//"), lines)]
    text = " ".join(takewhile(lambda line: not line.startswith("elmo-mf "), comment))
    return text.split(". ")[0].rstrip(".:")
