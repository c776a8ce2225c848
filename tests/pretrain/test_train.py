"""Pretraining learns, repeats itself, survives a cut, and exports what AllenNLP reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elmo_mf.bilm import Bilm
from elmo_mf.errors import InputError
from elmo_mf.pretrain.model import SOFTMAXES, SoftmaxKind
from elmo_mf.pretrain.train import CHECKPOINT, Progress, Settings, Trainer
from elmo_mf.provenance import file_hash

TINY = Settings(cell=16, projection=8, epochs=2, batch_tokens=128, min_count=1, learning_rate=0.01, dropout=0.1)


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    """A language in which each word but the first follows from the one before."""
    rng, words = np.random.default_rng(0), "red green blue black white".split()
    lines = []
    for _ in range(240):
        start, length = rng.integers(5), rng.integers(3, 9)
        lines.append(" ".join(words[(start + step) % 5] for step in range(length)))
    files = tmp_path / "train.txt", tmp_path / "valid.txt"
    for file, part in zip(files, (lines[:200], lines[200:]), strict=True):
        file.write_text("\n".join(part) + "\n")
    return files


def _trainer(texts: tuple[Path, Path], out: Path, settings: Settings = TINY) -> Trainer:
    return Trainer(*texts, out, settings)


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_learns(softmax: SoftmaxKind, texts: tuple[Path, Path], tmp_path: Path) -> None:
    record = _trainer(texts, tmp_path / "out", replace(TINY, softmax=softmax, epochs=24, learning_rate=0.02)).run()
    held_out = record["held_out_perplexity"]
    assert max(held_out.values()) < 0.75 * record["held_out_unigram_perplexity"]
    assert json.loads((tmp_path / "out" / "pretrain.json").read_text()) == record
    assert record["weights_sha256"] == file_hash(tmp_path / "out" / "weights.hdf5")
    assert record["command"].startswith("elmo-mf pretrain train.txt --valid valid.txt --out out --cell 16")
    assert set((tmp_path / "out" / "vocabulary.txt").read_text().split()[3:]) == set(
        "red green blue black white".split()
    )


def test_perplexity_is_that_of_the_exported_weights(texts: tuple[Path, Path], tmp_path: Path) -> None:
    """Recomputed sentence by sentence from the files alone, with the trained softmax."""
    trainer = _trainer(texts, tmp_path / "out", replace(TINY, softmax="full"))
    record = trainer.run()
    bilm = Bilm.from_files(tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5")
    ids, softmax = trainer.vocabulary.ids, trainer.model.softmax
    losses: dict[str, list[torch.Tensor]] = {"forward": [], "backward": []}
    for line in texts[1].read_text().splitlines():
        words = [ids["<S>"], *(ids[word] for word in line.split()), ids["</S>"]]
        with torch.no_grad():
            top = bilm(_characters([line.split()])).layers[-1][0]
            forward, backward = top[: len(words)].chunk(2, dim=1)
            weight, bias = softmax.weight, softmax.bias
            logits = torch.log_softmax(forward[:-1] @ weight.T + bias, 1), torch.log_softmax(
                backward[1:] @ weight.T + bias, 1
            )  # fmt: skip
        losses["forward"] += [-row[word] for row, word in zip(logits[0], words[1:], strict=True)]
        losses["backward"] += [-row[word] for row, word in zip(logits[1], words[:-1], strict=True)]
    for direction, values in losses.items():
        assert record["held_out_perplexity"][direction] == pytest.approx(float(torch.stack(values).mean().exp()), 1e-4)


def _characters(sentences: list[list[str]]) -> torch.Tensor:
    from elmo_mf.bilm.characters import batch_to_ids

    return batch_to_ids(sentences)


def _weights(folder: Path) -> bytes:
    return (folder / "weights.hdf5").read_bytes()


def test_the_same_command_gives_the_same_weights(texts: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        _trainer(texts, tmp_path / name).run()
    _trainer(texts, tmp_path / "c", replace(TINY, seed=14)).run()
    assert _same(tmp_path / "a", tmp_path / "b") and not _same(tmp_path / "a", tmp_path / "c")


def _same(one: Path, other: Path) -> bool:
    first, second = (Bilm.from_files(f / "options.json", f / "weights.hdf5").state_dict() for f in (one, other))
    return all(torch.equal(first[key], second[key]) for key in first)


class _Cut(Exception):
    pass


@pytest.mark.parametrize("at", [1, 5, 16])
def test_a_run_that_was_cut_continues_exactly(at: int, texts: tuple[Path, Path], tmp_path: Path) -> None:
    """Cut after a checkpoint at any step, dropout and all: the weights are those of an uncut run."""

    def cut(progress: Progress) -> None:
        if progress.step == at + 1:
            raise _Cut

    whole = _trainer(texts, tmp_path / "whole").run()
    with pytest.raises(_Cut):
        _trainer(texts, tmp_path / "cut").run(cut, checkpoint_seconds=0)
    resumed = _trainer(texts, tmp_path / "cut")
    assert resumed.step == at
    record = resumed.run()
    assert _same(tmp_path / "whole", tmp_path / "cut")
    assert record["held_out_perplexity"] == whole["held_out_perplexity"]
    assert record["perplexity_by_epoch"] == whole["perplexity_by_epoch"]


def test_a_folder_holds_one_run(texts: tuple[Path, Path], tmp_path: Path) -> None:
    _trainer(texts, tmp_path / "out").run()
    with pytest.raises(InputError, match=r"other settings \(cell 16, not 32\)"):
        _trainer(texts, tmp_path / "out", replace(TINY, cell=32))
    texts[0].write_text("another text\n" * 9)
    with pytest.raises(InputError, match="other train text"):
        _trainer(texts, tmp_path / "out")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"not a checkpoint"])
def test_a_broken_checkpoint(damage: Callable[[bytes], bytes], texts: tuple[Path, Path], tmp_path: Path) -> None:
    _trainer(texts, tmp_path / "out").run()
    path = tmp_path / "out" / CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="found an unreadable checkpoint") as error:
        _trainer(texts, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_allennlp_reads_the_export(texts: tuple[Path, Path], tmp_path: Path) -> None:
    from allennlp.modules.elmo import _ElmoBiLm

    _trainer(texts, tmp_path / "out", replace(TINY, dtype="float32")).run()
    files = tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5"
    theirs: Any = _ElmoBiLm(*map(str, files)).eval()
    ids = _characters([["red", "green", "purple"]])
    with torch.no_grad():
        expected = torch.stack(theirs(ids)["activations"])
        found = Bilm.from_files(*files)(ids).layers
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-6)


def test_the_embedded_weights_are_what_their_record_says() -> None:
    from elmo_mf.resources import demo_weights

    record = json.loads(demo_weights().with_name("pretrain.json").read_text())
    assert record["weights_sha256"] == file_hash(demo_weights())
    assert demo_weights().stat().st_size <= 8 * 2**20
    assert max(record["held_out_perplexity"].values()) < 0.3 * record["held_out_unigram_perplexity"]
