"""The search for the fastest form, and the command."""

from __future__ import annotations

import json
import logging
import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from allennlp.models.archival import load_archive
from allennlp.modules.elmo_lstm import ElmoLstm

from elmo_mf.acceleration import (
    Candidate,
    EncoderSettings,
    Loss,
    Row,
    SearchSettings,
    Speed,
    StockSettings,
    accelerate_archive,
    candidates,
    fastest,
    given_forms,
    in_sequence,
    load_stock,
    open_archive,
    read_instances,
    search,
)
from elmo_mf.acceleration.speed import peak_memory
from elmo_mf.cli.main import main
from elmo_mf.records import Compression
from elmo_mf.records.compression import Budget
from tests.acceleration.conftest import Archives
from tests.acceleration.models import TAGGER
from tests.conftest import stages_call
from tests.drop_in.install import drop_in

pytestmark = pytest.mark.slow

_MEASURED = import_module("elmo_mf.acceleration.accelerate_archive")  # whose function has its name
_COMMAND = import_module("elmo_mf.cli.accelerate")


def _data(archive: Path, split: str = "dev") -> Path:
    return next((archive.parents[1] / "data").glob(f"{split}*"))


def _candidate(name: str, rank: int) -> Candidate:
    return Candidate(name, EncoderSettings(Compression(method="svd", rank=rank, targets="all")))


def test_a_search_stops_at_what_is_worse_and_resumes(archives: Archives, tmp_path: Path) -> None:
    archive = archives(TAGGER)
    with open_archive(archive) as opened:
        loaded = load_stock(opened, StockSettings())
    instances = read_instances(loaded, _data(archive))
    tried = [Candidate("dense", EncoderSettings()), _candidate("harsh", 1), _candidate("never", 1)]
    scored: list[str] = []

    def run() -> Any:
        scored.clear()
        with stages_call(begun=lambda name: scored.append(name) if name.startswith("scoring ") else None):
            return search(loaded, instances, 0.01, "loss", None, tried, tmp_path, seconds=0)

    first = run()
    assert [(row.name, row.verdict) for row in first.rows] == [
        ("original", "original"), ("dense", "within"), ("harsh", "worse"),
    ]  # fmt: skip
    assert first.winner.name == "dense" and first.is_shown
    assert scored == ["scoring original", "scoring dense", "scoring harsh"]
    (tmp_path / "harsh.json").write_text("{")  # damaged: it is measured again
    again = run()
    assert again.rows[1] == first.rows[1] and scored == ["scoring original", "scoring harsh"]
    assert [row.score for row in again.rows] == [row.score for row in first.rows]


@pytest.mark.parametrize(
    ("text", "calibration", "expected"),
    [(None, None, None), ("text", None, "text"), (None, "own", "own"), ("text", "own", "own")],
)
def test_forms_are_fitted_to_text_like_the_models(text: str | None, calibration: str | None, expected: str) -> None:
    given = (None if path is None else Path(path) for path in (text, calibration))
    dense, *compressed = candidates(EncoderSettings(), *given)
    assert dense.settings.compression is None and len(compressed) > 2
    for one in compressed:
        compression = one.settings.compression
        assert compression is not None and compression.calibration == expected
        assert (compression.distill is None) == (text is None)


@pytest.mark.parametrize(
    ("budget", "forms"),
    [
        (Budget(bytes=9000), [(("int8",), "int8"), (("float32",), "float32")]),
        (Budget(share=0.5), [(("float32", "int8"), "float32")]),
    ],
)
def test_bytes_of_a_budget_are_those_of_each_precision(budget: Budget, forms: list[tuple[Any, str]]) -> None:
    settings = EncoderSettings(Compression(method="svd", targets="all", budget=budget))
    budgets = [
        (one.precisions, getattr(one.settings.compression, "budget", None))
        for one in given_forms(settings, ("float32", "int8"))
    ]
    assert budgets == [(precisions, budget.model_copy(update={"dtype": dtype})) for precisions, dtype in forms]


@pytest.mark.parametrize(
    ("precision", "dtype"), [("int8", torch.int8), ("bfloat16", torch.bfloat16), ("float32", torch.float32)]
)
def test_a_budget_in_bytes_is_that_of_the_archive(
    precision: str, dtype: torch.dtype, archives: Archives, tmp_path: Path
) -> None:
    """With two bytes for a bias, of which an archive has four in any precision."""
    archive, out, budget = archives("sst"), tmp_path / "fast.tar.gz", 4000
    command = ["accelerate", str(archive), "--out", str(out), "--budget", f"bytes={budget}", "--precision", precision]
    assert main([*command, "--seconds", "0"]) == 0
    with open_archive(out) as opened:
        state = {name.partition(".bilm.layers.")[2]: numbers for name, numbers in opened.state_dict().items()}
    lstm = {name: numbers for name, numbers in state.items() if name}
    assert dtype in {numbers.dtype for name, numbers in lstm.items() if name.endswith(("left", "right"))}
    biases = sum(numbers.numel() for name, numbers in lstm.items() if name.endswith("bias"))
    size = sum(numbers.nbytes for numbers in lstm.values()) - (0 if precision == "float32" else 2 * biases)
    assert 0.9 * budget < size <= budget


def test_many_forms_are_not_many_chances() -> None:
    """Of forms that all lose a little more than is tolerated, hardly ever one is chosen, though many are tried."""
    generator, tolerance, error = np.random.default_rng(0), 1.0, 0.5
    wrong, by_luck = 0, 0
    for _ in range(2000):
        losses = [("float32", 0.0), *[(p, 1.001) for _ in range(5) for p in ("int8", "float32")]]
        rows = [_row(p, generator.normal(true, error if true else 0), error, tolerance) for p, true in losses]
        assert rows[0].verdict == "within"
        by_luck += any(row.verdict == "within" for row in rows[1:])
        wrong += any(row.verdict == "within" for row in in_sequence(rows)[1:])
    assert by_luck / 2000 > 0.15 and wrong / 2000 < 0.06


def test_what_follows_a_form_that_fails_is_undecided() -> None:
    rows = [_row("float32", loss, 0.1, 1.0) for loss in (0.0, 0.9, 0.1, 3.0)] + [_row("int8", 0.1, 0.1, 1.0)]
    assert [row.verdict for row in rows] == ["within", "undecided", "within", "worse", "within"]
    assert [row.verdict for row in in_sequence(rows)] == ["within", "undecided", "undecided", "worse", "within"]


def test_the_fastest_is_that_in_turns_with_the_original() -> None:
    """Examples per second of rows are of different times, when a shared machine was more or less busy."""
    rows = [_row("float32", loss, 0.1, 1.0) for loss in (0.0, 0.1, 0.2, 3.0)]
    times = [(300.0, 3.0), (200.0, 4.0), (100.0, 2.0), (900.0, 9.0)]
    speeds = [
        (Speed(batch=1, encoder_ms=1, encoder_ratio=1, model_per_second=rate, model_ratio=ratio),)
        for rate, ratio in times
    ]
    rows = [row.model_copy(update={"speeds": speed}) for row, speed in zip(rows, speeds, strict=True)]
    assert fastest(rows, 1) is rows[1]
    assert fastest([rows[3], rows[3], rows[3]], 1) is rows[3]


def _row(precision: Any, loss: float, error: float, tolerance: float) -> Row:
    low, high = loss - 1.96 * error, loss + 1.96 * error
    return Row(
        name="", candidate="", precision=precision, score=0, loss=(loss, low, high), encoder_parameters=1,
        encoder_bytes=4, speeds=(), verdict=Loss(loss, low, high, 0).verdict(tolerance),
    )  # fmt: skip


def test_the_command(
    archives: Archives, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, out = archives(TAGGER), tmp_path / "fast.tar.gz"
    monkeypatch.chdir(tmp_path)  # outside the checkout, whose `.allennlp_plugins` names ours
    # the original's, whose files are gone, would be unknown after the seconds that imports take
    monkeypatch.setattr(_MEASURED, "peak_memory", lambda path, *rest: peak_memory(path, *rest) if path == out else None)
    held = np.ones(1_500_000_000, np.uint8)  # memory of this process is not that of the one which is measured
    command = ["accelerate", str(archive), "--out", str(out), "--data", str(_data(archive)), "--metric", "accuracy"]
    more = [
        "--test",
        str(_data(archive, "train")),
        "--json",
        str(tmp_path / "r.json"),
        "--limit",
        "6",
        "--seconds",
        "0",
    ]
    assert main([*command, *more, "--plot", str(tmp_path / "p.svg"), "--rank", "2"]) == 0
    printed = capsys.readouterr().out
    del held
    assert "\npeak memory: 2 processes\n" in printed and "6 examples are too few" in printed and "is written" in printed
    report = json.loads((tmp_path / "r.json").read_text())
    rows = {row["name"]: row["encoder_bytes"] for row in report["rows"]}
    assert list(rows)[:2] == ["original", "dense"] and rows["original"] == 4 * report["rows"][0]["encoder_parameters"]
    sizes = report["encoder_bytes"]
    assert sizes == {"original": rows["original"], "result": rows[report["written"]]}
    assert rows["given int8"] < rows["given"] < rows["dense"] and "in the archive: 0.0 MB (original: 0.0 MB)" in printed
    assert 1e8 < report["peak_memory_bytes"]["result"] < 1.5e9 and report["peak_memory_bytes"]["original"] is None
    assert "(original: unknown, because its files are missing)" in printed and report["test"]["examples"] == 36
    assert "<svg" in (tmp_path / "p.svg").read_text()
    assert load_archive(out).model is not None and not (tmp_path / "fast.tar.gz.parts").exists()


def test_a_mistake_does_not_stand_in_the_way_of_its_correction(archives: Archives, tmp_path: Path) -> None:
    archive = archives(TAGGER)
    data = ["--data", str(_data(archive)), "--limit", "6", "--seconds", "0"]
    assert main(["accelerate", str(archive), "--out", str(tmp_path / "fast.tar.gz"), *data, "--rank", "99999"]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at", [(_MEASURED, "peak_memory"), (_COMMAND, "write_json")])
def test_an_interruption_after_the_search_loses_nothing(
    at: tuple[ModuleType, str],
    archives: Archives,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """While memory is measured, which takes longest of what follows the search, and before the report is written."""
    archive, out, report = archives(TAGGER), tmp_path / "fast.tar.gz", tmp_path / "r.json"
    convert = ["accelerate", str(archive), "--out", str(out)]
    command = [*convert, "--data", str(_data(archive)), "--json", str(report), "--seconds", "0", "--rank", "2"]

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_MEASURED, "peak_memory", lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(*at, interrupted)
        assert main(command) == 130
    assert out.exists() and not report.exists()
    capsys.readouterr()
    assert main(convert) == 2  # which would not resume the search
    assert f"{out}: already exists" in capsys.readouterr().err
    report.write_text("mine")
    assert main(command) == 2 and report.read_text() == "mine"
    report.unlink()
    capsys.readouterr()
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert f"resuming from {out}.parts" in printed and "scoring dense" not in printed
    assert report.exists() and not out.with_name("fast.tar.gz.parts").exists()


def test_peak_memory_is_unknown_where_the_process_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 5\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    assert peak_memory(tmp_path / "model.tar.gz", tmp_path / "dev.tsv") is None


def test_the_function(archives: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It returns what it measured as tables, and `test` what the result loses on data that chose nothing."""
    monkeypatch.setattr(_MEASURED, "peak_memory", lambda *_: None)  # in processes of its own, as the command's test has
    archive, out = archives(TAGGER), tmp_path / "fast.tar.gz"
    compression = Compression(method="svd", rank=1, targets="all")
    converted = accelerate_archive(archive, out, EncoderSettings(compression), seconds=0)
    assert converted.to_pandas()["batch"].tolist() == [1, 32] and converted.search is None
    assert converted.difference is not None and 0.01 < converted.difference < 10 and "ELMo: model" in repr(converted)
    settings = SearchSettings(_data(archive), metric="accuracy", test=_data(archive, "train"), limit=4, seconds=0)
    result = accelerate_archive(archive, out, search=settings)
    table, test = result.to_pandas(), result.test
    assert table["form"].tolist()[:3] == ["original", "dense", "dense"] and table["accuracy"].between(0, 1).all()
    assert pd.isna(table["batch"][0]) and table["batch"].tolist()[1:3] == [1, 32]
    assert test is not None and (test.examples, test.metric) == (36, "accuracy") and str(test) in repr(result)
    assert test.loss.estimate == pytest.approx(100 * (test.original["accuracy"] - test.result["accuracy"]))
    assert '"type": "elmo_mf"' in json.dumps(load_archive(out).config["model"].as_dict(quiet=True))


def test_without_data(archives: Archives, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, out, json_file = archives("sst"), tmp_path / "fast.tar.gz", tmp_path / "fast.json"
    options = ["--state", "zero", "--precision", "int8", "--json", str(json_file), "--seconds", "0"]
    assert main(["accelerate", str(archive), "--out", str(out), *options]) == 0
    sizes = json.loads(json_file.read_text())["encoder_bytes"]
    assert sizes["result"] < sizes["original"]
    with open_archive(out) as opened:
        stored = [numbers.nbytes for name, numbers in opened.state_dict().items() if ".bilm." in name]
    assert sizes["result"] == sum(stored)
    printed = capsys.readouterr().out
    assert "loading AllenNLP\nloading the model\n" in printed and "times as fast as AllenNLP's" in printed
    config = load_archive(out).config["model"].as_dict(quiet=True)
    assert config["text_field_embedder"]["token_embedders"]["elmo_mf"]["state"] == "zero"


def test_allennlp_is_left_as_it_was(archives: Archives, tmp_path: Path) -> None:
    """Its log level, and a drop-in that is installed, which must not compute in place of the original."""
    level = logging.getLogger("allennlp").level
    with drop_in():
        ours = ElmoLstm._lstm_forward
        assert main(["accelerate", str(archives("sst")), "--out", str(tmp_path / "fast.tar.gz"), "--seconds", "0"]) == 0
        assert ElmoLstm._lstm_forward is ours
    assert ElmoLstm._lstm_forward is not ours and logging.getLogger("allennlp").level == level


@pytest.mark.parametrize("name", ["model.tar.gz", "best.th", "vocabulary/labels.txt"])
@pytest.mark.parametrize("option", ["--out", "--json"])
def test_a_training_is_not_replaced_by_a_result_of_it(
    option: str, name: str, archives: Archives, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    training = tmp_path / "training"
    with open_archive(archives(TAGGER)) as opened:
        shutil.copytree(opened.folder, training)
    (training / "weights.th").rename(training / "best.th")
    shutil.copy(archives(TAGGER), training / "model.tar.gz")
    before = (training / name).read_bytes()
    capfd.readouterr()  # of the training
    out = ["--out", str(tmp_path / "fast.tar.gz"), option, str(training / name)]
    assert main(["accelerate", str(training), *out, "--seconds", "0", "--force"]) == 2
    assert f"{option}: found {training / name}, which would replace the input" in capfd.readouterr().err
    assert (training / name).read_bytes() == before and list(tmp_path.iterdir()) == [training]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "int4"], "--precision: found int4"),
        (["--state", "none"], "--state: "),
        (["--test", "x"], "--test requires --data"),
        (["--data", "missing.tsv"], "--data: found missing.tsv"),
        (["--batch", "7", "--data", "x"], "--batch: found 7"),
        (["--stock"], "--stock requires"),
        (["--stock", "--cells", "4"], "--stock: found --cells"),
        (["--cells", "4"], "--gradients"),
        (["--budget", "50%", "--cells", "budget"], "--gradients"),
        (["--rank", "1", "--cells", "budget"], "--cells: found 'budget'"),
        (["--rank", "99"], "rank"),
        (["--include-package", "no_such_package"], "--include-package: found no_such_package"),
        (["--out", "model.tar.gz"], "--out: found"),
        (["--plot", "p.gif", "--data", "x"], "--plot: found p.gif"),
    ],
)
def test_errors(
    options: list[str], message: str, archives: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(archives(TAGGER), "model.tar.gz")
    capfd.readouterr()  # of the training
    options = [option.replace("model.tar.gz", "model.tar.gz") for option in options]
    assert (
        main(["accelerate", "model.tar.gz", *(["--out", "fast.tar.gz"] if "--out" not in options else []), *options])
        == 2
    )
    error = capfd.readouterr().err
    assert message in error and error.startswith("elmo-mf: error: ") and len(error.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model.tar.gz"]
