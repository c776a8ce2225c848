"""Tests of the command line: help with examples, one-line errors with status 2, and the outputs of each command."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import torch
import typer
from allennlp.modules.elmo import _ElmoBiLm, batch_to_ids

from elmo_mf import Bilm, Compression, __version__
from elmo_mf.cli.main import app, command_line, main
from elmo_mf.compression import method_names, size_report
from elmo_mf.experiments.executors import LocalExecutor
from elmo_mf.resources import published_recommendations
from elmo_mf.tasks import load_task
from tests.conftest import ROOT, small_data
from tests.records.samples import record, write

Files = Callable[..., tuple[Path, Path]]
COMMANDS = list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def _run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def _fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a command that must end with status 2, and return its error of one line."""
    assert _run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("elmo-mf: error: ") and error.count("\n") == 1 and "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compress", "--rnk", "3"], "--rnk"),
        (["compress", "a", "b", "--dtype"], "elmo-mf compress --help"),
        (["bench", "--seconds", "x"], "--seconds"),
        (["compres"], "'compress'"),
        (["compress"], "elmo-mf compress --help"),
    ],
)
def test_errors_in_the_use_of_a_command(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = _fails(capsys, *arguments)
    assert message in error and "?;" not in error


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--version") == 0
    assert capsys.readouterr().out == f"elmo-mf {__version__}\n"


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(command, option) == 0
    help_text = capsys.readouterr().out
    assert "Examples:" in help_text and f"  elmo-mf {command}" in help_text


@pytest.mark.slow
def test_the_script_and_the_module_are_the_same() -> None:
    script = str(Path(sys.executable).with_name("elmo-mf"))
    done = subprocess.run([script, "tasks"], capture_output=True, text=True)
    assert done.returncode == 0 and "sst: Sentiment" in done.stdout and done.stderr == ""
    for start in ([script], [sys.executable, "-m", "elmo_mf"]):
        done = subprocess.run([*start, "compress", "no.json", "no.hdf5", "--rank", "2", "--out", "x"],
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "no.json" in done.stderr


def test_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("tasks") == 0
    text = capsys.readouterr().out
    for name in ("sst", "snli", "squad"):
        assert re.search(rf"^{name}: ", text, re.MULTILINE)
    assert "metric: f1 on test, higher is better" in text


@pytest.mark.slow
def test_compress(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, weights = elmo_files()
    out = tmp_path / "r2"
    assert _run("compress", options, weights, "--rank", "2", "--targets", "input+recurrent", "--out", out) == 0
    text = capsys.readouterr().out
    assert re.search(r"forward 0 input +48 x 6 +2 +108 +37\.5% +\d+\.\d% +0\.\d{3} +0\.\d{3}", text)
    assert "predicted speed-up" in text and f"wrote {out}/options.json, weights.hdf5 (" in text
    with h5py.File(out / "weights.hdf5") as file:
        assert "W_0_input_left" in file["RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell"]
    report = json.loads((out / "report.json").read_text())
    assert len(report["matrices"]) == 8 and report["compression"]["rank"] == 2
    again = Bilm.from_files(out / "options.json", out / "weights.hdf5").embed([["a", "b"]])
    fresh = Bilm.from_files(options, weights, Compression(method="svd", rank=2, targets="input+recurrent")).embed(
        [["a", "b"]]
    )
    assert abs(again[0] - fresh[0]).max() < 1e-6


FORMS: list[list[str]] = [
    ["--rank", "2", "--method", "svd"],
    ["--rank", "2", "--targets", "joint+projection", "--method", "whitened_svd"],
    ["--rank", "input=2,projection=3", "--targets", "input+projection"],
    ["--rank", "1", "--granularity", "gate"],
    ["--rank", "2", "--method", "whitened_svd", "--inputs", "compressed"],
    ["--rank", "2", "--method", "prune"],
    ["--rank", "2", "--method", "semi_nmf", "--setting", "nonnegative=right", "--setting", "iterations=9"],
    ["--budget", "60%"],
    ["--rank", "2", "--highway-rank", "5"],
    ["--budget", "multiply_adds=1500", "--layers", "0,1"],
    ["--budget", "60%", "--allocation", "matrices", "--highway-rank", "budget"],
]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_checkpoint(
    form: list[str], elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checkpoints of every form give the same vectors here and, if dense, in stock AllenNLP."""
    options, weights = elmo_files()
    for name, extra in (("factored", []), ("dense", ["--dense"])):
        assert _run("compress", options, weights, *form, *extra, "--out", tmp_path / name) == 0
    files = [(tmp_path / name / "options.json", tmp_path / name / "weights.hdf5") for name in ("factored", "dense")]
    sentences = [["a", "few", "words"], ["more", "of", "them", "here"]]
    factored, dense = (Bilm.from_files(*pair) for pair in files)
    assert size_report(factored.weights(), factored.options).lstm_ratio > 1
    assert size_report(dense.weights(), dense.options).lstm_ratio == 1
    theirs = _ElmoBiLm(*map(str, files[1]))
    with torch.no_grad():
        activations = theirs(batch_to_ids(sentences))["activations"]
    for index, (one, other) in enumerate(zip(factored.embed(sentences), dense.embed(sentences), strict=True)):
        assert abs(one - other).max() < 1e-5
        stock = torch.stack(activations)[:, index, 1 : len(sentences[index]) + 1].numpy()
        assert abs(one - stock).max() < 1e-5
    assert "as large and as fast as the dense encoder" in capsys.readouterr().out


@pytest.mark.slow
def test_highways_of_a_compressed_elmo(elmo_files: Files, tmp_path: Path) -> None:
    """Compressing the highway layers afterwards keeps the biLSTM, and equals compressing both together."""
    files: list[str | Path] = list(elmo_files())
    once, twice, at_once = (tmp_path / name for name in ("once", "twice", "at-once"))
    assert _run("compress", *files, "--rank", "2", "--out", once) == 0
    compressed: list[str | Path] = [once / "options.json", once / "weights.hdf5"]
    assert _run("compress", *compressed, "--highway-rank", "5", "--out", twice) == 0
    assert _run("compress", *files, "--rank", "2", "--highway-rank", "5", "--out", at_once) == 0
    vectors, wanted = (
        Bilm.from_files(folder / "options.json", folder / "weights.hdf5").embed([["a", "few", "words"]])[0]
        for folder in (twice, at_once)
    )
    assert abs(vectors - wanted).max() < 1e-6
    report = json.loads((twice / "report.json").read_text())
    assert report["matrices"] == [] and [row["rank"] for row in report["highways"]] == [5, 5]


@pytest.mark.slow
def test_compress_and_distill(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, weights = elmo_files()
    (tmp_path / "text.txt").write_text("some words to learn from\nand a few more\n" * 30)
    command: list[str | Path] = [
        "compress",
        options,
        weights,
        "--rank",
        "1",
        "--distill",
        tmp_path / "text.txt",
        "--distill-steps",
        "30",
    ]
    assert _run(*command, "--out", tmp_path / "out") == 0
    match = re.search(r"on held-out sentences (0\.\d+) before, (0\.\d+) after", capsys.readouterr().out)
    assert match and float(match[2]) < float(match[1])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["distillation"]["activation_error_after"] == pytest.approx(float(match[2]), abs=1e-3)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "options.json", "weights.hdf5", "report.json", "MODEL_CARD.md",
    }  # fmt: skip
    history = json.loads((tmp_path / "out" / "options.json").read_text())["elmo_mf"]["compressions"]
    assert str(tmp_path) not in json.dumps([history, report])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rank", "0"], "--rank: found '0'"),
        (["--rank", "5"], "break-even"),
        (["--rank", "x"], "--rank: found 'x'"),
        (["--rank", "input=2"], "rank: "),
        ([], "--rank, --budget, --cells, --highway-rank or --dtype int8"),
        (["--rank", "2", "--budget", "100"], "--rank and --budget are"),
        (["--highway-rank", "2", "--targets", "input"], "--targets requires"),
        (["--highway-rank", "2", "--method", "prune"], "--method requires"),
        (["--dtype", "int8", "--layers", "0"], "--layers requires --rank or --budget"),
        (["--dtype", "int8", "--setting", "ridge=1"], "--setting requires --rank or --budget"),
        (["--dtype", "int8", "--calibration", "README.md"], "--calibration requires --rank or --budget"),
        (["--rank", "2", "--distill-steps", "9"], "--distill-steps requires --distill"),
        (["--rank", "5"], "at which factors save nothing; use --allow-larger to accept it\n"),
        (["--highway-rank", "12"], "at which factors save nothing; use --allow-larger to accept it\n"),
        (["--rank", "2", "--highway-rank", "half"], "--highway-rank: found 'half'"),
        (
            ["--rank", "2", "--highway-rank", "budget"],
            "--highway-rank: found 'budget'",
        ),
        (
            ["--highway-rank", "budget"],
            "--highway-rank: found 'budget'",
        ),
        (["--rank", "2", "--cells", "budget"], "--cells: found 'budget'"),
        (["--cells", "budget"], "--cells: found 'budget'"),
        (["--cells", "0"], "--cells: found '0', expected a positive integer, or budget"),
        (["--budget", "60%", "--cells", "budget"], "--gradients: missing"),
        (["--budget", "60%", "--cells", "budget", "--highway-rank", "budget"], "--highway-rank: found 'budget'"),
        (["--rank", "2", "--allocation", "matrices"], "--allocation: found matrices"),
        (["--budget", "60%", "--allocation", "rows"], "--allocation: found 'rows'"),
        (["--budget", "many"], "--budget: found 'many'"),
        (["--budget", "flops=9"], "--budget: found 'flops=9'"),
        (["--budget", "100"], "--budget: found 100 parameters"),
        (["--rank", "2", "--method", "svdd"], "--method: found 'svdd'"),
        (["--rank", "2", "--setting", "ridge"], "--setting: found 'ridge'"),
        (["--rank", "2", "--setting", "ridge=1"], "the key 'ridge'"),
        (["--rank", "2", "--targets", "inputs"], "--targets: found 'inputs'"),
        (["--rank", "2", "--layers", "x"], "--layers: found x"),
        (["--rank", "2", "--layers", "7"], "--layers: found 7"),
        (
            ["--rank", "2", "--dtype", "int2"],
            "--dtype: found int2",
        ),
        (["--rank", "2", "--granularity", "row"], "--granularity: found 'row'"),
        (["--rank", "2", "--calibration", "gone.txt"], "gone.txt: "),
        (["--rank", "2", "--evaluation", "gone.txt"], "gone.txt: "),
        (["--rank", "2", "--distill", "gone.txt"], "--distill: found gone.txt"),
        (["--rank", "2", "--method", "fisher_svd"], "--gradients: "),
        (["--rank", "2", "--method", "fisher_svd", "--gradients", "g"], "--gradients: found g"),
    ],
)
def test_compress_errors(
    arguments: list[str], message: str, elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, weights = elmo_files()
    assert message in _fails(capsys, "compress", options, weights, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_errors_advise_no_option_of_another_command(
    elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, weights = elmo_files()
    (tmp_path / "t.txt").write_text("a few words\n")
    elmo = "--options", options, "--weights", weights
    error = _fails(capsys, "embed", tmp_path / "t.txt", tmp_path / "vectors.hdf5", *elmo, "--rank", "5")
    assert "--rank: found 5" in error and error.endswith("at which factors save nothing\n")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["inspect", "{1}", "{0}"], "{1}: found HDF5, and JSON in {0}, expected options.json, then weights; they seem"),
        (["compress", "{1}", "{0}", "--rank", "2", "--out", "out"], "they seem to be swapped"),
        (["embed", "{0}", "out.hdf5", "--options", "{1}", "--weights", "{0}"], "they seem to be swapped"),
        (["sweep", "--tasks", "sst", "--dry-run", "--options", "{1}", "--weights", "{0}"], "they seem to be swapped"),
        (["inspect", "{0}", "{0}"], "{0}: found JSON, expected HDF5 in the official layout"),
        (["inspect", "{1}", "{1}"], "{1}: found HDF5, expected options.json of an ELMo"),
    ],
)
def test_swapped_files(command: list[str], message: str, elmo_files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files = elmo_files()
    assert message.format(*files) in _fails(capsys, *(word.format(*files) for word in command))


@pytest.mark.slow
def test_inspect(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, weights = elmo_files()
    assert _run("inspect", options, weights, "--json", tmp_path / "i.json", "--plot", tmp_path / "i.svg") == 0
    text = capsys.readouterr().out
    assert re.search(r"forward 0 input +48 x 6 +dense +\d\.\d +\d +\d ", text) and text.count("gate o") == 8
    matrices = json.loads((tmp_path / "i.json").read_text())["matrices"]
    assert len(matrices) == 44 and len(matrices[0]["spectrum"]) == 6
    light = (tmp_path / "i.svg").read_text()
    assert "<svg" in light and "#0d1117" not in light
    assert _run("inspect", options, weights, "--plot", tmp_path / "dark.svg", "--theme", "dark") == 0
    assert "#0d1117" in (tmp_path / "dark.svg").read_text()
    capsys.readouterr()
    assert _run("compress", options, weights, "--rank", "2", "--out", tmp_path / "r2") == 0
    files = [tmp_path / "r2" / name for name in ("options.json", "weights.hdf5")]
    assert _run("inspect", *files, "--no-gates", "--plot", tmp_path / "r2.png") == 0
    assert len(re.findall(r"rank 2 +\d\.\d +\d +2 ", capsys.readouterr().out)) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "--dry-run", "--data", "file"], "--data: found the file file, expected a folder"),
        (["sweep", "--status", "--data", "file"], "--data: found the file file, expected a folder"),
        (["sweep", "--dry-run", "--glove", "folder"], "--glove: found the folder folder, expected a file"),
        (["sweep", "--dry-run", "--output", "file"], "--output: found the file file, expected a folder"),
        (["sweep", "--status", "--output", "file"], "--output: found the file file, expected a folder"),
        (["sweep", "--output", "folder"], "--output: found the file folder/records, expected a folder"),
        (["sweep", "smaller.jsonnet", "--dry-run"], "smaller: found the file file, expected a folder"),
        (["gradients", "sst", "g.hdf5", "--data", "file"], "--data: found the file file, expected a folder"),
        (["embed", "file", "v.hdf5", "--token-embeddings", "folder"], "folder: found a folder, expected token emb"),
        (["embed", "file", "v.hdf5", "--token-vocabulary", "file"], "--token-vocabulary requires --token-embeddings"),
        (["accelerate", "folder", "--out", "fast.tar.gz"], "folder: found no config.json, expected a model archive"),
    ],
)
def test_files_and_folders_in_place_of_each_other(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("a line\n")
    Path("folder").mkdir()
    Path("folder/records").write_text("mine")
    Path("smaller.jsonnet").write_text("{baselines: ['smaller'], smaller: 'file'}")
    assert message in _fails(capsys, *arguments)
    assert sorted(path.name for path in Path().iterdir()) == ["file", "folder", "smaller.jsonnet"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "spectra.bmp"], "--plot: found spectra.bmp"),
        (
            ["--theme", "drak"],
            "--theme: found 'drak'",
        ),
        (["--json", "/"], "--json: "),
    ],
)
def test_inspect_errors(
    arguments: list[str], message: str, elmo_files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in _fails(capsys, "inspect", *elmo_files(), *arguments)


@pytest.mark.slow
def test_gradients(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The method accepts the file, and no other files are left."""
    options, weights = elmo_files()
    small_data("sst", tmp_path / "data" / "sst", 20)
    (tmp_path / "s.jsonnet").write_text("{overrides: {sst: {'trainer.num_epochs': 1}}}")
    files: list[str | Path] = ["--data", tmp_path / "data", "--options", options, "--weights", weights]
    out = tmp_path / "out"
    out.mkdir()
    assert _run("gradients", "sst", out / "g.hdf5", "--sweep", tmp_path / "s.jsonnet", *files) == 0
    printed = capsys.readouterr().out.splitlines()
    assert {"training", "gradients"} < set(printed) and printed[-1] == f"wrote {out / 'g.hdf5'}"
    assert [p.name for p in out.iterdir()] == ["g.hdf5"]
    method: list[str | Path] = ["--method", "fisher_svd", "--gradients", out / "g.hdf5"]
    assert _run("compress", options, weights, "--rank", "2", *method, "--out", tmp_path / "r2") == 0
    assert "TASK: found 'mnist'" in _fails(capsys, "gradients", "mnist", out / "h.hdf5")
    assert "TASK: found ptb, a language model" in _fails(capsys, "gradients", "ptb", out / "h.hdf5")


def test_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "found no records" in _fails(capsys, "explain", tmp_path)
    assert "found no compression" in _fails(capsys, "explain", write(tmp_path / "a", [record(None, 0.4)]))


def test_compress_does_not_overwrite_its_input(elmo_files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    options, weights = elmo_files()
    before = weights.read_bytes()
    assert "--out" in _fails(capsys, "compress", options, weights, "--rank", "2", "--out", weights.parent)
    assert "--out" in _fails(capsys, "compress", options, weights, "--rank", "2", "--out", weights)
    assert weights.read_bytes() == before


@pytest.mark.slow
def test_sweep_and_leaderboard(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tiny sweep executes its runs once; the same command then has nothing to do."""
    options, weights = elmo_files()
    small_data("sst", tmp_path / "data" / "sst", 30)
    (tmp_path / "s.jsonnet").write_text(
        "{overrides: {sst: {'trainer.num_epochs': 1}}, latency_sentences: 2, latency_rounds: 1}"
    )
    out = tmp_path / "out"
    grid = "--tasks sst --ranks 2 --seeds 1 --limit 20".split()
    files: list[str | Path] = ["--data", tmp_path / "data", "--options", options, "--weights", weights, "--output", out]
    files += ["--threads", "1"]
    command: list[str | Path] = ["sweep", tmp_path / "s.jsonnet", *grid, *files]
    assert _run(*command, "--dry-run") == 0
    text = capsys.readouterr().out
    assert (
        "sst svd all rank 2 seed 1" in text
        and "2 runs: 0 recorded, 0 running, 0 failed, 2 to run" in text
        and not out.exists()
    )

    assert _run(*command) == 0
    text = capsys.readouterr().out
    assert len(re.findall(r"^sst (?:dense|svd all rank \d) seed 1: accuracy 0\.\d{4}, ", text, re.MULTILINE)) == 2
    records = {path: path.read_bytes() for path in (out / "records").glob("*.json")}
    assert len(records) == 2
    assert all(json.loads(text)["run"]["data"]["train"]["limit"] == 20 for text in records.values())

    next(path for path in records if "rank-2" in path.name).unlink()
    assert _run(*command) == 0
    assert "2 runs, 1 recorded, 1 to run" in capsys.readouterr().out
    kept = [path for path in records if "rank-2" not in path.name]
    assert all(path.read_bytes() == records[path] for path in kept) and len(list((out / "records").glob("*.json"))) == 2

    assert _run(*command, "--retime", "stale") == 0
    assert capsys.readouterr().out == "expansion of the grid\n2 runs recorded, 0 to time again\n"
    assert _run(*command, "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert _run(*command, "--retime", "all") == 0
    text = capsys.readouterr().out
    assert re.search(r"\n2 runs recorded, 2 to time again\nsst dense seed 1: accuracy 0\.\d{4}, encoder 1\.00x\n", text)
    again = {path: json.loads(path.read_text()) for path in records}
    assert all("timed" in new and new["scores"] == json.loads(records[path])["scores"] for path, new in again.items())

    assert _run("leaderboard", out) == 0
    shown = capsys.readouterr().out
    assert "svd all rank 2" in shown and shown.endswith(f"wrote {out}/README.md, {out}/index.html\n")
    assert max(len(line.rstrip()) for line in shown.splitlines()[:-1]) <= 80
    assert "| dense" in (out / "README.md").read_text()


@pytest.mark.slow
def test_a_sweep_with_a_failing_run_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.jsonnet").write_text("{overrides: {sst: {'model.encoder.input_size': 7}}, ranks: 4}")
    arguments: list[str | Path] = ["--tasks", "sst", "--limit", "20", "--threads", "1", "--output", tmp_path / "out"]
    assert _run("sweep", tmp_path / "s.jsonnet", *arguments) == 1
    output = capsys.readouterr()
    assert "sst dense seed 13: FAILED " in output.out and "2 of 2 runs failed:" in output.err
    assert re.search(r"^  sst dense seed 13: \w+: .*; log: .*/failed/sst-dense-.*/out\.log$", output.err, re.MULTILINE)
    assert output.err.endswith("--retry-failed runs 2 of them again\n")
    assert _run("sweep", tmp_path / "s.jsonnet", *arguments, "--status") == 0
    assert "2 runs: 0 recorded, 0 running, 2 failed, 0 to run" in capsys.readouterr().out


def test_a_sweep_into_a_folder_that_cannot_be_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in place of a folder is an error even for root."""
    (tmp_path / "running").touch()
    message = _fails(capsys, "sweep", "--tasks", "sst", "--limit", "20", "--quiet", "--output", tmp_path)
    assert f"--output: found {tmp_path}" in message
    assert [path.name for path in tmp_path.iterdir()] == ["running"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.jsonnet"], "gone.jsonnet: "),
        (["--tasks", "mnist"], "tasks: found 'mnist'"),
        (["--tasks", "sst,"], "--tasks: found 'sst,'"),
        (["--ranks", "4,x"], "--ranks: found '4,x'"),
        (["--ranks", "0"], "--ranks: found '0'"),
        (["--targets", "input+hidden"], "targets: found 'hidden'"),
        (["--methods", "magic"], "--methods: found 'magic'"),
        (["--limit", "0"], "limit: found 0"),
        (["--data", "gone"], "no such data file"),
        (["--tasks", "sst", "--retime", "old"], "--retime: found 'old'"),
        (["--retime", "all", "--workers", "2"], "--retime cannot be combined with --workers"),
        (["--retime", "all", "--dry-run"], "--retime cannot be combined with --dry-run"),
        (["--options", "o.json"], "o.json: "),
        (["--weights", "w.hdf5"], "options and weights"),
        (["--options", "o.json", "--weights", "w.hdf5"], "o.json: "),
    ],
)
def test_sweep_errors(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in _fails(capsys, "sweep", *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_leaderboard_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "found no records" in _fails(capsys, "leaderboard", tmp_path)
    (tmp_path / "file").touch()
    assert "file: found a file, expected the output folder" in _fails(capsys, "leaderboard", tmp_path / "file")
    write(tmp_path, [record(None, 0.4)])
    (tmp_path / "records" / "broken.json").write_text("{")
    assert _run("leaderboard", tmp_path) == 0
    printed, warning = capsys.readouterr()
    assert printed.startswith("tables\nfigures\ndrawing\npage\n")
    assert warning.startswith("elmo-mf: warning: ") and "broken.json: found something that is not JSON" in warning
    assert warning.endswith("; left out\n") and (tmp_path / "README.md").exists()
    assert (tmp_path / "records" / "broken.json").exists()


def test_pretrain_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.txt").write_text("a b c\n" * 5)
    (tmp_path / "empty.txt").write_text("\n")
    train, out = tmp_path / "t.txt", tmp_path / "out"
    cases: list[tuple[list[str | Path], str]] = [
        ([tmp_path / "gone.txt", "--valid", train], "gone.txt: "),
        ([train, "--valid", tmp_path / "empty.txt"], "empty.txt: "),
        ([train, "--valid", train, "--softmax", "hard"], "--softmax: found 'hard'"),
        ([train, "--valid", train, "--dtype", "int8"], "--dtype: found 'int8'"),
        ([train, "--valid", train, "--schedule", "steps"], "--schedule: found 'steps'"),
        ([train, "--valid", train, "--mixed", "float16"], "--mixed: found float16 on a CPU"),
        ([train, "--valid", train, "--mixed", "int8"], "--mixed: found 'int8'"),
        ([train, "--valid", train, "--rank", "0"], "--rank: found '0'"),
        ([train, "--valid", train, "--seed", "-1"], "--seed: found -1"),
        ([train, "--valid", train, "--seed", str(2**64)], "--seed: found 18446744073709551616"),
        ([train, "--valid", train, "--rank", "9", "--budget", "9"], "--rank: found 9 "),
        ([train, "--valid", train, "--vocabulary", train], "t.txt: line 1: found 'a b c'"),
    ]
    for arguments, message in cases:
        assert message in _fails(capsys, "pretrain", *arguments, "--out", out)
        assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["compress", "o.json", "w.hdf5", "--rank", "2", "--out", ""], "--out: "),
        (["compress", "o.json", "w.hdf5", "--rank", "2", "--out="], "--out: "),
        (["embed", "t.txt", ""], ""),
        (["embed", "", "out.hdf5"], ""),
        (["sweep", "--seeds", "", "--dry-run"], "--seeds: "),
    ],
)
def test_empty_values(
    arguments: list[str],
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Empty values are rejected; an empty path would mean the current folder."""
    monkeypatch.chdir(tmp_path)
    assert _fails(capsys, *arguments).startswith(f"elmo-mf: error: {where}found an empty value")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pretrain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.txt").write_text("a b c d\n" * 50)
    files: list[str | Path] = [tmp_path / "t.txt", "--valid", tmp_path / "t.txt", "--out", tmp_path / "out"]
    assert _run("pretrain", *files, *"--cell 8 --projection 4 --epochs 2 --batch-tokens 64".split()) == 0
    text = capsys.readouterr().out
    assert re.search(r"^pretraining: \d+ steps$", text, re.MULTILINE)
    assert re.search(r"held-out perplexity: forward \d+\.\d, backward \d+\.\d, unigram \d+\.\d; wrote ", text)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    exported = {"options.json", "weights.hdf5", "softmax.hdf5", "vocabulary.txt", "pretrain.json", "MODEL_CARD.md"}
    assert names == {"checkpoint.pt", *exported}


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["sweep", "--tasks", "squat"], "squad"),
        (["sweep", "--tasks", "sst", "--methods", "whitened"], "whitened_svd"),
        (["sweep", "--tasks", "sst", "--targets", "inputs"], "input"),
        (["leaderboard", "leaderboard", "--export", "latex"], "tex"),
        (["bench", "--size", "mediun"], "medium"),
        (["fetch", "weight", "small"], "weights"),
        (["fetch", "weights", "smal"], "small"),
        (["pretrain", "a.txt", "--valid", "a.txt", "--out", "o", "--softmax", "adaptiv"], "adaptive"),
    ],
)
def test_errors_suggest_what_was_meant(
    arguments: list[str],
    meant: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path / "leaderboard", [record(None, 0.4)])
    monkeypatch.chdir(tmp_path)
    assert _fails(capsys, *arguments).endswith(f"; did you mean {meant}?\n")


def test_nothing_near_suggests_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert _fails(capsys, "sweep", "--tasks", "translation").endswith(
        "expected any of ptb, snli, snli-probe, squad, sst, sst-probe, syntax-probe, wikitext2, wikitext2-bilm\n"
    )


def test_lists_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists can be written as JSON for other programs."""
    assert _run("tasks", "--json", tmp_path / "tasks.json") == 0
    assert json.loads((tmp_path / "tasks.json").read_text())["ptb"]["metrics"] == {"perplexity": "lower"}
    write(tmp_path / "out", [record(None, 0.4)])
    arguments = ["sweep", "--tasks", "sst", "--ranks", "4", "--output", str(tmp_path / "out")]
    assert _run(*arguments, "--dry-run", "--json", tmp_path / "status.json") == 0
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["left"] == ["sst dense seed 13", "sst svd all rank 4 seed 13"] and status["recorded"] == []
    assert "--json requires" in _fails(capsys, *arguments, "--json", tmp_path / "status.json")


def test_completion_and_exit_codes_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(command_line.cache_clear)
    command_line.cache_clear()  # how a shell is named is decided when the commands are built
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # tests may run without a shell
    assert _run("--show-completion", "bash") == 0
    assert "complete -o default -F _elmo_mf_completion elmo-mf" in capsys.readouterr().out
    assert _run("--help") == 0
    shown = capsys.readouterr().out
    assert "Exit status: 0 " in shown
    assert not [line for line in shown.splitlines()[1:] if line.endswith("...")]  # no summary is cut


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no Python types, names arguments in capitals as errors do, and breaks no line within a word."""
    assert _run(command, "--help") == 0
    shown = capsys.readouterr().out
    assert not re.findall(r"list\[.*|\w-$", shown, re.MULTILINE)
    assert shown.startswith("Usage: ") and not re.search(r"[{[][a-z]", shown.partition("\n\n")[0])


@pytest.mark.parametrize("command", ["compress", "sweep"])
def test_help_names_all_methods(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(command, "--help") == 0
    assert set(method_names()) <= set(re.findall(r"\w+", capsys.readouterr().out))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("bench --size small --ranks 9999 --targets projektion", "--targets: found 'projektion', expected any of "),
        ("bench --size small --method fisher_svd", "--method: found fisher_svd, expected another method, "),
        ("gradients sts out.hdf5", "TASK: found 'sts', expected any of "),
        ("gradients sst out.hdf5 --limit 0", "--limit: found 0, expected a positive integer"),
        (f"gradients sst out.hdf5 --limit {10**20}", f"--limit: found {10**20}, expected at most "),
        ("sweep --tasks sst --ranks 0 --dry-run", "--ranks: found '0', expected integers of at least 1 "),
        ("sweep --tasks sst --methods sdv --dry-run", "--methods: found 'sdv', expected one of "),
    ],
)  # fmt: skip
def test_errors_name_options(
    words: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _fails(capsys, *words.split()).startswith(f"elmo-mf: error: {error}")


def test_a_sweep_over_demo_data_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalExecutor, "start", interrupted)
    command = ["sweep", "--tasks", "sst-probe", "--ranks", "4", "--output", str(tmp_path / "runs")]
    assert _run(*command) == 130
    assert "2 to run\nDEMO: the data of sst-probe were written for this project; " in capsys.readouterr().out
    shutil.copytree(load_task("sst").demo_data, tmp_path / "data" / "sst")
    assert _run(*command, "--data", tmp_path / "data") == 130
    assert "DEMO" not in capsys.readouterr().out


INTERRUPTED_IMPORT = """
import sys
from elmo_mf.__main__ import entry

class Interruption:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interruption())
entry()
"""


def test_an_interruption_while_modules_are_imported() -> None:
    process = subprocess.run([sys.executable, "-c", INTERRUPTED_IMPORT], cwd=ROOT, capture_output=True, text=True)
    assert (process.returncode, process.stdout, process.stderr) == (130, "", "elmo-mf: interrupted\n")


@pytest.mark.slow
def test_recommend_says_what_to_type(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """For our own board: of each task either an encoder and its command, or why there is none."""
    assert _run("recommend", str(ROOT / "leaderboard"), "--json", str(tmp_path / "recommended.json")) == 0
    lines = capsys.readouterr().out.splitlines()
    probe = "Syntax, probed: constituents that end at each word, Stanford Sentiment Treebank; ELMo base"
    (place,) = (number for number, line in enumerate(lines) if line.startswith(probe))
    assert re.match(r"  safe   \S.+: [+-]\d\.\d \[.+\] points, [\d.]+ MB, ", lines[place + 1])
    assert re.fullmatch(r"ELMo as a language model: [+-][\d.]+ % perplexity, equivalent", lines[place + 2].strip())
    fast = next(number for number, line in enumerate(lines) if number > place and line.startswith("  fast   "))
    assert re.fullmatch(r"ELMo as a language model: \+\d+ % perplexity, worse", lines[fast + 1].strip())
    assert lines[fast + 2].strip().startswith("elmo-mf compress options.json weights.hdf5 --method ")
    assert any(line.startswith("  nothing to recommend. No verdicts: ") for line in lines)
    assert lines[-3].startswith("Numbers: the difference from the dense encoder ")
    found = json.loads((tmp_path / "recommended.json").read_text())
    aims = {name: [one["aim"] for one in board["encoders"]] for name, board in found["boards"].items()}
    assert aims["syntax-probe"] == ["safe", "small", "fast"] and aims["sst"] == []
    assert (tmp_path / "recommended.json").read_bytes() == published_recommendations().read_bytes()
    assert _run("recommend", str(tmp_path)) == 2


def test_recommend_without_records(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published encoders are part of the package, at the margin of the board."""
    monkeypatch.chdir(tmp_path)
    assert _run("recommend", "--json", "recommended.json") == 0
    assert "\n  safe   " in capsys.readouterr().out
    assert Path("recommended.json").read_bytes() == published_recommendations().read_bytes()
    expected = "expected 1 for the published leaderboard, or a FOLDER with records\n"
    assert _fails(capsys, "recommend", "--margin", "2") == f"elmo-mf: error: --margin: found 2, {expected}"
