"""Pretraining learns, repeats itself, survives a cut, and exports what AllenNLP reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import pytest
import torch

from elmo_mf.bilm import Bilm, read_weights
from elmo_mf.bilm.weights import Factors
from elmo_mf.errors import InputError
from elmo_mf.pretrain.command import command_line
from elmo_mf.pretrain.progress import Progress
from elmo_mf.pretrain.settings import Mixed, Settings
from elmo_mf.pretrain.softmax import SOFTMAXES, SoftmaxKind
from elmo_mf.pretrain.train import CHECKPOINT, Trainer
from elmo_mf.provenance import file_hash
from elmo_mf.resources import share
from tests.gpu import needs_gpu, on_each_device
from tests.pretrain.conftest import TINY, Texts, trainer


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_learns(softmax: SoftmaxKind, texts: Texts, tmp_path: Path) -> None:
    record = trainer(texts, tmp_path / "out", replace(TINY, softmax=softmax, epochs=24, learning_rate=0.02)).run()
    held_out = record["held_out_perplexity"]
    assert max(held_out.values()) < 0.75 * record["held_out_unigram_perplexity"]
    assert json.loads((tmp_path / "out" / "pretrain.json").read_text()) == record
    assert record["weights_sha256"] == file_hash(tmp_path / "out" / "weights.hdf5")
    assert record["command"].startswith("elmo-mf pretrain train.txt --valid valid.txt --out out --cell 16")
    assert set((tmp_path / "out" / "vocabulary.txt").read_text().split()[3:]) == set(
        "red green blue black white".split()
    )


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return Bilm.from_files(folder / "options.json", folder / "weights.hdf5").state_dict()


def _same(one: Path, other: Path) -> bool:
    first, second = _weights(one), _weights(other)
    return all(torch.equal(first[key], second[key]) for key in first)


@on_each_device
def test_the_same_command_gives_the_same_weights(device: str, texts: Texts, tmp_path: Path) -> None:
    for name in ("a", "b"):
        trainer(texts, tmp_path / name, device=device).run()
    trainer(texts, tmp_path / "c", replace(TINY, seed=14), device).run()
    assert _same(tmp_path / "a", tmp_path / "b") and not _same(tmp_path / "a", tmp_path / "c")


class _Cut(Exception):
    pass


MANY: dict[str, Any] = {"accumulate": 2, "schedule": "cosine", "softmax": "sampled", "patience": 5}


CUTS: list[tuple[int, dict[str, Any]]] = [
    (1, {}),
    (5, {}),
    (16, {}),
    (3, {"stateful": True}),
    (14, {"stateful": True, "mixed": "bfloat16"}),
    (2, MANY),
    (9, MANY),
]


@pytest.mark.parametrize(
    ("device", "at", "changes"),
    [
        *(("cpu", *cut) for cut in CUTS),
        *(pytest.param("cuda", *cut, marks=needs_gpu) for cut in (*CUTS, (7, {"mixed": "float16"}))),
    ],
)
def test_a_run_that_was_cut_continues_exactly(
    device: str, at: int, changes: dict[str, Any], texts: Texts, tmp_path: Path
) -> None:
    """Cut after a checkpoint at any step, dropout and all: the weights are those of an uncut run."""
    settings = replace(TINY, **changes)

    def cut(progress: Progress) -> None:
        if progress.step == at + 1:
            raise _Cut

    whole = trainer(texts, tmp_path / "whole", settings, device).run()
    with pytest.raises(_Cut):
        trainer(texts, tmp_path / "cut", settings, device).run(cut, checkpoint_seconds=0)
    resumed = trainer(texts, tmp_path / "cut", settings, device)
    assert resumed.step == at
    record = resumed.run()
    assert _same(tmp_path / "whole", tmp_path / "cut")
    assert record["held_out_perplexity"] == whole["held_out_perplexity"]
    assert record["perplexity_by_epoch"] == whole["perplexity_by_epoch"]


def test_accumulated_batches_are_one_large_batch(texts: Texts, tmp_path: Path) -> None:
    """In the text's order, without dropout: gradients of the parts add up to those of the whole."""
    settings = replace(TINY, epochs=1, dropout=0.0, softmax="full")
    own, other = trainer(texts, tmp_path / "a", settings), trainer(texts, tmp_path / "b", settings)
    batches = list(own.train_corpus.batches(128, None))[:3]
    rows = [row for batch in batches for row in zip(batch.types, batch.words, batch.lengths, strict=True)]
    width = max(int(length) for *_, length in rows)

    def padded(ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(ids, (0, width - len(ids)))

    whole = type(batches[0])(
        torch.stack([padded(types) for types, _, _ in rows]),
        torch.stack([padded(words) for _, words, _ in rows]),
        torch.stack([length for *_, length in rows]),
    )
    split, joined = own._train_step(batches), other._train_step([whole])
    assert split.perplexity == pytest.approx(joined.perplexity, rel=1e-5)
    for one, two in zip(own.model.parameters(), other.model.parameters(), strict=True):
        assert one.grad is not None and two.grad is not None
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-3, atol=1e-6)


def test_stateful_sentences_start_where_the_last_ended(texts: Texts, tmp_path: Path) -> None:
    """The words run on from line to line, so that a state that is carried knows what the next line begins with."""
    lines, words = [], "red green blue black white".split()
    for index in range(240):
        lines.append(" ".join(words[(3 * index + step) % 5] for step in range(3)))
    texts[0].write_text("\n".join(lines) + "\n")
    perplexity = {}
    for stateful in (False, True):
        settings = replace(
            TINY, stateful=stateful, dropout=0.0, epochs=20, learning_rate=0.01, batch_tokens=64, softmax="full"
        )
        seen: list[Progress] = []
        trainer(texts, tmp_path / str(stateful), settings).run(seen.append)
        perplexity[stateful] = geometric_mean(step.perplexity for step in seen[-10:])  # one batch alone is noise
    assert perplexity[True] - 1 < 0.5 * (perplexity[False] - 1), perplexity


def test_early_stop_exports_the_best_epoch(texts: Texts, tmp_path: Path) -> None:
    """Held-out text of another language gets no likelier while the model learns its own by heart."""
    texts[1].write_text("white black blue green red\n" * 20)
    settings = replace(TINY, epochs=60, patience=2, learning_rate=0.03, schedule="constant", softmax="full")
    record = trainer(texts, tmp_path / "out", settings).run()
    means = [epoch["forward"] * epoch["backward"] for epoch in record["perplexity_by_epoch"]]
    best = means.index(min(means))
    assert len(means) == best + 3 < 60
    exported = record["held_out_perplexity"]
    assert exported["forward"] == pytest.approx(record["perplexity_by_epoch"][best]["forward"], rel=1e-2)


def test_low_rank_from_the_start(texts: Texts, tmp_path: Path) -> None:
    """Factors are trained as factors, and stored as such."""
    compression = {"method": "svd", "rank": 3, "targets": "input+recurrent"}
    settings = replace(TINY, compression=compression, epochs=24, learning_rate=0.02)
    record = trainer(texts, tmp_path / "out", settings).run()
    assert max(record["held_out_perplexity"].values()) < 0.75 * record["held_out_unigram_perplexity"]
    assert "--targets input+recurrent --rank 3" in record["command"]
    bilm = Bilm.from_files(tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5")
    for lstm in read_weights(tmp_path / "out" / "weights.hdf5", bilm.options).lstms.values():
        assert all(isinstance(lstm.matrices[t], Factors) for t in ("input", "recurrent"))
        assert not isinstance(lstm.matrices["projection"], Factors)


def test_sizes_from_an_options_file(texts: Texts, tmp_path: Path) -> None:
    architecture = replace(TINY, cell=24, layers=1).options().to_dict()
    trainer(texts, tmp_path / "out", replace(TINY, epochs=1, architecture=architecture)).run()
    bilm = Bilm.from_files(tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5")
    assert (bilm.options.lstm.dim, bilm.options.lstm.n_layers) == (24, 1)


@pytest.mark.parametrize(
    ("device", "mixed"),
    [("cpu", "bfloat16"), *(pytest.param("cuda", mixed, marks=needs_gpu) for mixed in ("bfloat16", "float16"))],
)
def test_mixed_precision_learns_what_full_precision_does(
    device: str, mixed: Mixed, texts: Texts, tmp_path: Path
) -> None:
    settings, found = replace(TINY, epochs=4, learning_rate=0.03), []
    for own in (settings, replace(settings, mixed=mixed)):
        record = trainer(texts, tmp_path / own.mixed, own, device).run()
        found.append(record["held_out_perplexity"]["forward"])
    assert found[0] != found[1] == pytest.approx(found[0], rel=0.1)


def test_tensorboard_logs(texts: Texts, tmp_path: Path) -> None:
    trainer(texts, tmp_path / "out", replace(TINY, epochs=3)).run(tensorboard=True)
    (events,) = (tmp_path / "out" / "tensorboard").iterdir()
    content = events.read_bytes()
    for name in (b"train/perplexity", b"train/learning_rate", b"held_out/forward", b"held_out/backward"):
        assert name in content


def test_several_texts_are_one(texts: Texts, tmp_path: Path) -> None:
    lines = texts[0].read_text().splitlines(keepends=True)
    parts = [tmp_path / "one.txt", tmp_path / "two.txt"]
    parts[0].write_text("".join(lines[:70]))
    parts[1].write_text("".join(lines[70:]))
    trainer(texts, tmp_path / "whole").run()
    record = Trainer(parts, [texts[1]], tmp_path / "parts", TINY).run()
    assert _same(tmp_path / "whole", tmp_path / "parts")
    assert record["train_sha256"] == [file_hash(part) for part in parts]


def test_the_command_that_repeats_a_run() -> None:
    compression = {"method": "svd", "budget": {"share": 0.1}, "targets": ["joint"]}
    settings = Settings(compression=compression, stateful=True)
    line = command_line([Path("a/b.txt"), Path("c.txt")], [Path("v.txt")], Path("x/out"), settings)
    assert line.startswith("elmo-mf pretrain b.txt c.txt --valid v.txt --out out --cell 512")
    assert line.endswith("--stateful --mixed none --targets joint --budget 10%")


def test_a_folder_holds_one_run(texts: Texts, tmp_path: Path) -> None:
    trainer(texts, tmp_path / "out").run()
    with pytest.raises(InputError, match=r"other settings \(cell 16, not 32\)"):
        trainer(texts, tmp_path / "out", replace(TINY, cell=32))
    texts[0].write_text("another text\n" * 9)
    with pytest.raises(InputError, match="other train text"):
        trainer(texts, tmp_path / "out")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"not a checkpoint"])
def test_a_broken_checkpoint(damage: Callable[[bytes], bytes], texts: Texts, tmp_path: Path) -> None:
    trainer(texts, tmp_path / "out").run()
    path = tmp_path / "out" / CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="found an unreadable checkpoint") as error:
        trainer(texts, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_allennlp_reads_the_export(texts: Texts, tmp_path: Path) -> None:
    from allennlp.modules.elmo import _ElmoBiLm

    from elmo_mf.bilm.characters import batch_to_ids

    trainer(texts, tmp_path / "out", replace(TINY, dtype="float32", learning_rate=0.003)).run()
    files = tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5"
    theirs: Any = _ElmoBiLm(*map(str, files)).eval()
    ids = batch_to_ids([["red", "green", "purple"]])
    with torch.no_grad():
        expected = torch.stack(theirs(ids)["activations"])
        found = Bilm.from_files(*files)(ids).layers
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("name", ["demo", "base"])
def test_the_embedded_weights_are_what_their_record_says(name: str) -> None:
    folder = share() / "weights" / name
    record = json.loads((folder / "pretrain.json").read_text())
    assert record["weights_sha256"] == file_hash(folder / "weights.hdf5")
    assert "softmax_sha256" not in record or record["softmax_sha256"] == file_hash(folder / "softmax.hdf5")
    assert all(path.stat().st_size <= 8 * 2**20 for path in folder.iterdir())
    assert max(record["held_out_perplexity"].values()) < 0.3 * record["held_out_unigram_perplexity"]
