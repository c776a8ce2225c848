"""The documentation's pages that are made from the code; `make docs` builds them all, in strict mode."""

from __future__ import annotations

import importlib
import inspect
import json
import re

import pytest
import typer

from docs.site import pages
from elmo_mf.cli.main import app
from tests.conftest import ROOT


def test_every_command_is_in_the_reference() -> None:
    text = pages.command_line()
    names = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert len(names) > 10
    for name in names:
        assert f"## `elmo-mf {name}`" in text
    assert "\b" not in text and "$ " not in text and "<UNK>" not in text
    assert "```sh\nelmo-mf compare runs/" in text


def test_every_field_of_a_record_is_explained() -> None:
    text = pages.schemas()
    for name in ("record", "board"):
        schema = json.loads((ROOT / "docs" / f"{name}.schema.json").read_text(encoding="utf-8"))
        for part in (schema, *schema["$defs"].values()):
            for field, value in part.get("properties", {}).items():
                assert re.search(rf"^\| `{field}` \| .+ \| .+ \|$", text, re.MULTILINE), field
                assert "description" in value, field


@pytest.mark.parametrize("package", ["elmo_mf", "elmo_mf.bilm", "elmo_mf.compression", "elmo_mf.lm", "elmo_mf.plugin"])
def test_every_public_class_is_in_the_reference(package: str) -> None:
    shown = re.findall(r"^::: (\S+)", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            where = value.__module__
            doors = {one for one in shown if one.endswith(f".{name}") and f"{where}.".startswith(one[: -len(name)])}
            assert doors or where in shown, f"{where}.{name}"
