"""Tests that pretraining continues from another ELMo: exactly from its weights and softmax, and resumably."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from elmo_mf.bilm import Bilm, read_weights
from elmo_mf.bilm.weights import Factors, Pruned
from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from elmo_mf.pretrain import PretrainSettings, Start, StepMetrics, Trainer
from elmo_mf.pretrain._evaluate import evaluate
from elmo_mf.pretrain._model import perplexities
from elmo_mf.pretrain._train import CHECKPOINT
from elmo_mf.pretrain.settings import SOFTMAXES, SoftmaxKind
from elmo_mf.provenance import file_hash
from elmo_mf.records import Compression
from tests.bilm.word_level import write_word_level
from tests.conftest import ROOT
from tests.pretrain.conftest import TINY, Texts, replace, trainer, write_texts

pytestmark = pytest.mark.slow

OWN = "red purple green\ngreen red red purple\npurple purple green red blue\n"  # another language than that of `texts`
SETTINGS = PretrainSettings(epochs=2, batch_tokens=64, min_count=1, learning_rate=0.01)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[SoftmaxKind, Path]:
    """An ELMo for each kind of softmax."""
    folder = tmp_path_factory.mktemp("trained")
    texts = write_texts(folder)
    for kind in SOFTMAXES:
        trainer(texts, folder / kind, replace(TINY, softmax=kind, dtype="float32", epochs=1)).run()
        (folder / kind / CHECKPOINT).unlink()
    return {kind: folder / kind for kind in SOFTMAXES}


@pytest.fixture
def own_texts(tmp_path: Path) -> Texts:
    files = tmp_path / "own.txt", tmp_path / "own-valid.txt"
    files[0].write_text(OWN * 20)
    files[1].write_text(OWN * 4)
    return files


def _start(folder: Path) -> Start:
    return Start.with_softmax_beside(folder / "options.json", folder / "weights.hdf5")


def _trainer(own_texts: Texts, out: Path, start: Start, **changes: Any) -> Trainer:
    return Trainer([own_texts[0]], [own_texts[1]], out, replace(SETTINGS, **changes), start=start)


def _datasets(path: Path) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


def _identical(one: Path, other: Path) -> bool:
    first, second = _datasets(one), _datasets(other)
    return first.keys() == second.keys() and all(
        array.dtype == second[name].dtype and array.tobytes() == second[name].tobytes() for name, array in first.items()
    )


@pytest.mark.parametrize("kind", SOFTMAXES)
def test_steps_of_no_length_give_the_start_back(
    kind: SoftmaxKind, trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path
) -> None:
    _trainer(own_texts, tmp_path / "out", _start(trained[kind]), learning_rate=0, dtype="float32").run()
    for name in ("weights.hdf5", "softmax.hdf5"):
        assert _identical(tmp_path / "out" / name, trained[kind] / name)
    for name in ("vocabulary.txt", "options.json"):
        assert (tmp_path / "out" / name).read_text() == (trained[kind] / name).read_text()


@pytest.mark.parametrize(
    "compression",
    [
        Compression(method="svd", rank=3, targets="input+projection"),
        Compression(method="svd", rank=3, targets="joint", highway_rank=5),
        Compression(method="prune", rank=3, targets="all"),
    ],
    ids=["split", "joint", "pruned"],
)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_compressed_start(
    compression: Compression, dtype: str, trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path
) -> None:
    """Factors and zeros are continued as they are, in the type in which they are stored."""
    dense = trained["full"]
    Bilm.from_files(dense / "options.json", dense / "weights.hdf5", compression).save(tmp_path / "small", dtype)
    start = Start(tmp_path / "small" / "options.json", tmp_path / "small" / "weights.hdf5", dense)
    assert start.dtype() == dtype
    _trainer(own_texts, tmp_path / "same", start, learning_rate=0, dtype=start.dtype()).run()
    assert _identical(tmp_path / "same" / "weights.hdf5", start.weight_file)
    assert (tmp_path / "same" / "options.json").read_text() == start.options_file.read_text()
    record = _trainer(own_texts, tmp_path / "out", start, epochs=4).run()
    assert record.start is not None and record.start.held_out_perplexity is not None
    before, after = record.start.held_out_perplexity, record.held_out_perplexity
    assert after.forward < before.forward and after.backward < before.backward
    options = Bilm.from_files(tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5").options
    for key, lstm in read_weights(tmp_path / "out" / "weights.hdf5", options).lstms.items():
        source = read_weights(start.weight_file, options).lstms[key]
        assert lstm.matrices.keys() == source.matrices.keys()
        for target, matrix in source.matrices.items():
            stored = lstm.matrices[target]
            assert type(stored) is type(matrix)
            if isinstance(matrix, Pruned) and isinstance(stored, Pruned):
                assert not stored.values[matrix.values == 0].any()
                assert not np.array_equal(stored.values, matrix.values)
            elif isinstance(matrix, Factors) and isinstance(stored, Factors):
                assert stored.rank == matrix.rank and not np.array_equal(stored.left, matrix.left)


@pytest.mark.parametrize("kind", SOFTMAXES)
def test_before_the_first_step_perplexity_is_the_starts(
    kind: SoftmaxKind, trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path
) -> None:
    start = _start(trained[kind])
    run = _trainer(own_texts, tmp_path / "out", start)
    actual = perplexities(run.model, run.valid_corpus.batches(256, None), run.valid_corpus.characters)
    expected = evaluate(start.options_file, start.weight_file, [own_texts[1]])
    assert actual == pytest.approx((expected.forward, expected.backward), rel=1e-6)
    start_record = run.run().start
    assert start_record is not None
    record = start_record.to_dict()
    assert record["held_out_perplexity"] == pytest.approx(
        {"forward": expected.forward, "backward": expected.backward}, rel=1e-6
    )
    names = {
        "options": "options.json",
        "weights": "weights.hdf5",
        "softmax": "softmax.hdf5",
        "vocabulary": "vocabulary.txt",
    }
    for name, file in names.items():
        assert record[f"{name}_sha256"] == file_hash(trained[kind] / file)


class _Cut(Exception):
    pass


@pytest.mark.parametrize("changes", [{}, {"stateful": True, "dropout": 0.1, "patience": 3}], ids=["plain", "more"])
@pytest.mark.parametrize("kind", SOFTMAXES)
def test_a_run_that_was_cut_continues_exactly(
    kind: SoftmaxKind, changes: dict[str, Any], trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path
) -> None:
    def cut(progress: StepMetrics) -> None:
        if progress.step == 3:
            raise _Cut

    start = _start(trained[kind])
    whole = _trainer(own_texts, tmp_path / "whole", start, **changes).run()
    with pytest.raises(_Cut):
        _trainer(own_texts, tmp_path / "cut", start, **changes).run(cut, checkpoint_seconds=0)
    resumed = _trainer(own_texts, tmp_path / "cut", start, **changes)
    assert resumed.step == 2
    assert resumed.run().held_out_perplexity == whole.held_out_perplexity
    for name in ("weights.hdf5", "softmax.hdf5"):
        assert _identical(tmp_path / "whole" / name, tmp_path / "cut" / name)
    assert not _identical(tmp_path / "whole" / "weights.hdf5", trained[kind] / "weights.hdf5")


def _command(own_texts: Texts, out: Path, *options: object) -> list[str]:
    given = ["--batch-tokens", "64", "--epochs", "2", "--learning-rate", "0.01", *map(str, options)]
    return ["pretrain", str(own_texts[0]), "--valid", str(own_texts[1]), "--out", str(out), *given]


def _from(folder: Path) -> list[str]:
    return ["--from", str(folder / "options.json"), str(folder / "weights.hdf5")]


def test_a_killed_command_continues_exactly(trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path) -> None:
    options = [*_from(trained["full"]), "--epochs", "20"]
    command = [sys.executable, "-m", "elmo_mf", *_command(own_texts, tmp_path / "killed", *options)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "killed" / CHECKPOINT).exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "weights.hdf5").exists()
    assert main(_command(own_texts, tmp_path / "killed", *options)) == 0
    assert main(_command(own_texts, tmp_path / "whole", *options)) == 0
    assert _identical(tmp_path / "killed" / "weights.hdf5", tmp_path / "whole" / "weights.hdf5")


def test_a_new_softmax(trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path) -> None:
    """Its words are those of the text; the encoder is the start's."""
    elmo = tmp_path / "elmo"
    elmo.mkdir()
    for name in ("options.json", "weights.hdf5"):
        shutil.copy(trained["full"] / name, elmo / name)
    start = _start(elmo)
    assert start.softmax is None
    run = _trainer(own_texts, tmp_path / "out", start)
    expected = Bilm.from_files(elmo / "options.json", elmo / "weights.hdf5").state_dict()
    state = run.model.bilm.state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    record = run.run().to_dict()
    assert "held_out_perplexity" not in record["start"] and "softmax_sha256" not in record["start"]
    assert set((tmp_path / "out" / "vocabulary.txt").read_text().split()[3:]) == {"red", "purple", "green", "blue"}
    assert "--from options.json weights.hdf5 --new-softmax" in record["command"]


def test_the_start_is_part_of_the_runs_identity(
    trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path
) -> None:
    elmo = Path(shutil.copytree(trained["full"], tmp_path / "elmo"))
    _trainer(own_texts, tmp_path / "out", _start(elmo)).run()
    moved = elmo.rename(tmp_path / "moved")
    assert _trainer(own_texts, tmp_path / "out", _start(moved)).step > 0
    bilm = Bilm.from_files(moved / "options.json", moved / "weights.hdf5")
    next(bilm.parameters()).data.add_(0.1)
    bilm.save(moved)
    with pytest.raises(InputError, match=r"checkpoint\.pt: .*start"):
        _trainer(own_texts, tmp_path / "out", _start(moved))


def test_the_command(
    trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights keep their type unless another is given, and the card names the start."""
    Bilm.from_files(trained["full"] / "options.json", trained["full"] / "weights.hdf5").save(
        tmp_path / "half", "float16"
    )
    assert (
        main(_command(own_texts, tmp_path / "out", *_from(tmp_path / "half"), "--from-softmax", trained["sampled"]))
        == 0
    )
    printed = capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "pretrain.json").read_text())
    before, after = record["start"]["held_out_perplexity"], record["held_out_perplexity"]
    assert f"held-out perplexity before: forward {before['forward']:.1f}, backward {before['backward']:.1f}" in printed
    assert f"held-out perplexity: forward {after['forward']:.1f}, backward {after['backward']:.1f}" in printed
    assert record["settings"]["softmax"] == "sampled"
    assert _datasets(tmp_path / "out" / "weights.hdf5")["char_embed"].dtype == np.float16
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert f"weights, SHA-256 {file_hash(tmp_path / 'half' / 'weights.hdf5')}" in card
    assert f"forward {before['forward']:.1f}, backward {before['backward']:.1f}" in card
    words = record["command"].split()
    assert {"--cell", "--projection", "--layers", "--softmax", "--min-count"}.isdisjoint(words)
    assert "--from options.json weights.hdf5 --from-softmax sampled --epochs 2" in record["command"]
    assert main(_command(own_texts, tmp_path / "full", *_from(trained["full"]))) == 0
    assert _datasets(tmp_path / "full" / "weights.hdf5")["char_embed"].dtype == np.float32


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_folders_and_zips(form: str, trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path) -> None:
    elmo = trained["full"]
    if form == "zip":
        elmo = tmp_path / "elmo.zip"
        with zipfile.ZipFile(elmo, "w") as archive:
            for path in trained["full"].iterdir():
                archive.write(path, path.name)
    assert main(_command(own_texts, tmp_path / "out", "--from-folder", elmo)) == 0
    assert main(_command(own_texts, tmp_path / "files", *_from(trained["full"]))) == 0
    for name in ("weights.hdf5", "softmax.hdf5"):
        assert _identical(tmp_path / "out" / name, tmp_path / "files" / name)


def test_the_embedded_elmo_learns_another_text(tmp_path: Path) -> None:
    """A hundred sentences of another domain lower the perplexity on others of it, in both directions."""
    texts = []
    for name, lines in (("train", 200), ("valid", 40)):
        texts.append(tmp_path / f"{name}.txt")
        whole = (ROOT / "tasks" / "ptb" / "demo" / f"{name}.txt").read_text().splitlines(keepends=True)
        texts[-1].write_text("".join(whole[:lines]))
    base = ROOT / "weights" / "base"
    options = ["--epochs", "1", "--learning-rate", "0.001", "--batch-tokens", "1024"]
    command = [
        "pretrain",
        str(texts[0]),
        "--valid",
        str(texts[1]),
        "--out",
        str(tmp_path / "out"),
        *_from(base),
        *options,
    ]
    assert main(command) == 0
    before = evaluate(base / "options.json", base / "weights.hdf5", [texts[1]])
    after = evaluate(tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5", [texts[1]])
    assert after.forward < 0.9 * before.forward and after.backward < 0.9 * before.backward


def test_a_word_level_start(own_texts: Texts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its table is trained too; a softmax, new or not, has the words of the table."""
    words = ["<S>", "</S>", "<UNK>", "red", "green", "purple"]
    elmo = write_word_level(tmp_path / "elmo", words)
    files = ["--from", str(elmo / "options.json"), str(elmo / "model.hdf5")]
    assert main(_command(own_texts, tmp_path / "same", *files, "--learning-rate", "0", "--dtype", "float32")) == 0
    assert (tmp_path / "same" / "vocabulary.txt").read_text().split() == words
    actual, expected = _datasets(tmp_path / "same" / "weights.hdf5"), _datasets(elmo / "model.hdf5")
    assert actual.keys() == expected.keys() and all(np.array_equal(actual[name], expected[name]) for name in actual)
    assert main(_command(own_texts, tmp_path / "out", "--from-folder", tmp_path / "same", "--epochs", "4")) == 0
    record = json.loads((tmp_path / "out" / "pretrain.json").read_text())
    before, after = record["start"]["held_out_perplexity"], record["held_out_perplexity"]
    assert after["forward"] < 0.8 * before["forward"] and after["backward"] < 0.8 * before["backward"]
    assert not np.array_equal(_datasets(tmp_path / "out" / "weights.hdf5")["embedding"], expected["embedding"])
    evaluation = evaluate(tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5", [own_texts[1]])
    assert evaluation.forward == pytest.approx(after["forward"], rel=1e-5)
    capsys.readouterr()
    assert main(_command(own_texts, tmp_path / "no", *files, "--min-count", "2")) == 2
    assert "--min-count cannot be combined with --from" in capsys.readouterr().err
    (tmp_path / "same" / "vocabulary.txt").write_text("\n".join([*words[:-1], "blue"]) + "\n")
    assert main(_command(own_texts, tmp_path / "no", *files, "--from-softmax", tmp_path / "same")) == 2
    assert "vocabulary.txt: line 6: found another word" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["{from}", "--cell", "512"],
            "--cell cannot be combined with --from",
        ),
        (["{from}", "--layers", "2"], "--layers cannot be combined with --from"),
        (["{from}", "--options", "{elmo}/options.json"], "--options cannot be combined with --from"),
        (["{from}", "--rank", "2"], "--rank cannot be combined with --from"),
        (["{from}", "--budget", "10%"], "--budget cannot be combined with --from"),
        (
            ["{from}", "--softmax", "full"],
            "--softmax cannot be combined with --from",
        ),
        (["{from}", "--vocabulary", "{elmo}/vocabulary.txt"], "--vocabulary cannot be combined with --from"),
        (["{from}", "--min-count", "2"], "--min-count cannot be combined with --from"),
        (["{from}", "--from-folder", "{elmo}"], "--from and --from-folder are"),
        (["{from}", "--new-softmax", "--from-softmax", "{elmo}"], "--from-softmax and --new-softmax are"),
        (["--new-softmax"], "--new-softmax requires --from"),
        (["--from-softmax", "{elmo}"], "--from-softmax requires --from"),
        (["--from", "{elmo}/none.json", "{elmo}/weights.hdf5"], "none.json: "),
        (
            ["--from", "{elmo}/options.json", "{elmo}/options.json"],
            "options.json: ",
        ),
        (["--from", "{elmo}", "{elmo}/weights.hdf5"], "a folder and"),
        (["{from}", "--from-softmax", "{out}"], "softmax.hdf5: "),
        (["{from}", "--out", "{elmo}"], "replace the input"),
    ],
)
def test_bad_input(
    options: list[str],
    message: str,
    trained: dict[SoftmaxKind, Path],
    own_texts: Texts,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    elmo, out = trained["full"], tmp_path / "out"
    before = sorted((path.name, path.stat().st_mtime_ns) for path in elmo.iterdir())
    given = [part.format(elmo=elmo, out=out) for one in options for part in (_from(elmo) if one == "{from}" else [one])]
    assert main(["pretrain", str(own_texts[0]), "--valid", str(own_texts[1]), "--out", str(out), *given]) == 2
    error = capsys.readouterr().err
    assert message.format(elmo=elmo) in error and error.count("\n") == 1
    assert not out.exists()
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in elmo.iterdir())


def test_sizes_of_their_own(trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path) -> None:
    """Python callers are told as well."""
    start = _start(trained["full"])
    with pytest.raises(InputError, match=r"settings: .*factors"):
        _trainer(own_texts, tmp_path / "out", start, compression={"method": "svd", "rank": 2, "targets": "all"})
    with pytest.raises(InputError, match=r"settings: .*sizes"):
        _trainer(own_texts, tmp_path / "out", start, architecture=TINY.options().to_dict())
    with pytest.raises(InputError, match=r"vocabulary: "):
        Trainer(
            [own_texts[0]], [own_texts[1]], tmp_path / "out", SETTINGS, trained["full"] / "vocabulary.txt", start=start
        )


def test_a_softmax_of_other_sizes(trained: dict[SoftmaxKind, Path], own_texts: Texts, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained["full"], tmp_path / "elmo"))
    with open(folder / "vocabulary.txt", "a") as file:
        file.write("another\n")
    with pytest.raises(InputError, match=r"softmax\.hdf5: .*\b9\b"):
        _trainer(own_texts, tmp_path / "out", _start(folder))
