"""The lock names one release of each package, and what its files must be."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement

from tests.conftest import ROOT

_PINNED = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[=<>\[ ]", requirement)[0]).lower()


def test_every_package_is_pinned_with_hashes() -> None:
    """So that `pip install --require-hashes` takes it; and all that is asked for is there."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = _PINNED.findall(lock)
    assert _PINNED.sub("", lock) == ""
    names = [_name(name) for name, _, _ in pinned]
    assert len(set(names)) == len(names) > 100
    asked = [line.split("#")[0].strip() for line in (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()]
    exact = {f"{_name(name)}=={version}" for name, version, _ in pinned}
    for requirement in filter(None, asked):
        assert _name(requirement) in names
        assert "==" not in requirement or requirement in exact


def test_releases_fit_each_other() -> None:
    """pip installs the lock only if each package's requirements, as its own metadata states them, are met."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = {_name(name): version for name, version, _ in _PINNED.findall(lock)}
    unmet = []
    for name, version in pinned.items():
        try:
            installed = distribution(name)
        except PackageNotFoundError:  # for another platform or Python
            continue
        for requirement in map(Requirement, installed.requires or ()):
            needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            found = pinned.get(_name(requirement.name))
            if needed and found is not None and not requirement.specifier.contains(found, prereleases=True):
                unmet.append(f"{name} {version} requires {requirement}, the lock has {found}")
    assert unmet == []
