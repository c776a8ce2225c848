"""The locks name one release of each package, and what its files must be: one for users, one for developers."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from elmo_mf.cli.setup_allennlp import ALLENNLP
from tests.conftest import ROOT
from tests.packaging.environments import closure, required

LOCKS = {"requirements.in": "requirements.lock", "requirements-dev.in": "requirements-dev.lock"}
_PINNED = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)(?: ; [^\\\n]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def asked(name: str) -> list[Requirement]:
    """The requirements of an `.in` file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]


def pinned(name: str) -> dict[str, str]:
    """Release of each package of a lock."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return {canonicalize_name(package): version for package, version, _ in _PINNED.findall(text)}


@pytest.mark.parametrize("lock", LOCKS.values())
def test_every_package_is_pinned_with_hashes(lock: str) -> None:
    """So that `pip install --require-hashes` takes it."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert _PINNED.sub("", text) == ""
    assert len(_PINNED.findall(text)) == len(pinned(lock)) > 50


@pytest.mark.parametrize(("source", "lock"), LOCKS.items())
def test_a_lock_has_what_is_asked_for_and_nothing_else(source: str, lock: str) -> None:
    requirements = asked(source)
    versions = pinned(lock)
    for requirement in requirements:
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])
    assert set(versions) == closure(
        {canonicalize_name(requirement.name) for requirement in requirements}, without=["torch"]
    )


def test_the_locks_agree() -> None:
    users, developers = (pinned(lock) for lock in LOCKS.values())
    assert {name: users[name] for name in users.keys() & developers} == {
        name: developers[name] for name in users.keys() & developers
    }


def test_releases_fit_each_other() -> None:
    """pip installs the locks only if each package's requirements, as its own metadata states them, are met."""
    versions = {name: version for lock in LOCKS.values() for name, version in pinned(lock).items()}
    unmet = [
        f"{name} {version} requires {requirement}, the locks have {versions[needed]}"
        for name, version in versions.items()
        for requirement in required(name)
        if (needed := canonicalize_name(requirement.name)) in versions
        and not requirement.specifier.contains(versions[needed], prereleases=True)
    ]
    assert unmet == []


def test_the_checkout_installs_both() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--require-hashes -r requirements.lock -r requirements-dev.lock" in makefile


def test_uv_sync_keeps_what_make_installs() -> None:
    """The developers' tools, and the extras of the users' lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    tools = {one.name: pinned("requirements-dev.lock")[one.name] for one in asked("requirements-dev.in")}
    tools |= {
        name: pinned("requirements.lock")[name]
        for name in (Requirement(line).name for line in (*extras["native"], *extras["parquet"]))
    }
    assert project["dependency-groups"]["dev"] == [f"{name}=={version}" for name, version in tools.items()]
    assert project["tool"]["uv"]["default-groups"] == ["allennlp", "dev"]


def test_uv_overrides_what_allennlp_requires() -> None:
    """With the releases of the locks and requirements.torch, or with nothing where elmo-mf does without a package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["dependency-groups"]["allennlp"] == list(ALLENNLP)
    (torch,) = asked("requirements.torch")
    locked = {name: f"=={version}" for name, version in pinned("requirements.lock").items()}
    for tool in ("pytest", "traitlets"):  # an override replaces the tool's release too
        locked[tool] = f"=={pinned('requirements-dev.lock')[tool]}"
    locked["torch"] = str(torch.specifier)
    needed = {
        canonicalize_name(one.name) for package in ("allennlp", "allennlp-models") for one in required(package)
    } - {"allennlp"}
    overrides = [Requirement(line) for line in project["tool"]["uv"]["override-dependencies"]]
    exact = {one.name: str(one.specifier) for one in overrides if one.marker is None}
    assert exact == {name: locked[name] for name in needed & locked.keys()}
    left_out = {one.name for one in overrides if one.marker is not None and not one.marker.evaluate()}
    assert left_out == needed - locked.keys()
