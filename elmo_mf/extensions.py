"""Methods, tasks and trackers from outside this package: the user's files, folders and modules, and entry points."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import Literal

from elmo_mf.errors import InputError, one_line
from elmo_mf.io import read_bytes
from elmo_mf.io.paths import expanded

Group = Literal["elmo_mf.methods", "elmo_mf.tasks", "elmo_mf.trackers"]
"""Groups of entry points."""

_MOST_BYTES = 10_000_000  # of a Python file
_SKIPPED = ("_", "test", "conftest", "setup")  # AllenNLP skips names that begin with the first two
_EXPECTED = "a Python file, a folder or an importable module"
_MODULE = "elmo_mf_included_"  # and a hash: the name of an included file as a module
_included: dict[Path, None] = {}


def include(names: Iterable[str | Path]) -> None:
    """Import methods and trackers from outside this package, and find tasks there.

    A Python file is imported, and so are the files of a folder and the modules of a package, except those whose names
    begin with `_` or `test`. The task configs of a folder, `task.toml` and `*/task.toml`, become tasks.

    Args:
        names: Each a Python file, a folder, or the name of a module that can be imported from the current folder or is
            installed. What is included already is not imported again unless its file has changed.

    Raises:
        InputError: One of them does not exist, or cannot be imported.
    """
    importlib.invalidate_caches()
    for name in map(str, names):
        path = Path(expanded(name))
        if path.is_dir():
            _include_folder(path.resolve())
        elif path.exists() or path.suffix == ".py" or len(path.parts) > 1:
            _include_file(path)
        else:
            with _on_path(Path.cwd()):
                _include_module(name, f"include: {name}")


def included_folders() -> list[Path]:
    """Return the folders that were included, in which tasks may be."""
    return list(_included)


@contextlib.contextmanager
def separate_inclusions() -> Iterator[None]:
    """Forget what is included within the context, at its end; what was included before is not there within it."""
    included, modules = dict(_included), set(sys.modules)
    _included.clear()
    try:
        yield
    finally:
        _included.clear()
        _included.update(included)
        for name in set(sys.modules) - modules:
            if name.startswith(_MODULE):
                del sys.modules[name]


def files_to_include(path: Path) -> list[Path]:
    """Return the files of a Python file or folder that `include` needs: all those of a task, and all Python files."""
    if path.is_file():
        return [path]
    tasks = [config.parent for config in (*path.glob("task.toml"), *path.glob("*/task.toml"))]
    files = {*path.rglob("*.py"), *(file for folder in tasks for file in folder.rglob("*"))}
    return sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts)


@cache
def installed(group: Group) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, without importing them."""
    return {point.name: point for point in entry_points(group=group)}


def load(point: EntryPoint) -> object:
    """Import what an entry point names.

    Raises:
        InputError: It cannot be imported.
    """
    package = point.dist.name if point.dist is not None else "a package"
    with _in_one_line(f"the entry point {point.name} of {package}"):
        return point.load()


def installed_folders(group: Group) -> list[Path]:
    """Return the folders of the packages that the entry points of a group name.

    Raises:
        InputError: One cannot be imported.
    """
    packages = map(load, installed(group).values())
    return [Path(folder).resolve() for package in packages for folder in getattr(package, "__path__", [])]


def _include_file(path: Path) -> None:
    if path.suffix != ".py" or not path.exists():
        found = path if path.exists() else f"{path}, which does not exist"
        raise InputError("include", f"found {found}, expected {_EXPECTED}")
    source = read_bytes(path, "Python file", "one with methods to include", most=_MOST_BYTES)
    file = path.resolve()
    name = f"{_MODULE}{hashlib.sha256(bytes(file) + source).hexdigest()[:16]}"
    if name in sys.modules:
        return
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module  # where dataclasses look for it
    try:
        with _in_one_line(str(path)), _on_path(file.parent):
            exec(compile(source, str(file), "exec"), vars(module))
    except InputError:
        del sys.modules[name]
        raise


def _include_folder(folder: Path) -> None:
    if (folder / "__init__.py").exists():
        with _on_path(folder.parent):
            _include_module(folder.name, str(folder), folder)
    else:
        for file in sorted(folder.glob("*.py")):
            if not file.name.startswith(_SKIPPED):
                _include_file(file)
    _included[folder] = None


def _include_module(name: str, where: str, expected: Path | None = None) -> None:
    """Import a module, and all modules below it if it is a package."""
    with _in_one_line(where):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise InputError(f"no such module, expected {_EXPECTED}") from None
        folders = [Path(folder).resolve() for folder in getattr(module, "__path__", [])]
        if expected is not None and expected not in folders:
            raise InputError(f"found a package with the name of the module {module.__file__}, expected another name")
        for info in walk_packages(map(str, folders), f"{name}."):
            if not any(part.startswith(_SKIPPED) for part in info.name.split(".")[1:]):
                importlib.import_module(info.name)
    _included.update(dict.fromkeys(folders))


@contextlib.contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Let modules be imported from a folder."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


@contextlib.contextmanager
def _in_one_line(where: str) -> Iterator[None]:
    """Turn whatever the user's code raises into an error of one line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        found = error.args if isinstance(error, InputError) else (one_line(error),)
        raise InputError(_place(error) or where, *found) from error


def _place(error: BaseException) -> str | None:
    """Return the file and line outside this package in which an error was raised; None if it was in none."""
    others = str(Path(__file__).parent), str(Path(importlib.__file__).parent), "<frozen "
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(others)]
    return f"{frames[-1].filename}: line {frames[-1].lineno}" if frames else None
