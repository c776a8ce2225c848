"""Tests that pretraining learns, is reproducible, survives interruptions, and exports files that AllenNLP reads."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import pytest
import torch

from elmo_mf.bilm import Bilm, read_weights
from elmo_mf.bilm.weights import Factors
from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from elmo_mf.io import exclusive
from elmo_mf.pretrain import PretrainSettings, StepMetrics, Trainer
from elmo_mf.pretrain._command import command_line
from elmo_mf.pretrain._train import CHECKPOINT
from elmo_mf.pretrain.settings import SOFTMAXES, Mixed, SoftmaxKind
from elmo_mf.provenance import file_hash
from elmo_mf.resources import share
from elmo_mf.storage.resumable import load_state, save_state
from elmo_mf.trackers import tracker_named
from tests.conftest import pipe_of, raw_options, stages_call
from tests.gpu import needs_gpu, on_each_device
from tests.pretrain.conftest import TINY, Texts, replace, trainer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_learns(softmax: SoftmaxKind, texts: Texts, tmp_path: Path) -> None:
    record = trainer(texts, tmp_path / "out", replace(TINY, softmax=softmax, epochs=8, learning_rate=0.02)).run()
    held_out = record.held_out_perplexity
    assert max(held_out.forward, held_out.backward) < 0.75 * record.held_out_unigram_perplexity
    assert json.loads((tmp_path / "out" / "pretrain.json").read_text()) == record.to_dict()
    assert record.weights_sha256 == file_hash(tmp_path / "out" / "weights.hdf5")
    assert record.command.startswith("elmo-mf pretrain train.txt --valid valid.txt --out out --options options.json")
    assert set((tmp_path / "out" / "vocabulary.txt").read_text().split()[3:]) == set(
        "red green blue black white".split()
    )


def test_stages_before_the_first_step(texts: Texts, tmp_path: Path) -> None:
    begun: list[str] = []
    with stages_call(begun=begun.append):
        trainer(texts, tmp_path / "out")
    assert begun == ["reading", "reading", "word ids", "word ids", "counting batches"]


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
    """A run that is interrupted after a checkpoint, with dropout, gives the weights of an uninterrupted run."""
    settings = replace(TINY, **changes)

    def cut(progress: StepMetrics) -> None:
        if progress.step == at + 1:
            raise _Cut

    whole = trainer(texts, tmp_path / "whole", settings, device).run()
    with pytest.raises(_Cut):
        trainer(texts, tmp_path / "cut", settings, device).run(cut, checkpoint_seconds=0)
    resumed = trainer(texts, tmp_path / "cut", settings, device)
    assert resumed.step == at
    record = resumed.run()
    assert _same(tmp_path / "whole", tmp_path / "cut")
    assert record.held_out_perplexity == whole.held_out_perplexity
    assert record.perplexity_by_epoch == whole.perplexity_by_epoch


def test_accumulated_batches_are_one_large_batch(texts: Texts, tmp_path: Path) -> None:
    """Without dropout, the gradients of several batches add up to those of the joined batch."""
    settings = replace(TINY, epochs=1, dropout=0.0, softmax="full")
    first, second = trainer(texts, tmp_path / "a", settings), trainer(texts, tmp_path / "b", settings)
    batches = list(first.train_corpus.batches(128, None))[:3]
    rows = [row for batch in batches for row in zip(batch.types, batch.words, batch.lengths, strict=True)]
    width = max(int(length) for *_, length in rows)

    def padded(ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(ids, (0, width - len(ids)))

    whole = type(batches[0])(
        torch.stack([padded(types) for types, _, _ in rows]),
        torch.stack([padded(words) for _, words, _ in rows]),
        torch.stack([length for *_, length in rows]),
        torch.cat([batch.rows for batch in batches]),
    )
    split, joined = first._train_step(batches), second._train_step([whole])
    assert split.perplexity == pytest.approx(joined.perplexity, rel=1e-5)
    for one, two in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert one.grad is not None and two.grad is not None
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-3, atol=1e-6)


def test_stateful_sentences_start_where_the_last_ended(texts: Texts, tmp_path: Path) -> None:
    """Words continue from line to line, so a carried state predicts the first word of the next line."""
    lines, words = [], "red green blue black white".split()
    for index in range(240):
        lines.append(" ".join(words[(3 * index + step) % 5] for step in range(3)))
    texts[0].write_text("\n".join(lines) + "\n")
    perplexity = {}
    for stateful in (False, True):
        settings = replace(
            TINY, stateful=stateful, dropout=0.0, epochs=10, learning_rate=0.05, batch_tokens=64, softmax="full"
        )
        seen: list[StepMetrics] = []
        trainer(texts, tmp_path / str(stateful), settings).run(seen.append)
        perplexity[stateful] = geometric_mean(step.perplexity for step in seen[-10:])  # a single batch is noisy
    assert perplexity[True] - 1 < 0.5 * (perplexity[False] - 1), perplexity


def test_early_stop_exports_the_best_epoch(texts: Texts, tmp_path: Path) -> None:
    """Held-out text of another language does not become likelier while the model memorizes its training text."""
    texts[1].write_text("white black blue green red\n" * 20)
    settings = replace(
        TINY, epochs=60, patience=2, learning_rate=0.03, schedule="constant", softmax="full", dtype="float32"
    )
    record = trainer(texts, tmp_path / "out", settings).run()
    means = [epoch.forward * epoch.backward for epoch in record.perplexity_by_epoch]
    best = means.index(min(means))
    assert len(means) == best + 3 < 60
    exported = record.held_out_perplexity
    assert exported.forward == pytest.approx(record.perplexity_by_epoch[best].forward, rel=1e-5)


def test_low_rank_from_the_start(texts: Texts, tmp_path: Path) -> None:
    """Factors are trained and stored as factors."""
    compression = {"method": "svd", "rank": 3, "targets": "input+recurrent"}
    settings = replace(TINY, compression=compression, softmax="full", epochs=8, learning_rate=0.04)
    record = trainer(texts, tmp_path / "out", settings).run()
    held_out = record.held_out_perplexity
    assert max(held_out.forward, held_out.backward) < 0.75 * record.held_out_unigram_perplexity
    assert "--targets input+recurrent --rank 3" in record.command
    bilm = Bilm.from_files(tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5")
    for lstm in read_weights(tmp_path / "out" / "weights.hdf5", bilm.options).lstms.values():
        assert all(isinstance(lstm.matrices[t], Factors) for t in ("input", "recurrent"))
        assert not isinstance(lstm.matrices["projection"], Factors)


def test_sizes_from_an_options_file(texts: Texts, tmp_path: Path) -> None:
    architecture = raw_options(dim=24, n_layers=1)
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
    full, perplexity = replace(TINY, epochs=4, learning_rate=0.03), []
    for settings in (full, replace(full, mixed=mixed)):
        record = trainer(texts, tmp_path / settings.mixed, settings, device).run()
        perplexity.append(record.held_out_perplexity.forward)
    assert perplexity[0] != perplexity[1] == pytest.approx(perplexity[0], rel=0.05)


def test_logs_of_a_tracker(texts: Texts, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "tensorboard" / "out"
    for _ in range(2):  # the second finds it finished
        run = trainer(texts, tmp_path / "out", replace(TINY, epochs=3))
        run.run(tracker=tracker_named("tensorboard", tmp_path / "out"))
        (events,) = folder.glob("events.*")
        content = events.read_bytes()
        for name in (b"train/perplexity", b"train/learning_rate", b"held_out/forward", b"held_out/backward", b"epochs"):
            assert name in content
        assert (folder / "finished.txt").exists()


def test_several_texts_are_one(texts: Texts, tmp_path: Path) -> None:
    lines = texts[0].read_text().splitlines(keepends=True)
    parts = [tmp_path / "one.txt", tmp_path / "two.txt"]
    parts[0].write_text("".join(lines[:70]))
    parts[1].write_text("".join(lines[70:]))
    trainer(texts, tmp_path / "whole").run()
    record = Trainer(parts, [texts[1]], tmp_path / "parts", TINY).run()
    assert _same(tmp_path / "whole", tmp_path / "parts")
    assert record.train_sha256 == [file_hash(part) for part in parts]


def test_the_command_that_repeats_a_run() -> None:
    compression = {"method": "svd", "budget": {"share": 0.1}, "targets": ["joint"]}
    settings = PretrainSettings(compression=compression, stateful=True)
    line = command_line([Path("a/b.txt"), Path("c.txt")], [Path("v.txt")], Path("x/out"), settings)
    assert line.startswith("elmo-mf pretrain b.txt c.txt --valid v.txt --out out --cell 512")
    assert line.endswith("--stateful --mixed none --targets joint --budget 10%")


def test_a_folder_holds_one_run(texts: Texts, tmp_path: Path) -> None:
    trainer(texts, tmp_path / "out").run()
    with pytest.raises(InputError, match=r"cell 16, not 32"):
        trainer(texts, tmp_path / "out", replace(TINY, cell=32))
    texts[0].write_text("another text\n" * 9)
    with pytest.raises(InputError, match="other train text"):
        trainer(texts, tmp_path / "out")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"not a checkpoint"])
def test_a_broken_checkpoint(damage: Callable[[bytes], bytes], texts: Texts, tmp_path: Path) -> None:
    trainer(texts, tmp_path / "out").run()
    path = tmp_path / "out" / CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="unreadable checkpoint") as error:
        trainer(texts, tmp_path / "out")
    assert "\n" not in str(error.value)


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths to all values in a state."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _nodes(child, (*path, key))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _nodes(child, (*path, index))


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy with another value, or none, at a path."""
    first, *rest = path
    if isinstance(value, dict):
        copy = dict(value)
        copy[first] = _changed(value[first], tuple(rest), new) if rest else new
        return {key: child for key, child in copy.items() if child is not _GONE}
    items = list(value)
    items[first] = _changed(value[first], tuple(rest), new) if rest else new
    return type(value)(item for item in items if item is not _GONE)


_GONE = object()
STRANGE = [
    _GONE,
    None,
    "x",
    10**30,
    float("nan"),
    -1,
    [],
    {"a": 1},
    torch.zeros(3),
    torch.zeros(2, 2, dtype=torch.long),
]


@pytest.mark.parametrize("changes", [{}, {"stateful": True, "patience": 3, "schedule": "linear", "softmax": "full"}])
def test_whatever_a_checkpoint_holds_is_accepted_or_refused_in_one_line(
    changes: dict[str, Any], texts: Texts, tmp_path: Path
) -> None:
    """Each part of a checkpoint is replaced or removed; a rejected checkpoint leaves the run unchanged."""

    def cut(progress: StepMetrics) -> None:
        if progress.step == 16:
            raise _Cut

    settings, path = replace(TINY, **changes), tmp_path / "out" / CHECKPOINT
    with pytest.raises(_Cut):
        trainer(texts, tmp_path / "out", settings).run(cut, checkpoint_seconds=0)
    run = trainer(texts, tmp_path / "other", settings)
    fresh = {name: value.clone() for name, value in run.model.state_dict().items()}
    good = load_state(path, run.identity)
    assert good is not None and good["history"] and good["optimizer"]["state"]
    places = [place for place in _nodes(good) if place[0] != "identity"]
    places = [place for place in places if place[:2] != ("optimizer", "state") or place[2:3] in ((), (0,))]
    rng, refused = random.Random(0), 0
    for place in places:
        for new in rng.sample(STRANGE, 3):
            run.model.load_state_dict(fresh)
            run.scheduler.last_epoch = 0
            try:
                run.restore(_changed(good, place, new))
            except InputError as error:
                refused += 1
                assert re.match(r"\S+checkpoint.pt: [^\n]+$", str(error))
                assert run.scheduler.last_epoch == 0, place
                assert all(torch.equal(value, fresh[name]) for name, value in run.model.state_dict().items()), place
    assert refused > 2.5 * len(places)  # some changes have no effect


@pytest.mark.parametrize("name", ["step", "history", "numpy_rng", "rng"])
def test_values_out_of_range(name: str, texts: Texts, tmp_path: Path) -> None:
    wrong = {
        "step": 10**6,
        "history": [{"epoch": 2, "forward": 2.0, "backward": 2.0}],
        "numpy_rng": ["MT19937", torch.zeros(624, dtype=torch.int64) - 1, 1000.0, 0.0, 0.0],
        "rng": torch.get_rng_state() * 0 + 255,
    }
    run = trainer(texts, tmp_path / "out")
    run.save_checkpoint()
    good = load_state(tmp_path / "out" / CHECKPOINT, run.identity)
    assert good is not None
    save_state(tmp_path / "out" / CHECKPOINT, good.pop("identity"), good | {name: wrong[name]})
    with pytest.raises(InputError, match="other content"):
        trainer(texts, tmp_path / "out")


def test_zeros_in_a_checkpoint_are_noticed(texts: Texts, tmp_path: Path) -> None:
    """A power failure can leave zeros in a file, also within the values of a tensor."""
    trainer(texts, tmp_path / "out").save_checkpoint()
    path = tmp_path / "out" / CHECKPOINT
    content = path.read_bytes()
    for start in range(0, len(content) - 512, max(512, len(content) // 10)):
        if content[start : start + 512].count(0) < 400:
            path.write_bytes(content[:start] + bytes(512) + content[start + 512 :])
            with pytest.raises(InputError, match=r"unreadable checkpoint|other content"):
                trainer(texts, tmp_path / "out")


@pytest.mark.parametrize("what", ["loss", "gradients"])
def test_a_loss_that_is_not_finite_stops_the_run(
    what: str, texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(texts, tmp_path / "out")
    good: list[dict[str, torch.Tensor]] = []

    def spoil(progress: StepMetrics) -> None:
        if progress.step == 4:
            run.save_checkpoint()
            good.append({name: value.clone() for name, value in run.model.state_dict().items()})
            if what == "loss":
                next(run.model.softmax.parameters()).data.fill_(float("nan"))
            else:
                first: Any = next(run.model.parameters())
                first.register_hook(lambda gradient: gradient * float("inf"))

    with pytest.raises(InputError) as error:
        run.run(spoil)
    message = str(error.value)
    assert message.startswith(f"step 5 of {run.steps}: {'loss' if what == 'loss' else 'norm of the gradients'}: found ")
    assert "try a learning rate below 0.01" in message and message.endswith("checkpoint.pt has step 4")
    again = trainer(texts, tmp_path / "out")
    assert again.step == 4 and all(
        torch.equal(value, good[0][name]) for name, value in again.model.state_dict().items()
    )
    assert not (tmp_path / "out" / "weights.hdf5").exists()


def test_weights_that_are_not_finite_are_not_saved(texts: Texts, tmp_path: Path) -> None:
    run = trainer(texts, tmp_path / "out")
    run.save_checkpoint()
    kept = (tmp_path / "out" / CHECKPOINT).read_bytes()
    next(run.model.parameters()).data.fill_(float("inf"))
    with pytest.raises(InputError, match="largest weight: found inf"):
        run.save_checkpoint()
    assert (tmp_path / "out" / CHECKPOINT).read_bytes() == kept


COMMAND = ["--cell", "16", "--projection", "8", "--epochs", "1", "--min-count", "1", "--batch-tokens", "128"]


def test_the_result_appears_together(texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the last step of the export fails, no partial result appears."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    command = ["pretrain", str(texts[0]), "--valid", str(texts[1]), "--out", str(out), *COMMAND]
    with monkeypatch.context() as patch:
        patch.setattr("elmo_mf.compression.write_pretrained_card", full)
        assert main(command) == 2
    assert {path.name for path in out.iterdir()} == {CHECKPOINT}
    assert main(command) == 0
    names = ["options.json", "weights.hdf5", "softmax.hdf5", "vocabulary.txt", "pretrain.json", "MODEL_CARD.md"]
    assert {path.name for path in out.iterdir()} == {CHECKPOINT, *names}


def test_the_command_reports_what_it_resumes(texts: Texts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["pretrain", str(texts[0]), "--valid", str(texts[1]), "--out", str(out), *COMMAND]
    assert main(command) == 0 and "resuming" not in capsys.readouterr().out
    assert main(command) == 0
    steps = trainer(texts, tmp_path / "other", replace(TINY, epochs=1)).steps
    assert f"resuming the run in {out}: epoch 1 of 1, {steps} of {steps} steps done" in capsys.readouterr().out
    with exclusive(out, "a run"):
        assert main(command) == 2
    assert "another process is writing the run" in capsys.readouterr().err


def test_no_room(
    texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert main(["pretrain", str(texts[0]), "--valid", str(texts[1]), "--out", str(tmp_path / "out"), *COMMAND]) == 2
    assert "--out: found 0.0 MB free" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_resumed_run_needs_less_room(texts: Texts, tmp_path: Path) -> None:
    """A checkpoint takes half of the space that a new run requires, and must not prevent its own resumption."""
    run = trainer(texts, tmp_path / "out")
    run._train_step(next(run._steps_of(0)))
    run.save_checkpoint()
    size = (tmp_path / "out" / CHECKPOINT).stat().st_size
    fresh, resumed = trainer(texts, tmp_path / "new").size(), trainer(texts, tmp_path / "out").size()
    assert fresh - size <= resumed <= size


@pytest.mark.parametrize("path", ["/proc/none", "{text}", "{text}/out"])
def test_outputs_that_cannot_be_written(
    path: str, texts: Texts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("elmo_mf.pretrain.Trainer", None)  # before anything is read
    out = path.format(text=texts[0])
    assert main(["pretrain", str(texts[0]), "--valid", str(texts[1]), "--out", out, *COMMAND]) == 2
    error = capsys.readouterr().err
    assert "--out: found" in error and error.count("\n") == 1


def test_texts_from_a_pipe(texts: Texts, tmp_path: Path) -> None:
    """The text is read once, and the record has its hash."""
    with pipe_of(texts[1].read_bytes()) as pipe:
        record = Trainer([texts[0]], [pipe], tmp_path / "out", TINY).run()
    assert record.valid_sha256 == [file_hash(texts[1])]
    trainer(texts, tmp_path / "files").run()
    assert _same(tmp_path / "out", tmp_path / "files")


def test_allennlp_reads_the_export(texts: Texts, tmp_path: Path) -> None:
    from allennlp.modules.elmo import _ElmoBiLm

    from elmo_mf.bilm.characters import batch_to_ids

    trainer(texts, tmp_path / "out", replace(TINY, dtype="float32", learning_rate=0.003)).run()
    files = tmp_path / "out" / "options.json", tmp_path / "out" / "weights.hdf5"
    theirs: Any = _ElmoBiLm(*map(str, files)).eval()
    ids = batch_to_ids([["red", "green", "purple"]])
    with torch.no_grad():
        expected = torch.stack(theirs(ids)["activations"])
        layers = Bilm.from_files(*files)(ids).layers
    torch.testing.assert_close(layers, expected, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("name", ["demo", "base"])
def test_the_embedded_weights_are_what_their_record_says(name: str) -> None:
    folder = share() / "weights" / name
    record = json.loads((folder / "pretrain.json").read_text())
    assert record["weights_sha256"] == file_hash(folder / "weights.hdf5")
    assert "softmax_sha256" not in record or record["softmax_sha256"] == file_hash(folder / "softmax.hdf5")
    assert all(path.stat().st_size <= 8 * 2**20 for path in folder.iterdir())
    assert max(record["held_out_perplexity"].values()) < 0.3 * record["held_out_unigram_perplexity"]
