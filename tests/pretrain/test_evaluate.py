"""Tests of the evaluation of an ELMo as a language model, from its files alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from elmo_mf.bilm import Bilm
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from elmo_mf.pretrain._evaluate import Evaluation, evaluate
from elmo_mf.provenance import file_hash
from elmo_mf.records import Compression
from tests.conftest import ROOT, pipe_of
from tests.pretrain.conftest import TINY, Texts, replace, trainer, write_texts


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    trainer(write_texts(folder), folder / "elmo", replace(TINY, softmax="full", epochs=12, learning_rate=0.02)).run()
    return folder / "elmo"


@pytest.fixture
def elmo(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "elmo"))


def _evaluate(folder: Path, text: Path, *rest: Any) -> Evaluation:
    return evaluate(folder / "options.json", folder / "weights.hdf5", [text], *rest)


@pytest.mark.slow
def test_perplexity_is_that_of_the_files(elmo: Path, texts: Texts) -> None:
    """The perplexity equals that computed sentence by sentence from the files."""
    bilm = Bilm.from_files(elmo / "options.json", elmo / "weights.hdf5")
    ids = {word: index for index, word in enumerate((elmo / "vocabulary.txt").read_text().split())}
    with h5py.File(elmo / "softmax.hdf5") as file:
        weight, bias = (torch.from_numpy(file[name][()].astype("float32")) for name in ("weight", "bias"))
    losses: dict[str, list[torch.Tensor]] = {"forward": [], "backward": []}
    for line in texts[1].read_text().splitlines():
        words = [ids["<S>"], *(ids[word] for word in line.split()), ids["</S>"]]
        with torch.no_grad():
            forward, backward = bilm(batch_to_ids([line.split()])).layers[-1][0][: len(words)].chunk(2, dim=1)
        logits = {"forward": forward[:-1] @ weight.T + bias, "backward": backward[1:] @ weight.T + bias}
        for direction, targets in (("forward", words[1:]), ("backward", words[:-1])):
            rows = torch.log_softmax(logits[direction], 1)
            losses[direction] += [-row[word] for row, word in zip(rows, targets, strict=True)]
    evaluation = _evaluate(elmo, texts[1])
    record = json.loads((elmo / "pretrain.json").read_text())
    for direction, values in losses.items():
        expected = float(torch.stack(values).mean().exp())
        assert getattr(evaluation, direction) == pytest.approx(expected, 1e-4)
        assert record["held_out_perplexity"][direction] == pytest.approx(expected, 1e-4)


@pytest.mark.slow
def test_compression_costs_perplexity(elmo: Path, texts: Texts) -> None:
    dense = _evaluate(elmo, texts[1])
    small, large = (
        _evaluate(elmo, texts[1], Compression(method="svd", rank=rank, targets="input+recurrent")) for rank in (1, 5)
    )
    assert small.forward > large.forward > 0.999 * dense.forward
    assert small.parameters < large.parameters < dense.parameters


@pytest.mark.slow
def test_a_saved_compressed_encoder_with_the_softmax_of_the_dense_one(elmo: Path, texts: Texts, tmp_path: Path) -> None:
    compression = Compression(method="svd", rank=4, targets="all")
    expected = _evaluate(elmo, texts[1], compression)
    Bilm.from_files(elmo / "options.json", elmo / "weights.hdf5", compression).save(tmp_path / "small")
    saved = _evaluate(tmp_path / "small", texts[1], None, elmo)
    assert (saved.forward, saved.backward) == pytest.approx((expected.forward, expected.backward), rel=1e-5)


def test_unknown_words_are_counted(elmo: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("red purple green\n")
    assert _evaluate(elmo, tmp_path / "text.txt").unknown == pytest.approx(1 / 3)


def _set(name: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with h5py.File(folder / "softmax.hdf5", "r+") as file:
            if name in file.attrs:
                file.attrs[name] = value
            else:
                del file[name]
                if value is not None:
                    file[name] = value

    return change


def _write(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "softmax.hdf5").unlink(), "softmax.hdf5: no such"),
        (_write("softmax.hdf5", "no"), "softmax.hdf5: .*HDF5"),
        (_set("kind", "hard"), "softmax.hdf5: kind: found 'hard'"),
        (_set("kind", "adaptive"), "softmax.hdf5: head.weight: missing"),
        (_set("dim", 9), "8 .* of 9"),
        (_set("bias", None), r"softmax.hdf5: bias: missing"),
        (_set("bias", [float("nan")] * 8), "softmax.hdf5: bias: found 8 values"),
        (
            _set("bias", [1] * 8),
            "softmax.hdf5: bias: found dtype int64",
        ),
        (_write("vocabulary.txt", "</S>\n<S>\n<UNK>\nred\n"), "softmax.hdf5: .*4 words"),
        (_write("vocabulary.txt", "<S>\nred\n"), "vocabulary.txt: .*</S>, <UNK>"),
        (_write("vocabulary.txt", "</S>\n<S>\n<UNK>\nred\nred\n"), "vocabulary.txt: line 5: found 'red'"),
    ],
)
def test_files_that_are_wrong(damage: Callable[[Path], None], message: str, elmo: Path, texts: Texts) -> None:
    damage(elmo)
    with pytest.raises(InputError, match=message) as error:
        _evaluate(elmo, texts[1])
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_the_command(elmo: Path, texts: Texts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--options", str(elmo / "options.json"), "--weights", str(elmo / "weights.hdf5")]
    assert main(["perplexity", str(texts[1]), *files, "--rank", "2", "--highway-rank", "1", "--json",
                 str(tmp_path / "it.json")]) == 0  # fmt: skip
    printed = capsys.readouterr().out.splitlines()
    stages = "perplexity, as it is", "perplexity, svd all rank 2 highways 1"
    dense, low = (printed[printed.index(stage) + 1] for stage in stages)
    assert dense.startswith("as it is: forward ") and low.startswith("svd all rank 2 highways 1: forward ")
    written = json.loads((tmp_path / "it.json").read_text())
    assert [one["encoder"] for one in written["perplexities"]] == ["as it is", "svd all rank 2 highways 1"]
    assert written["perplexities"][0]["forward"] == _evaluate(elmo, texts[1]).forward
    assert main(["perplexity", str(texts[1]), *files, "--highway-rank", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("highways 1: forward ")


def test_texts_from_a_pipe(elmo: Path, texts: Texts, tmp_path: Path) -> None:
    """The text is read once for both encoders, and the record has its hash."""
    files = ["--options", str(elmo / "options.json"), "--weights", str(elmo / "weights.hdf5")]
    with pipe_of(texts[1].read_bytes()) as pipe:
        assert main(["perplexity", str(pipe), *files, "--rank", "2", "--json", str(tmp_path / "it.json")]) == 0
    dense, low = json.loads((tmp_path / "it.json").read_text())["perplexities"]
    assert dense["words"] == low["words"] and dense["forward"] == _evaluate(elmo, texts[1]).forward
    assert dense["hashes"]["texts"] == low["hashes"]["texts"] == [file_hash(texts[1])]


@pytest.mark.parametrize("name", ["softmax.hdf5", "vocabulary.txt", "weights.hdf5"])
def test_no_input_is_replaced(name: str, elmo: Path, texts: Texts, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--options", str(elmo / "options.json"), "--weights", str(elmo / "weights.hdf5")]
    before = (elmo / name).read_bytes()
    assert main(["perplexity", str(texts[1]), *files, "--json", str(elmo / name)]) == 2
    assert "replace the input" in capsys.readouterr().err and (elmo / name).read_bytes() == before


@pytest.mark.slow
def test_the_embedded_elmo(capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded ELMo comes with its softmax, and better methods give a lower perplexity."""
    perplexities = []
    for method in ("svd", "whitened_svd"):
        assert main(["perplexity", str(ROOT / "elmo_mf/bilm/priming.txt"), "--rank", "32", "--method", method]) == 0
        perplexities += [float(x) for x in re.findall(r"forward (\S+),", capsys.readouterr().out)]
    dense, svd, again, whitened = perplexities
    assert dense == again < whitened < svd
