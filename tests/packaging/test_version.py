"""The version is the same wherever it is written."""

from __future__ import annotations

import re

from elmo_mf import __version__
from tests.conftest import ROOT


def test_citation_and_changelog_name_the_version() -> None:
    citation = dict(re.findall(r"^(\S+): (.+)", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE))
    titles = re.findall(r"^## (.+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert citation["version"] == __version__
    assert titles[:2] == ["Unreleased", f"{__version__}, {citation['date-released']}"]
