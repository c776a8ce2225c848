"""The lock names one release of each package, and what its files must be."""

from __future__ import annotations

import re

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
