"""What README and docs tell people to type: Python runs, configs evaluate, and commands are such as there are."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import typer

from elmo_mf.cli.main import app
from elmo_mf.factorize import Compression, base
from elmo_mf.harness.configs import evaluate_jsonnet, override
from elmo_mf.harness.task import Task
from tests.conftest import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def _blocks(language: str) -> list[tuple[str, str]]:
    """Page and content of each code block."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        (page, block) for page in sorted(PAGES) for block in fence.findall((ROOT / page).read_text(encoding="utf-8"))
    ]


def _commands(program: str) -> list[tuple[str, list[str]]]:
    """Page and words of each call of a program, in blocks and in the text."""
    found = []
    for page in sorted(PAGES):
        text = (ROOT / page).read_text(encoding="utf-8")
        lines = [
            line
            for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
            for line in block.splitlines()
        ]
        for line in lines:
            for part in re.split(r"&&|;", line):
                words = shlex.split(part, comments=True)
                if words and words[0] == program:
                    found.append((page, words[1:]))
    return found


def _id(value: object) -> str:
    return " ".join(value)[:60] if isinstance(value, list) else str(value)[:40]


@pytest.mark.parametrize(("page", "words"), _commands("elmo-mf"), ids=_id)
def test_commands_are_such_as_there_are(page: str, words: list[str]) -> None:
    """Subcommand, options and kinds of values; what they would do is tested where it is done."""
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    context = group.make_context("elmo-mf", list(words), resilient_parsing=False)
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
    assert command is not None, name
    command.make_context(str(name), rest, parent=context)


def test_commands_that_are_not() -> None:
    """So that the test above can fail, and looks at something."""
    assert len(_commands("elmo-mf")) > 15
    for line in ("sweeep", "sweep --rank 4", "pretrain --out x", "compress a b --out c --dense yes no"):
        with pytest.raises(Exception, match=r"(?i)no such|missing|unexpected"):
            test_commands_are_such_as_there_are("", line.split())


@pytest.mark.parametrize(("page", "words"), _commands("allennlp"), ids=_id)
def test_configs_that_are_trained(page: str, words: list[str]) -> None:
    assert words[0] == "train"
    config = evaluate_jsonnet(ROOT / words[1])
    if "-o" in words:
        changes = json.loads(words[words.index("-o") + 1])
        changed = override(config, changes, page)
        assert changed != config
        for key, value in changes.items():
            if key.endswith("compression"):
                Compression.from_dict(value)


_STANDALONE = [(page, block) for page, block in _blocks("python") if page != "docs/tutorial.md"]  # which has its test


@pytest.mark.parametrize(("page", "block"), _STANDALONE, ids=_id)
def test_python_runs(
    page: str, block: str, elmo_files: Callable[..., tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside an ELMo in options.json and weights.hdf5."""
    monkeypatch.setattr(base, "_METHODS", dict(base._METHODS))  # a block may register one
    options, _ = elmo_files(dim=160, projection_dim=128)  # rank 64 is below break-even
    monkeypatch.chdir(options.parent)
    exec(block, {})


@pytest.mark.parametrize(("page", "block"), _blocks("toml"), ids=_id)
def test_cards_are_cards(page: str, block: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks" / "mine" / "task.toml"
    path.parent.mkdir(parents=True)
    path.write_text(block)
    assert Task.from_file(path).name == "mine" and len(block.splitlines()) < 20


@pytest.mark.parametrize(("page", "block"), _blocks("jsonnet"), ids=_id)
def test_jsonnet_evaluates(page: str, block: str, tmp_path: Path) -> None:
    (tmp_path / "block.jsonnet").write_text(block if block.lstrip().startswith("{") else f"{{ {block} }}")
    value = evaluate_jsonnet(tmp_path / "block.jsonnet")
    for embedder in value.get("token_embedders", {}).values():
        Compression.from_dict(embedder["compression"])
