"""What packages show to others: their front doors, and modules without an underscore."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import ROOT

_FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "elmo_mf").rglob("*.py")
}
_PACKAGES = {name for name, path in _FILES.items() if path.name == "__init__.py"}
_LAZY = sorted(name for name in _PACKAGES if _FILES[name].with_suffix(".pyi").exists())
# one module for each command, method and format: users type their names
_CATALOGUES = {"elmo_mf.cli", "elmo_mf.compression.methods", "elmo_mf.tasks.formats"}


def _package(module: str) -> str:
    return module if module in _PACKAGES else module.rpartition(".")[0]


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield modules of the project and names that a file imports from them; a whole module has an empty name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("elmo_mf"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full, "") if full in _FILES else (node.module, alias.name)


@cache
def _from_elsewhere() -> list[tuple[str, str, str]]:
    """Return importer, module and name of each import from a package that is not the importer's own or a parent."""
    return [
        (importer, module, name)
        for importer, path in _FILES.items()
        for module, name in _imports(path)
        if not f"{_package(importer)}.".startswith(f"{_package(module)}.")
    ]


def test_private_modules_are_imported_in_their_own_package() -> None:
    private = [(importer, module) for importer, module, _ in _from_elsewhere() if "._" in module]
    assert not private


def test_no_two_modules_have_one_name() -> None:
    """Except a command and what it calls, so that a name leads to one file."""
    names = [
        name.rpartition(".")[2].lstrip("_") for name in _FILES.keys() - _PACKAGES if _package(name) != "elmo_mf.cli"
    ]
    assert [name for name, count in Counter(names).items() if count > 1 and name != "main__"] == []


def test_modules_without_an_underscore_are_for_others() -> None:
    used = {module for _, module, _ in _from_elsewhere()}
    shown = re.findall(r"^::: (\S+)", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    for module in _FILES.keys() - _PACKAGES:
        package, _, file = module.rpartition(".")
        known = module in used or any(f"{name}.".startswith(f"{module}.") for name in shown)
        assert file.startswith("_") or known or package in {"elmo_mf", *_CATALOGUES}, module


@pytest.mark.parametrize("package", _LAZY)
def test_front_doors(package: str) -> None:
    """Each name exists, and others import it from here."""
    door = import_module(package)
    stub = ast.parse(_FILES[package].with_suffix(".pyi").read_text(encoding="utf-8"))
    origin = {
        alias.name: f"{package}.{node.module}"
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert origin and sorted(origin) == sorted(door.__all__)
    assert all(hasattr(door, name) for name in origin)
    past = [
        (importer, module, name)
        for importer, module, name in _from_elsewhere()
        if origin.get(name) == module and not f"{importer}.".startswith(f"{package}.")
    ]
    assert not past


def test_the_table_of_packages_has_the_order_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    numbers = {name: number for number, layer in enumerate(layers) for name in layer.split(" | ")}
    section = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").split("\n## ")[1]
    firsts = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    names = re.findall(r"`(\w+)`", " ".join(firsts))
    assert sorted(names) == sorted(numbers)
    assert sorted(names, key=numbers.__getitem__) == names


@pytest.mark.parametrize("module", sorted(_FILES))
def test_summaries_are_no_bare_clauses(module: str) -> None:
    """A docstring begins with a noun phrase or an imperative."""
    for node in ast.walk(ast.parse(_FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            assert not re.match("(What|How|Where|Which) ", summary), summary
