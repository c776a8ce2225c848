"""What a result says that it was made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from elmo_mf.provenance import SWITCHES, _cpu_name, provenance


def test_switches_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are set, since times depend on them."""
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    assert provenance().machine.environment is None
    monkeypatch.setenv("ELMO_MF_NATIVE", "0")
    assert provenance().machine.environment == {"ELMO_MF_NATIVE": "0"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["processor\t: 0", "model name\t: AMD EPYC", "", "processor\t: 1", "model name\t: other"], "AMD EPYC"),
        (["CPU implementer\t: 0x41", "CPU part\t: 0xd0c", "CPU revision\t: 1"], "ARM 0x41:0xd0c"),
    ],
)
def test_the_processor_has_a_name(lines: list[str], expected: str, tmp_path: Path) -> None:
    """Of its first core."""
    (tmp_path / "cpuinfo").write_text("\n".join(lines), encoding="utf-8")
    assert _cpu_name(tmp_path / "cpuinfo") == expected
