"""Real runs, trained by AllenNLP: records, determinism and shared work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from elmo_mf.bilm import Bilm
from elmo_mf.compression import size_report
from elmo_mf.experiments import Progress, workspace
from elmo_mf.provenance import file_hash
from elmo_mf.records import Compression
from elmo_mf.records.run import Run
from elmo_mf.records.store import RecordStore
from elmo_mf.tasks import SweepSpec, expand, load_task
from elmo_mf.tasks._measurement import execute
from tests.sweeps import SweepOutcome, SweepView, TinySweep, records_here, run_here, tiny_sweep_in
from tests.tasks.test_language_model import SMALL

pytestmark = pytest.mark.slow


class Recorded(NamedTuple):
    """A sweep of a dense and a compressed run that was executed."""

    spec: SweepSpec
    folder: Path
    records: list[dict[str, Any]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recorded]:
    """Provide a function that executes a task's sweep once for all tests that only read its records."""

    @cache
    def run(task: str) -> Recorded:
        folder = tmp_path_factory.mktemp(task)
        spec = tiny_sweep_in(folder)(tasks=[task], latency_sentences=3, cache_mb=100)
        return Recorded(spec, folder, records_here(spec, folder / "out"))

    return run


@pytest.mark.parametrize("task", ["sst", "snli", "squad"])
def test_records(task: str, recorded: Callable[[str], Recorded]) -> None:
    spec, tmp_path, (dense, compressed) = recorded(task)
    runs = expand(spec)
    assert [RecordStore(tmp_path / "out").has(run) for run in runs] == [True, True]
    assert set(compressed["scores"]) == set(load_task(runs[0].task).score.metrics)
    assert 0 <= compressed["scores"][runs[0].primary] <= 1 and 0 <= compressed["chance"] <= 1
    held_out = 20 if load_task(runs[0].task).shares_file else 40
    assert compressed["examples"] == dict.fromkeys(load_task(runs[0].task).files, held_out) | {"train": 40}
    assert compressed["epochs"] == 2 and compressed["best_epoch"] in (1, 2)

    expected = Bilm.from_files(spec.options, spec.weights, Compression(method="svd", rank=2, targets="input+recurrent"))
    report = size_report(expected.weights(), expected.options).to_dict()
    assert compressed["size"] == report and dense["size"]["lstm_ratio"] == 1
    for part in ("encoder", "model"):
        for batch in ("1", "32"):
            assert dense["latency"][part][batch]["speed_up"] == 1
            times = compressed["latency"][part][batch]
            assert 0 < times["median_ms"] <= times["p95_ms"] and times["speed_up"] > 0
            assert ("allennlp_speed_up" in times) == (part == "encoder")

    assert compressed["run"]["elmo"] == {"options": file_hash(spec.options), "weights": file_hash(spec.weights)}
    assert compressed["versions"]["allennlp"] == "2.10.1" and compressed["machine"]["threads"] == 1
    assert 0 < sum(compressed["phases"].values()) <= compressed["seconds"] + 0.1  # of rounding
    assert str(tmp_path) not in json.dumps([dense, compressed])
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"records", "cache"}


def test_the_same_command_gives_the_same_scores(
    recorded: Callable[[str], Recorded], tiny_sweep: TinySweep, tmp_path: Path
) -> None:
    """Scores do not depend on the number of workers."""
    first, second = recorded("sst").records, records_here(tiny_sweep(), tmp_path / "out", workers=2)
    assert [r["scores"] for r in first] == [r["scores"] for r in second]
    assert [r["validation"] for r in first] == [r["validation"] for r in second]


@pytest.mark.parametrize("task", ["sst", "snli", "squad"])
def test_shared_activations_change_no_score(
    task: str, recorded: Callable[[str], Recorded], tiny_sweep: TinySweep, tmp_path: Path
) -> None:
    assert list((recorded(task).folder / "out" / "cache" / "activations").iterdir())
    cached, plain = recorded(task).records, records_here(tiny_sweep(tasks=[task], cache_mb=0), tmp_path / "out")
    for one, other in zip(cached, plain, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], rel=1e-4)


def test_the_second_seed_runs_no_encoder(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """If an encoder's activations are stored, they are used for every sentence, even if they are wrong."""
    spec = tiny_sweep(seeds=[1, 2], methods=[], compressions=[])
    first, second = expand(spec)
    assert first.activations_id == second.activations_id
    records_here(tiny_sweep(seeds=[1], methods=[], compressions=[]), tmp_path / "out")
    (store,) = (tmp_path / "out" / "cache" / "activations").iterdir()
    before = (store / "vectors").read_bytes()
    expected = records_here(tiny_sweep(seeds=[2], methods=[], compressions=[]), tmp_path / "other")[0]["scores"]
    assert records_here(spec, tmp_path / "out")[1]["scores"] == expected
    assert (store / "vectors").read_bytes() == before

    true = records_here(tiny_sweep(seeds=[3], methods=[], compressions=[]), tmp_path / "other")[0]["scores"]
    (store / "vectors").write_bytes(bytes(len(before)))  # all zeros, which must change the score if they are used
    listed = json.loads((store / "contents.json").read_text())
    (store / "contents.json").write_text(json.dumps(listed | {"vectors": file_hash(store / "vectors")}))
    zeros = records_here(tiny_sweep(seeds=[3], methods=[], compressions=[]), tmp_path / "out")[0]["scores"]
    assert zeros["loss"] != pytest.approx(true["loss"], rel=1e-6)


@pytest.mark.parametrize("task", ["sst", "ptb"])
def test_damage_in_the_cache_changes_no_score(task: str, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Damage to any file of any kind, as after a power failure or a disk error, is repaired."""
    keys = {"tasks": [task], "methods": ["fisher_svd"], "targets": ["all"], "limit": 12}
    spec = tiny_sweep(**keys, overrides={"sst": {"trainer.num_epochs": 1}, "ptb": SMALL})
    output, expected = tmp_path / "out", _results(records_here(spec, tmp_path / "out"))
    files = sorted(path for path in (output / "cache").rglob("*") if path.is_file() and not path.name.startswith("."))
    kinds = {path.relative_to(output / "cache").parts[0] for path in files}
    assert kinds == (_ELMO_KINDS if task == "sst" else {"data", "facts", "language-models"})
    before = {path: path.read_bytes() for path in files}
    for number, path in enumerate(files):
        content = before[path]
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 1])
        path.write_bytes(bytes(len(content)) if number % 2 else content[:middle] + flipped + content[middle + 1 :])
    shutil.rmtree(output / "records")
    assert _results(records_here(spec, output)) == expected
    deterministic = [path for path in files if path.name in ("vectors", "facts.json", "weights.hdf5", "train.txt")]
    assert all(path.read_bytes() == before[path] for path in deterministic)


_ELMO_KINDS = {"models", "activations", "data", "encoders", "errors", "facts", "gradients"}


def _results(records: list[dict[str, Any]]) -> list[Any]:
    keys = ("scores", "validation", "activation_error", "examples", "chance", "size")
    return [[record[key] for key in keys] for record in records]


def test_an_encoder_that_is_trained_shares_nothing(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    path = "model.text_field_embedder.token_embedders.elmo_mf.requires_grad"
    spec = tiny_sweep(overrides={"sst": {"trainer.num_epochs": 1, path: True}}, methods=[])
    records_here(spec, tmp_path / "out")
    assert not (tmp_path / "out" / "cache" / "activations").exists()


def test_a_score_is_what_allennlp_evaluates(recorded: Callable[[str], Recorded], tmp_path: Path) -> None:
    """Training the run's config with the plain `allennlp` entry points gives the same numbers."""
    from allennlp.commands.evaluate import evaluate_from_archive
    from allennlp.commands.train import train_model
    from allennlp.common import Params
    from allennlp.common.plugins import import_plugins

    from elmo_mf.tasks._run_config import run_config

    spec, _, (_, record) = recorded("sst")
    run = expand(spec)[1]
    data = str(spec.data_of(load_task(run.task)))
    config = run_config(spec, load_task(run.task), run.seed, data, (spec.options, spec.weights))
    embedder = config["model"]["text_field_embedder"]["token_embedders"]["elmo_mf"]
    embedder["compression"] = run.identity.compression and run.identity.compression.to_dict()
    import_plugins()
    train_model(Params(config), str(tmp_path / "plain"))
    scores = evaluate_from_archive(tmp_path / "plain" / "model.tar.gz", f"{data}/{load_task(run.task).files['test']}")
    assert record["scores"] == pytest.approx({name: scores[name] for name in record["scores"]}, rel=1e-4)


def test_limits_cut_the_data(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep(limit={"train": 20, "test": 10}, ranks=[2])
    record = records_here(spec, tmp_path / "out")[0]
    assert record["examples"] == {"train": 20, "validation": 40, "test": 10}


class _Counting(SweepView):
    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self.counts: list[int] = []
        self.phases: list[str] = []

    def progress(self, run: Run, progress: Progress) -> None:
        self.phases += [progress.phase] if progress.phase not in self.phases else []

    def done(self, outcome: SweepOutcome) -> None:
        self.counts.append(len(self.store.records()))


def test_a_record_is_there_as_soon_as_its_run_is_done(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    counting = _Counting(RecordStore(tmp_path / "out"))
    run_here(tiny_sweep(latency_sentences=2), tmp_path / "out", view=counting)
    assert counting.counts == [1, 2]
    assert counting.phases == ["encoder", "data", "activations", "training", "scoring", "measuring"]


def test_progress_of_a_training(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Each batch reports the completed share, AllenNLP's loss and the metric of the last epoch."""
    spec = tiny_sweep(methods=[])
    reports: list[Progress] = []
    with workspace(tmp_path / "out", report=reports.append, report_seconds=0) as work:
        record = execute(spec, expand(spec)[0], work)
    training = [one for one in reports if one.phase == "training" and one.loss is not None]
    assert [one.share for one in training] == sorted(one.share for one in training)
    assert 0 < training[0].share <= 0.5 < training[-1].share <= 1
    assert all(0 < (one.loss or 0) < 5 for one in training)
    assert training[0].metric is None and training[-1].metric is not None
    assert 0 <= training[-1].metric <= record.validation["accuracy"]
