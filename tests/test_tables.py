"""The documentation's tables say what the records say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.tables import GROUPS
from docs.tables.page import DOCS
from tests.conftest import ROOT

_PAGES = (DOCS / "tables" / "cog.txt").read_text(encoding="utf-8").split()


def _cog(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cogapp", "-I", ".", "-P", "-p", "from docs.tables import table", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_tables_are_of_the_records() -> None:
    """If not: `make tables`, and read what the text around them says."""
    done = _cog("--check", "--diff", "@docs/tables/cog.txt")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_table_is_in_a_page() -> None:
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in _PAGES]
    shown = [table_name for text in texts for table_name in re.findall(r'cog table\("(\w+)", "([\w-]+)"\)', text)]
    assert sorted(shown) == sorted((group, name) for group, tables in GROUPS.items() for name in tables)


@pytest.mark.slow
def test_another_number_is_put_right(tmp_path: Path) -> None:
    page = Path(shutil.copy(DOCS / "performance.md", tmp_path))
    text = page.read_text(encoding="utf-8")
    wrong = re.sub(r"(?<=\| batch 1, length 150 \| )\d+\.\d", "99.9", text)
    page.write_text(wrong, encoding="utf-8")
    assert wrong != text and _cog("--check", page).returncode == 5
    assert _cog("-r", page).returncode == 0 and page.read_text(encoding="utf-8") == text
