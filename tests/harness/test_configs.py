"""Jsonnet files and what a sweep changes in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.errors import InputError
from elmo_mf.harness import sandbox
from elmo_mf.harness.configs import evaluate_jsonnet, override
from elmo_mf.resources import share


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import '../secret.json'", "leads out of"),
        ("importstr '/etc/passwd'", "leads out of"),
        ("import 'inside/link.json'", "leads out of"),
        ("std.length(std.repeat('x', 1000000000))", "memory"),
        ("local f(x) = [f(x + 1)]; f(0)", "max stack frames"),
        ("local f(x)=f(x+1) tailstrict; f(0)", "it takes too much time or memory"),
    ],
)
def test_files_of_strangers(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They see nothing outside their folder, and end."""
    inner = tmp_path / "folder" / "inside"
    inner.mkdir(parents=True)
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    (inner / "link.json").symlink_to(tmp_path / "secret.json")
    (tmp_path / "folder" / "f.jsonnet").write_text(text)
    script = Path(sandbox.__file__).read_text().replace("SECONDS = 20", "SECONDS = 2")
    (tmp_path / "sandbox.py").write_text(script)
    monkeypatch.setattr(sandbox, "__file__", str(tmp_path / "sandbox.py"))
    with pytest.raises(InputError) as error:
        evaluate_jsonnet(tmp_path / "folder" / "f.jsonnet")
    assert message in str(error.value) and 'secret"' not in str(error.value)


def test_imports_from_its_folder_and_from_ours(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.libsonnet").write_text("{ a: 1 }")
    lib = share() / "jsonnet" / "lib" / "demo.libsonnet"
    (tmp_path / "f.jsonnet").write_text(f"(import 'parts/a.libsonnet') + {{ sst: (import '{lib}').sst.hidden }}")
    assert evaluate_jsonnet(tmp_path / "f.jsonnet") == {"a": 1, "sst": 64}
