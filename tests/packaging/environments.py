"""Environments for the wheel that hold chosen packages of this one, and what packages require.

The packages' folders are links into this environment, so that nothing is downloaded and little is written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_SITE = Path(sysconfig.get_path("purelib"))
_PLATFORMS = tuple({"sys_platform": name, "platform_system": system} for name, system in (
    ("linux", "Linux"), ("darwin", "Darwin"), ("win32", "Windows"),
))  # fmt: skip


def required(package: str) -> Iterator[Requirement]:
    """What the installed release requires, on any platform."""
    try:
        listed = requires(package) or []
    except PackageNotFoundError:  # for another platform or Python
        listed = []
    for requirement in map(Requirement, listed):
        marker = requirement.marker
        if marker is None or any(marker.evaluate(platform | {"extra": ""}) for platform in _PLATFORMS):
            yield requirement


def closure(packages: Iterable[str], without: Iterable[str] = ()) -> set[str]:
    """The packages, and all that they lead to except through those of `without`, which are left out."""
    reached: set[str] = set()
    names = set(packages)
    while new := names - reached - set(without):
        reached |= new
        names = {canonicalize_name(requirement.name) for name in new for requirement in required(name)}
    return reached


def make_environment(folder: Path, wheel: Path, packages: Iterable[str]) -> Path:
    """Make a virtual environment of a wheel and of packages that are installed here; returns its Python."""
    venv.create(folder)
    python = folder / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")  # in a tenth of the time that pip takes
    options = ["--no-deps", "--no-index", "--offline", "--no-cache"]
    subprocess.run([uv, "pip", "install", "--python", python, *options, wheel], check=True, capture_output=True)
    site = site_packages(python)
    for path in _links(packages):
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".dist-info"):  # uv sees no links
            shutil.copytree(_SITE / path, site / path)
        else:
            (site / path).symlink_to(_SITE / path)
    return python


def site_packages(python: Path) -> Path:
    """The folder of an environment's packages."""
    return next((python.parents[1] / "lib").glob("python*/site-packages"))


def _links(packages: Iterable[str]) -> set[str]:
    """The packages' files, or the largest folders of which a package owns all, as for the parts of `google`."""
    owners: dict[str, set[str]] = defaultdict(set)
    files: dict[str, list[str]] = {}
    for installed in distributions(path=[str(_SITE)]):
        name = canonicalize_name(installed.name)
        files[name] = _files(installed)
        for file in files[name]:
            for prefix in _prefixes(file):
                owners[prefix].add(name)
    return {
        next(prefix for prefix in _prefixes(file) if owners[prefix] == {name})
        for name in set(packages) & files.keys()
        for file in files[name]
    }


def _files(installed: Distribution) -> list[str]:
    """Its files among the packages, without scripts and byte code."""
    return [file.as_posix() for file in installed.files or () if file.parts[0] != ".." and file.suffix != ".pyc"]


def _prefixes(file: str) -> Iterator[str]:
    """The folders of a file from the top down, and the file."""
    parts = file.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def repack(package: str, folder: Path) -> None:
    """Write the wheel from which a package of pure Python was installed here."""
    installed = distribution(package)
    name = f"{package.replace('-', '_')}-{installed.version}"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        for file in _files(installed):
            if Path(file).name not in ("INSTALLER", "REQUESTED"):
                wheel.write(_SITE / file, file)


def run(cwd: Path, *command: str | Path, **variables: str) -> str:
    """What a command prints, without this process's `PYTHONPATH` and with these environment variables."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout
