"""Jsonnet files and what a sweep changes in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.errors import InputError
from elmo_mf.harness.configs import evaluate_jsonnet, override


def test_parameters(tmp_path: Path) -> None:
    (tmp_path / "f.jsonnet").write_text("function(a=1, b=2) { sum: a + b }")
    assert evaluate_jsonnet(tmp_path / "f.jsonnet", {"a": "40"}) == {"sum": 42}


@pytest.mark.parametrize("text", ["{", "error 'no'", "{a: b}", "import 'gone.jsonnet'", "function(a) a"])
def test_errors(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f.jsonnet"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        evaluate_jsonnet(path)
    assert str(error.value).startswith(f"{path}: found jsonnet that does not evaluate (")
    assert "\n" not in str(error.value)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jsonnet: no such jsonnet file"):
        evaluate_jsonnet(tmp_path / "gone.jsonnet")


@given(st.integers(), st.text())
def test_override(number: int, text: str) -> None:
    config = {"trainer": {"epochs": 1, "optimizer": {"lr": 0.1}}, "model": {}}
    changed = override(config, {"trainer.optimizer.lr": number, "model.name": text}, "sst")
    assert changed == {"trainer": {"epochs": 1, "optimizer": {"lr": number}}, "model": {"name": text}}
    assert config == {"trainer": {"epochs": 1, "optimizer": {"lr": 0.1}}, "model": {}}


@pytest.mark.parametrize("path", ["trainer.optimizer.lr", "trainer.epochs.x"])
def test_override_that_leads_nowhere(path: str) -> None:
    with pytest.raises(InputError, match=f"sst: overrides: found '{path}'"):
        override({"trainer": {"epochs": 1}}, {path: 3}, "sst")
