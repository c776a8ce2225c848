"""What a result says that it was made with."""

from __future__ import annotations

import pytest

from elmo_mf.provenance import SWITCHES, provenance


def test_switches_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are set, since times depend on them."""
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    assert provenance().machine.environment is None
    monkeypatch.setenv("ELMO_MF_NATIVE", "0")
    assert provenance().machine.environment == {"ELMO_MF_NATIVE": "0"}
