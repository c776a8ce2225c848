"""The views of an encoder, by when its task's model is trained; and trainings that fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elmo_mf.errors import InputError
from elmo_mf.experiments import workspace
from elmo_mf.records import RecordStore
from elmo_mf.records.outputs import SplitOutputs
from elmo_mf.tasks import expand, load_task
from elmo_mf.tasks._measurement import execute
from elmo_mf.tasks._model_outputs import has_collapsed
from tests.conftest import random_bilm, small_data
from tests.sweeps import TinySweep, records_here

pytestmark = pytest.mark.slow


def test_a_swapped_encoder_meets_the_model_of_the_dense_one(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """On SQuAD, whose examples are clustered as well as scored."""
    task, views = "squad", ["retrained", "swapped", "tuned"]
    spec = tiny_sweep(tasks=[task], views=views, precisions=["bfloat16"], cache_mb=100)
    runs = expand(spec)
    names = [(run.identity.view, str(run.retrained())) for run in runs]
    records = dict(zip(names, records_here(spec, tmp_path / "out"), strict=True))
    assert len({str(run) for run in runs}) == len(runs)
    assert len(records) == 3 * 3
    (dense, *others) = dict.fromkeys(str(run.retrained()) for run in runs)
    for field in ("scores", "validation", "best_epoch", "epochs"):
        assert records["swapped", dense][field] == pytest.approx(records["retrained", dense][field], rel=1e-6)
    assert records["tuned", dense]["epochs"] == records["retrained", dense]["epochs"] + 1
    assert records["tuned", dense]["scores"]["loss"] != records["swapped", dense]["scores"]["loss"]
    for other in others:
        assert records["swapped", other]["scores"]["loss"] != records["swapped", dense]["scores"]["loss"]
        assert records["swapped", other]["scores"]["loss"] != records["retrained", other]["scores"]["loss"]
    assert len(list((tmp_path / "out" / "cache" / "models").glob("[!.]*"))) == 1  # trained once

    store, primary, split = RecordStore(tmp_path / "out"), runs[0].primary, load_task(task).score.split
    for run in runs:
        record = store.read(run)
        assert record is not None
        outputs = store.outputs(record)
        assert outputs is not None and {split, "validation"} == set(outputs.splits)
        assert outputs.splits[split].score.mean() == pytest.approx(record.scores[primary], abs=1e-6)
        assert outputs.splits["validation"].score.mean() == pytest.approx(record.validation[primary], abs=1e-6)
        examples = load_task(task).format.read(tmp_path / "data" / task / "dev.json")
        titles = list(dict.fromkeys(example.raw[0] for example in examples))[1::2]
        expected = [titles.index(example.raw[0]) for example in examples if example.raw[0] in titles]
        assert np.array_equal(outputs.splits[split].cluster, expected)  # type: ignore[arg-type]


@pytest.fixture
def glove(tmp_path: Path) -> str:
    """Write a file of word vectors and return its path."""
    file = tmp_path / "glove.txt"
    file.write_text("".join(f"{word} {' '.join(100 * ['0.5'])}\n" for word in ("the", "a", "of", "born")))
    return str(file)


def test_baselines_are_trained_without_what_they_lack(glove: str, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    task = "snli"
    small_data(task, tmp_path / "data" / task, 47)  # which are of all classes
    baselines = ["shuffled", "token-layer", "no-encoder", "words", "smaller"]
    random_bilm(dim=6, projection_dim=3).save(tmp_path / "small")
    keys = {"tasks": [task], "views": ["swapped"], "methods": [], "baselines": baselines}
    files = {"glove": glove, "smaller": str(tmp_path / "small")}
    spec = tiny_sweep(**keys, **files, preset="board", cache_mb=100, latency_sentences=2)
    runs = expand(spec)
    assert [(run.identity.view, run.identity.baseline) for run in runs] == [
        ("swapped", None), ("swapped", "shuffled"), *(("retrained", baseline) for baseline in baselines[1:])
    ]  # fmt: skip
    records = dict(zip([run.identity.baseline for run in runs], records_here(spec, tmp_path / "out"), strict=True))
    scores = {tuple(record["scores"].items()) for record in records.values()}
    assert len(scores) == len(records)
    for baseline, record in records.items():
        with_encoder = baseline not in ("no-encoder", "words")
        assert (record["elmo"] is not None) == ("elmo" in record["run"]) == with_encoder
        assert (record["size"] is not None) == (record["latency"] is not None) == with_encoder
        assert record["epochs"] == (0 if baseline == "words" else 2)
        assert set(record["scores"]) >= {load_task(task).score.primary}
        assert record["outputs"] is not None
    small, dense = records["smaller"], records[None]
    assert small["size"]["lstm_parameters"] < dense["size"]["lstm_parameters"] and small["activation_error"] is None
    assert set(small["latency"]) == {"encoder"}  # the dense encoder does not fit into its model


@pytest.mark.parametrize("task", ["sst", "squad"])
def test_a_model_without_an_encoder(task: str, glove: str, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """The configs of the other tasks have one too."""
    keys = {"tasks": [task], "methods": [], "baselines": ["no-encoder"], "limit": 16}
    spec = tiny_sweep(**keys, preset="board", glove=glove, overrides={task: {"trainer.num_epochs": 1}})
    run = expand(spec)[-1]
    with workspace(tmp_path / "out") as work:
        measured = execute(spec, run, work)
    assert run.identity.baseline == "no-encoder" and measured.size is None and measured.latency is None
    assert 0 <= measured.scores[load_task(task).score.primary] <= 1


def test_no_encoder_needs_word_vectors(tiny_sweep: TinySweep) -> None:
    with pytest.raises(InputError, match=r"baselines: .*no-encoder.*sst"):
        expand(tiny_sweep(baselines=["no-encoder"]))


def test_a_model_that_learns_nothing_is_trained_again_and_then_marked(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    overrides = {"sst": {"trainer.num_epochs": 1, "trainer.optimizer.lr": 50.0}}
    spec = tiny_sweep(methods=[], overrides=overrides)
    (record,) = records_here(spec, tmp_path / "out")
    assert record["collapsed"] and record["collapsed_attempts"] == 2


def test_collapse_is_the_loss_of_the_training_labels_distribution(tmp_path: Path) -> None:
    lines = {"train": 3 * ["(3 fine)"] + ["(1 bad)"], "validation": ["(3 fine)", "(1 bad)"]}
    task = load_task("sst")
    for split, trees in lines.items():
        (tmp_path / task.files[split]).write_text("\n".join(trees) + "\n")  # type: ignore[index]
    prior = np.log([4 / 6, 2 / 6])

    def outputs(likelihoods: np.ndarray) -> SplitOutputs:
        return SplitOutputs(np.ones(2, np.float32), likelihoods.astype(np.float32))

    assert has_collapsed(task, outputs(prior), tmp_path)
    assert has_collapsed(task, outputs(0.99 * prior), tmp_path)
    assert not has_collapsed(task, outputs(0.9 * prior), tmp_path)
    assert not has_collapsed(load_task("squad"), outputs(prior), tmp_path)
