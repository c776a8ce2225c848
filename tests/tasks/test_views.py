"""The views of an encoder, by when its task's model is trained; and trainings that fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elmo_mf.records import RecordStore
from elmo_mf.records.outputs import SplitOutputs
from elmo_mf.tasks.config import load_task
from elmo_mf.tasks.grid import expand
from elmo_mf.tasks.model_outputs import has_collapsed
from tests.sweeps import TinySweep, records_here

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("task", ["sst", "snli", "squad"])
def test_a_swapped_encoder_meets_the_model_of_the_dense_one(task: str, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    views = ["retrained", "swapped", "tuned"]
    baselines = ["shuffled", "token-layer"]
    spec = tiny_sweep(tasks=[task], views=views, precisions=["bfloat16"], baselines=baselines, cache_mb=100)
    runs = expand(spec)
    names = [(run.identity.view, str(run.retrained())) for run in runs]
    records = dict(zip(names, records_here(spec, tmp_path / "out"), strict=True))
    assert len({str(run) for run in runs}) == len(runs)
    assert len(records) == 3 * 4 + 1
    (dense, *others, token_layer) = dict.fromkeys(str(run.retrained()) for run in runs)
    for field in ("scores", "validation", "best_epoch", "epochs"):
        assert records["swapped", dense][field] == pytest.approx(records["retrained", dense][field], rel=1e-6)
    assert records["tuned", dense]["epochs"] == records["retrained", dense]["epochs"] + 1
    assert records["tuned", dense]["scores"]["loss"] != records["swapped", dense]["scores"]["loss"]
    assert records["retrained", token_layer]["scores"]["loss"] != records["retrained", dense]["scores"]["loss"]
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
        if task == "squad":
            examples = load_task(task).format.read(tmp_path / "data" / task / "dev.json")
            titles = list(dict.fromkeys(example.raw[0] for example in examples))
            expected = [titles.index(example.raw[0]) for example in examples]
            assert np.array_equal(outputs.splits[split].cluster, expected)  # type: ignore[arg-type]


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
