"""The tutorial's steps print what it says they print. `python -m tests.test_tutorial` writes it anew."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from pathlib import Path

import pytest

from elmo_mf.cli.main import main
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "tutorial.md"
_STEP = re.compile(r"```(python|sh)\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


def _run(language: str, text: str, names: dict[str, object]) -> str:
    """What a step prints."""
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        if language == "python":
            exec(text, names)
        else:
            assert main(shlex.split(text)[1:]) == 0, text
    return "".join(f"{line.rstrip()}\n" for line in shown.getvalue().strip("\n").splitlines())


def _outputs(page: str, folder: Path, fast: bool) -> list[tuple[str, str, str]]:
    """Each step with what is said and what is printed; a fast one's sweep reads a few sentences only."""
    for name in ("weights", "tasks", "jsonnet"):
        (folder / name).symlink_to(ROOT / name)
    names: dict[str, object] = {}
    steps = []
    for language, text, output in _STEP.findall(page):
        typed = _shortened(text.rstrip(), folder) if fast and text.startswith("elmo-mf sweep") else text.rstrip()
        steps.append((text, output, _run(language, typed, names)))
    return steps


def _shortened(command: str, folder: Path) -> str:
    """Let a sweep train for one epoch on a few sentences, and time fewer."""
    spec = folder / "short.jsonnet"
    spec.write_text("{latency_sentences: 2, latency_rounds: 1, overrides: {sst: {'trainer.num_epochs': 1}}}")
    return f"{command} {spec} --limit 12 --targets input --ranks 4"


def _shape(text: str) -> list[str]:
    """Without what another machine or less data change: numbers, marks, and the order of encoders."""
    return sorted(re.sub(r"[-+\d.,\[\]★◆≈† ]+", " ", line).strip() for line in text.splitlines())


def test_what_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    steps = _outputs(PAGE.read_text(encoding="utf-8"), tmp_path, fast=True)
    assert len(steps) > 6
    for text, output, printed in steps:
        if "runs/tutorial/sweep" not in text:
            assert _shape(output) == _shape(printed), text
        else:  # other encoders won, and fewer
            assert output and printed and set(_shape(printed)) & set(_shape(output)), text


def _write() -> None:
    os.environ["COLUMNS"] = "100"
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        outputs = iter(_outputs(page, Path(folder), fast=False))

    def with_output(match: re.Match[str]) -> str:
        text, _, printed = next(outputs)
        return f"```{match[1]}\n{text}```\n\n```text\n{printed}```\n"

    PAGE.write_text(_STEP.sub(with_output, page), encoding="utf-8")


if __name__ == "__main__":
    _write()
