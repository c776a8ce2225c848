"""Language models in a sweep: compression, fine-tuning, evaluation and timing of their cores."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from elmo_mf.bilm.weights import TARGETS
from elmo_mf.errors import InputError
from elmo_mf.experiments import workspace
from elmo_mf.lm import CoreLstm
from elmo_mf.records import FineTuning
from elmo_mf.tasks import SweepSpec, expand, load_task
from elmo_mf.tasks._chance import unigram_chance
from elmo_mf.tasks._language_model_training import LanguageModelTraining
from elmo_mf.tasks._run_config import run_config
from elmo_mf.tasks.formats import Example
from tests.sweeps import TinySweep, records_here

pytestmark = pytest.mark.slow

SMALL = {"model.embedding_dim": 16, "model.hidden_size": 24, "trainer.num_epochs": 2, "model.softmax_samples": 20}


def _spec(tiny_sweep: TinySweep, **keys: Any) -> SweepSpec:
    overrides = dict.fromkeys(("ptb", "wikitext2"), SMALL)
    return tiny_sweep(**{"tasks": ["ptb"], "targets": ["all"], "overrides": overrides} | keys)


@pytest.mark.parametrize("task", ["ptb", "wikitext2"])
def test_records(task: str, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = _spec(tiny_sweep, tasks=[task], latency_sentences=2)
    dense, compressed = records_here(spec, tmp_path / "out")
    assert dense["elmo"] is None and "elmo" not in dense["run"]
    assert dense["examples"] == {"train": 40, "validation": 40, "test": 40} and dense["epochs"] == 2
    sizes = [(16, 24), (24, 24), (24, 16)]
    parameters = sum(4 * n * (d + n + 1) for d, n in sizes)
    assert dense["size"]["lstm_parameters"] == parameters == compressed["size"]["lstm_dense_parameters"]
    biases = sum(4 * n for _, n in sizes)
    assert compressed["size"]["lstm_parameters"] == biases + sum(2 * (5 * n + 4 * n + d) for d, n in sizes)
    words = (dense["size"]["encoder_parameters"] - parameters) // 17
    assert 20 < words < 400 and dense["size"]["char_cnn_multiply_adds"] == 16 * words
    assert dense["scores"]["perplexity"] > 1 and compressed["scores"] != dense["scores"]
    assert dense["activation_error"] is None and 0 < compressed["activation_error"]["all"] < 1
    assert [(m["layer"], m["target"]) for m in compressed["matrices"]] == [
        (layer, target) for layer in range(3) for target in ("input", "recurrent")
    ]
    assert all(0 < m["error"] < 1 and 0 < m["input_error"] < 1 for m in compressed["matrices"])
    for part in ("encoder", "model"):
        for batch in ("1", "32"):
            assert dense["latency"][part][batch]["speed_up"] > 0


def test_every_method_and_tuning(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """All runs start from one dense model, and fine-tuning improves the score."""
    methods = ["svd", "whitened_svd", "fisher_svd", "semi_nmf", "nmf", "random", "prune"]
    tuned = {"method": "svd", "rank": 2, "targets": "all", "finetune": {"epochs": 8, "learning_rate": 0.01}}
    others = [
        {"method": "svd", "rank": 2, "targets": "joint"},
        {"method": "svd", "rank": 2, "targets": "all", "granularity": "gate"},
        {"method": "whitened_svd", "budget": {"share": 0.4}, "targets": "input+recurrent"},
    ]
    spec = _spec(tiny_sweep, methods=methods, compressions=[tuned, *others])
    records = records_here(spec, tmp_path / "out")
    names = [run.encoder for run in expand(spec)]
    assert names[:2] == ["dense", "dense fine-tuned 8 at 0.01"]
    scores = dict(zip(names, (record["scores"]["perplexity"] for record in records), strict=True))
    assert len(set(scores.values())) == len(records) == 13
    for name in ("dense", "svd all rank 2"):
        assert scores[f"{name} fine-tuned 8 at 0.01"] < scores[name]
    (model,) = (tmp_path / "out" / "cache" / "language-models").iterdir()
    assert (model / "weights.th").is_file()
    assert records[-1]["size"]["lstm_parameters"] <= 0.4 * records[0]["size"]["lstm_parameters"]


def test_the_same_command_gives_the_same_scores(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    tuned = {"method": "svd", "rank": 2, "targets": "all", "finetune": {}}
    spec = _spec(tiny_sweep, methods=[], compressions=[tuned])
    first, second = (records_here(spec, tmp_path / str(n), workers=n) for n in (1, 2))
    assert [r["scores"] for r in first] == [r["scores"] for r in second]


def test_a_score_is_what_allennlp_evaluates(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Training the run's config with the plain `allennlp` entry points gives the same numbers."""
    from allennlp.commands.evaluate import evaluate_from_archive
    from allennlp.commands.train import train_model
    from allennlp.common import Params
    from allennlp.common.plugins import import_plugins

    spec = _spec(tiny_sweep, methods=[])
    (run,) = expand(spec)
    (record,) = records_here(spec, tmp_path / "out")
    data = str(spec.data_of(load_task(run.task)))
    import_plugins()
    train_model(Params(run_config(spec, load_task(run.task), run.seed, data, ("", ""))), str(tmp_path / "plain"))
    scores = evaluate_from_archive(tmp_path / "plain" / "model.tar.gz", f"{data}/test.txt")
    assert record["scores"]["perplexity"] == pytest.approx(scores["perplexity"], rel=1e-5)
    metrics = json.loads((tmp_path / "plain" / "metrics.json").read_text())
    assert record["validation"]["perplexity"] == pytest.approx(metrics["best_validation_perplexity"], rel=1e-5)


@pytest.mark.parametrize("what", ["fine-tuning: step 1", "gradients"])
def test_a_loss_that_is_no_number_stops_the_run(what: str, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = _spec(tiny_sweep, methods=[])
    (run,) = expand(spec)
    with workspace(tmp_path / "out") as work:
        training = LanguageModelTraining(spec, run, work, spec.data_of(load_task(run.task)), trained=False)
        next(training.model.parameters()).data.fill_(math.nan)
        with pytest.raises(InputError, match=f"^{what}: loss: found nan"):
            training.finetune(FineTuning(learning_rate=0.01)) if "fine" in what else training.gradients()


def test_gradients_are_those_of_the_loss(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """E[(dL/dw)^2], summed over rows, equals that of PyTorch's LSTM, window by window."""
    from elmo_mf.compression.calibration import read_row_weights

    spec = _spec(tiny_sweep, methods=[])
    (run,) = expand(spec)
    with workspace(tmp_path / "out") as work:
        training = LanguageModelTraining(spec, run, work, spec.data_of(load_task(run.task)))
        device = training.device
        computed = read_row_weights(training.gradients(), training.dense.weights())
        lstms = [lstm.to(device).requires_grad_(True).train() for lstm in training.dense.to_torch()]
        state: list[Any] = [None] * 3
        sums = [[torch.zeros(4 * lstm.hidden_size) for _ in range(2)] for lstm in lstms]
        windows = list(training._loader("train", 1, 70))
        for batch in windows:
            x = training.model.embed(batch["tokens"]).transpose(0, 1).detach()
            for index, lstm in enumerate(lstms):
                lstm.zero_grad()
                x, (h, c) = lstm(x, state[index])
                state[index] = (h.detach(), c.detach())
            logits = training.model.logits(x).flatten(0, 1)
            torch.nn.functional.cross_entropy(logits, batch["targets"][0]).backward()  # type: ignore[no-untyped-call]
            for index, lstm in enumerate(lstms):
                for total, name in zip(sums[index], ("weight_ih_l0", "weight_hh_l0"), strict=True):
                    total += getattr(lstm, name).grad.square().sum(dim=1).cpu()
    assert len(windows) > 3
    for index, both in enumerate(sums):
        for target, total in zip(TARGETS, both, strict=False):
            i, f, g, o = total.chunk(4)
            expected = torch.cat([i, g, f, o]).double() / len(windows)
            torch.testing.assert_close(
                torch.from_numpy(computed.rows[0, index, target]), expected, rtol=1e-3, atol=1e-12
            )


def test_what_a_language_model_cannot_have(tiny_sweep: TinySweep) -> None:
    distilled = {"method": "svd", "rank": 2, "targets": "all", "distill": {"text": __file__}}
    with pytest.raises(InputError, match=r"compression\.distill: "):
        expand(_spec(tiny_sweep, methods=[], compressions=[distilled]))
    tuned = {"method": "svd", "rank": 2, "targets": "all", "finetune": {}}
    with pytest.raises(InputError, match=r"compression\.finetune: "):
        expand(_spec(tiny_sweep, tasks=["sst"], methods=[], compressions=[tuned]))
    with pytest.raises(InputError, match="expected less than 12"):
        expand(_spec(tiny_sweep, ranks=[13]))


def test_other_weights_are_no_other_language_model(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Runs of language models do not depend on the sweep's ELMo."""
    from elmo_mf.resources import demo_options, demo_weights

    spec = _spec(tiny_sweep)
    other = _spec(tiny_sweep, options=str(demo_options()), weights=str(demo_weights()))
    assert [run.id for run in expand(spec)] == [run.id for run in expand(other)]


def test_unigram_chance() -> None:
    """With add-one smoothing, the counts of a, b, line end and `<unk>` are 3, 2, 3 and 1 of 9."""
    train, scored = [Example("", "a b"), Example("", "a")], [Example("", "a new")]
    expected = math.exp(-(math.log(3 / 9) + math.log(1 / 9) + math.log(3 / 9)) / 3)
    assert unigram_chance(train, scored) == pytest.approx(expected)


def test_a_core_is_compressed_in_its_own_order_of_gates() -> None:
    """Row weights and factors use the row order of `CoreLstm.weights`."""
    torch.manual_seed(0)
    core = CoreLstm.random([3, 4])
    weights = core.weights().lstms[0, 0].matrices["input"]
    i, f, g, o = core.to_torch()[0].state_dict()["weight_ih_l0"].chunk(4)
    torch.testing.assert_close(torch.as_tensor(weights), torch.cat([i, g, f, o]))
