"""Tests that unmodified AllenNLP runs, without the network, in every way in which users start it.

`tests/packaging/test_wheel.py` has the one in a worker process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.tasks import load_task
from tests.conftest import ROOT, small_data
from tests.processes import in_another_process, run_allennlp

pytestmark = pytest.mark.slow

NO_NETWORK = """
import os, sys
def refuse(event, arguments):
    if event == "socket.getaddrinfo" or event == "socket.connect" and isinstance(arguments[1], tuple):
        os.write(2, f"NETWORK {event} {arguments[1:]}".encode())
        os._exit(97)
sys.addaudithook(refuse)
"""


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """Environment variables with which Python processes exit when they access the network."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    kept = {key: value for key, value in os.environ.items() if not key.endswith("_OFFLINE")}
    return kept | {"PYTHONPATH": str(tmp_path / "site"), "TQDM_DISABLE": "1"}


def test_the_network_is_watched(offline: dict[str, str]) -> None:
    code = "import socket; socket.create_connection(('localhost', 9))"
    assert subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True).returncode == 97


@pytest.mark.parametrize("module", ["numpy", "json", "h5py"])
def test_other_programs_pay_nothing(module: str) -> None:
    """The `.pth` file loads neither torch nor the patches before AllenNLP is imported."""
    code = f"import sys, {module}; print(*[m for m in sys.modules if m.startswith(('elmo_mf', 'torch', 'allennlp'))])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(loaded) == ["elmo_mf", "elmo_mf.compat"]


WHOLE = """
import logging, pkgutil, runpy, sys
logging.basicConfig(level=logging.INFO)
sys.argv = ["allennlp", "--version"]
try:
    runpy.run_module("allennlp", run_name="__main__")
except SystemExit as end:
    print("STATUS", end.code)
import allennlp_models
wanted = {m.name for m in pkgutil.walk_packages(allennlp_models.__path__, "allennlp_models.")}
print("MISSING", sorted(name for name in wanted if name not in sys.modules))
from allennlp.data import DatasetReader
from allennlp.models import Model
print("FOUND", all(DatasetReader.by_name(n) for n in ("sst_tokens", "snli", "squad1", "drop", "narrativeqa")
    if n in DatasetReader.list_available()), all(Model.by_name(n) for n in ("bcn", "esim", "bidaf")))

import json
from allennlp.common import Params
words = set()
for params, path in json.loads(READERS):
    for instance in DatasetReader.from_params(Params(params)).read(path):
        for field in instance.fields.values():
            words.update(token.text for token in getattr(field, "tokens", []))
print("WORDS", ascii(sorted(words)))
"""


def test_python_m_allennlp_loads_all_models(offline: dict[str, str], tmp_path: Path) -> None:
    """It does so, and reads files as UTF-8, in a locale of ASCII.

    Unpatched, the readers use the locale's encoding, and silently read other words in a Latin-1 locale.
    """
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = f"READERS = {_readers_of_accents(tmp_path)!a}\n{WHOLE}"
    start = [sys.executable, "-c", code]
    done = subprocess.run(start, env=offline | ascii_locale, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ERROR" not in done.stderr and "Warning" not in done.stderr, done.stderr[-2000:]
    version, *found, words = done.stdout.splitlines()
    assert version.startswith("allennlp 2.10.1") and found == ["STATUS 0", "MISSING []", "FOUND True True"], done.stdout
    assert words == f"WORDS {['né', 'à', 'é']!a}"


def _readers_of_accents(folder: Path) -> str:
    """Write a file with words that are not ASCII in each of three formats; returns their readers and paths as JSON."""
    answers = [{"text": "né", "answer_start": 0}]
    squad = {"data": [{"paragraphs": [{"context": "né à", "qas": [{"question": "é", "id": "q", "answers": answers}]}]}]}
    snli = {"gold_label": "neutral", "sentence1": "né", "sentence2": "à"}
    words = {"tokenizer": {"type": "letters_digits"}}
    files = {
        "sst": ({"type": "sst_tokens"}, "(3 (2 né) (3 à))\n"),
        "snli": ({"type": "snli"} | words, json.dumps(snli, ensure_ascii=False) + "\n"),
        "squad": ({"type": "squad1"} | words, json.dumps(squad, ensure_ascii=False)),
    }
    for name, (_, text) in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return json.dumps([(params, str(folder / name)) for name, (params, _) in files.items()])


def test_killed_training_recovers(offline: dict[str, str], tmp_path: Path) -> None:
    """Training with a plateau scheduler is killed, and continued by the script `allennlp` with --recover."""
    data, out = small_data("snli", tmp_path / "data"), tmp_path / "out"
    changes: dict[str, Any] = {"trainer.num_epochs": 3, "trainer.callbacks": [{"type": "kill_at_epoch"}]}
    for split, file in load_task("snli").files.items():
        changes[f"{split}_data_path"] = str(data / file)
    train = ["train", "jsonnet/snli.jsonnet", "-s", str(out), "-o", json.dumps(changes)]
    train += ["--include-package", "tests.compat.kill_at_epoch"]
    with pytest.raises(BrokenProcessPool):
        in_another_process(_run_until_killed, train)
    assert sorted(_epochs(out)) == [0, 1] and not (out / "metrics.json").exists()
    first_epoch = (out / "metrics_epoch_0.json").stat().st_mtime_ns

    script = Path(sys.executable).with_name("allennlp")
    done = subprocess.run([script, *train, "--recover"], env=offline, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "ERROR" not in done.stderr and "Warning" not in done.stderr, done.stderr[-3000:]
    assert (out / "metrics_epoch_0.json").stat().st_mtime_ns == first_epoch
    epochs = _epochs(out)
    assert sorted(epochs) == [0, 1, 2] and json.loads((out / "metrics.json").read_text())["epoch"] == 2
    assert epochs[2]["training_loss"] < epochs[0]["training_loss"]


def _run_until_killed(arguments: list[str]) -> None:
    os.environ["KILL_AT_EPOCH"] = "1"
    run_allennlp(ROOT, *arguments)


def _epochs(folder: Path) -> dict[int, Any]:
    files = folder.glob("metrics_epoch_*.json")
    return {int(file.stem.rsplit("_", 1)[1]): json.loads(file.read_text()) for file in files}
