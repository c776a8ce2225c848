"""Evaluation of jsonnet files and overrides in their values."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.errors import InputError
from elmo_mf.resources import share
from elmo_mf.tasks import _sandbox as sandbox
from elmo_mf.tasks._jsonnet import Sandbox, evaluate_jsonnet, override
from tests.conftest import ROOT


def test_parameters(tmp_path: Path) -> None:
    (tmp_path / "f.jsonnet").write_text("function(a=1, b=2) { sum: a + b }")
    assert evaluate_jsonnet(tmp_path / "f.jsonnet", {"a": "40"}) == {"sum": 42}


@pytest.mark.parametrize("text", ["{", "error 'no'", "{a: b}", "import 'gone.jsonnet'", "function(a) a"])
def test_errors(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f.jsonnet"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        evaluate_jsonnet(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_evaluated_once_until_an_import_changes(tmp_path: Path) -> None:
    part, path = tmp_path / "a.libsonnet", tmp_path / "f.jsonnet"
    part.write_text("{ a: 1 }")
    path.write_text("import 'a.libsonnet'")
    evaluate_jsonnet(path)["a"] = 3
    with patch("subprocess.Popen", side_effect=AssertionError("evaluated again")):
        assert evaluate_jsonnet(path) == {"a": 1}
    part.write_text("{ a: 2 }")
    assert evaluate_jsonnet(path) == {"a": 2}
    part.rename(tmp_path.parent / "a.libsonnet")
    with pytest.raises(InputError, match="no such file"):
        evaluate_jsonnet(path)
    part.symlink_to(tmp_path.parent / "a.libsonnet")
    with pytest.raises(InputError, match="leads out of"):
        evaluate_jsonnet(path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jsonnet: "):
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import '../secret.json'", "leads out of"),
        ("importstr '/etc/passwd'", "leads out of"),
        ("import 'inside/link.json'", "leads out of"),
        ("std.length(std.repeat('x', 1000000000))", "memory"),
        ("local f(x) = [f(x + 1)]; f(0)", "max stack frames"),
        ("local f(x)=f(x+1) tailstrict; f(0)", "time or memory"),
        ("import 'f.jsonnet'", "max stack frames"),
        ("(import 'inside/a.jsonnet').a", "max stack frames"),
        ("std.extVar('gone')", "gone"),
        ("importstr 'inside/pipe'", "no such file"),
        ("importstr 'inside/large'", "200,000 bytes"),
        ("importstr 'null\u0000character'", ""),
        (f"import '{'x' * 3000}'", "couldn't open import"),
        ("error 'un été'", "un été"),
        ("std.repeat('x', 300000)", "200,000"),
        ("local f(n) = if n == 0 then 1 else [f(n - 1)]; f(100)", "nested"),
        ("1e500", "overflow"),
    ],
)
def test_files_of_strangers(text: str, message: str, tmp_path: Path) -> None:
    """Untrusted files cannot read outside their folder, and their evaluation ends."""
    inner = tmp_path / "folder" / "inside"
    inner.mkdir(parents=True)
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    (inner / "link.json").symlink_to(tmp_path / "secret.json")
    (inner / "a.jsonnet").write_text("import '../b.jsonnet'")
    (tmp_path / "folder" / "b.jsonnet").write_text("import 'inside/a.jsonnet'")
    os.mkfifo(inner / "pipe")
    with open(inner / "large", "wb") as file:
        file.truncate(300_000)
    (tmp_path / "folder" / "f.jsonnet").write_text(text, encoding="utf-8")
    script = (
        Path(sandbox.__file__)
        .read_text()
        .replace("SECONDS = 20 ", "SECONDS = 2 ")
        .replace("TEXT = 20_000_000", "TEXT = 200_000")
    )
    (tmp_path / "sandbox.py").write_text(script)
    with pytest.raises(InputError) as error:
        evaluate_jsonnet(tmp_path / "folder" / "f.jsonnet", process=Sandbox(tmp_path / "sandbox.py"))
    assert message in str(error.value) and 'secret"' not in str(error.value)


@pytest.mark.slow
def test_traces_go_nowhere(tmp_path: Path) -> None:
    """Traces of any size are discarded."""
    flood = "local s = std.repeat('x', 1000000); local f(n) = if n == 0 then 1 else std.trace(s, f(n - 1)) tailstrict;"
    (tmp_path / "f.jsonnet").write_text(f"{flood} f(200)")
    tracemalloc.start()
    assert evaluate_jsonnet(tmp_path / "f.jsonnet") == 1
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("answer", [b"x" * 300_000, b"", b'{"value": ', b"[]", b"1"])
def test_a_sandbox_with_a_wrong_answer(answer: bytes, tmp_path: Path) -> None:
    """A sandbox that keeps running after an invalid answer is killed and gives a one-line error."""
    script = "import os, sys, time; sys.stdin.read(); open(sys.argv[0] + '.pid', 'w').write(str(os.getpid())); "
    (tmp_path / "sandbox.py").write_text(
        f"{script} sys.stdout.buffer.write({answer!r}); sys.stdout.flush(); os.close(1); time.sleep(600)"
    )
    (tmp_path / "f.jsonnet").write_text("{}")
    with pytest.raises(InputError, match="time or memory"):
        evaluate_jsonnet(tmp_path / "f.jsonnet", process=Sandbox(tmp_path / "sandbox.py", answer_bytes=100_000))
    assert not Path(f"/proc/{(tmp_path / 'sandbox.py.pid').read_text()}").exists()


def test_a_sandbox_that_waits_is_ended(tmp_path: Path) -> None:
    (tmp_path / "sandbox.py").write_text("import time; time.sleep(600)")
    (tmp_path / "f.jsonnet").write_text("{}")
    with pytest.raises(InputError, match="time or memory"):
        evaluate_jsonnet(tmp_path / "f.jsonnet", process=Sandbox(tmp_path / "sandbox.py", seconds=0.2))


def test_a_limit_that_is_lower_already(tmp_path: Path) -> None:
    (tmp_path / "f.jsonnet").write_text("{ a: 1 }")
    script = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (10, 10))\n"
    script += "from pathlib import Path; from elmo_mf.tasks._jsonnet import evaluate_jsonnet\n"
    script += f"print(evaluate_jsonnet(Path({str(tmp_path / 'f.jsonnet')!r})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "{'a': 1}\n", done.stderr


@pytest.mark.parametrize("name", ["été.jsonnet", "f.jsonnet"])
def test_accents_in_a_locale_without_them(name: str, tmp_path: Path) -> None:
    """Accents work in file names, imports and errors."""
    folder = tmp_path / "pièces"
    folder.mkdir()
    (folder / "là.libsonnet").write_text("{ a: 'é' }")
    (folder / name).write_text("import 'là.libsonnet'", encoding="utf-8")
    (folder / "bad.jsonnet").write_text("error 'un été'", encoding="utf-8")
    script = "import sys; from pathlib import Path; from elmo_mf.tasks._jsonnet import evaluate_jsonnet\n"
    script += "print(ascii(evaluate_jsonnet(Path(sys.argv[1]))))"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}

    def run(file: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, str(file)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert run(folder / name).stdout == "{'a': '\\xe9'}\n"
    failed = run(folder / "bad.jsonnet").stderr.splitlines()[-1]
    assert failed.startswith("elmo_mf.errors.InputError: ") and "un \\xe9t\\xe9" in failed


def test_imports_from_its_folder_and_from_ours(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.libsonnet").write_text("{ a: 1 }")
    lib = share() / "jsonnet" / "lib" / "demo.libsonnet"
    (tmp_path / "f.jsonnet").write_text(f"(import 'parts/a.libsonnet') + {{ sst: (import '{lib}').sst.hidden }}")
    assert evaluate_jsonnet(tmp_path / "f.jsonnet") == {"a": 1, "sst": 64}
