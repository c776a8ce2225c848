"""ELMos as the language models that they were pretrained as: scores, their intervals, and runs of the whole kind."""

from __future__ import annotations

import copy
import json
import shutil
from functools import partial
from pathlib import Path
from typing import cast

import h5py
import numpy as np
import pytest
import torch

from elmo_mf.bilm.lstm import BiLstmLayer, ProjectedLstm
from elmo_mf.bilm.lstm_formula import in_file_order
from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from elmo_mf.experiments import workspace
from elmo_mf.leaderboard import boards
from elmo_mf.pretrain import Batch, Corpus, LanguageModel, Trainer
from elmo_mf.pretrain._evaluate import evaluate, read_language_model
from elmo_mf.records import RecordStore
from elmo_mf.tasks import SweepSpec, check_needs, cost_of, expand
from elmo_mf.tasks._bilm_gradients import loss_gradients
from elmo_mf.tasks._bilm_run import line_perplexities
from elmo_mf.tasks._measurement import measure_times
from elmo_mf.tasks._portable import PortableSweep
from elmo_mf.tasks._token_gradients import TokenMoments
from tests.conftest import raw_options
from tests.pretrain.conftest import TINY, replace, trainer, write_texts
from tests.sweeps import TinySweep, records_here


@pytest.fixture(scope="module", params=["adaptive", "full", "sampled"])
def elmo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny ELMo and its softmax."""
    folder = tmp_path_factory.mktemp(request.param)
    trainer(write_texts(folder), folder / "elmo", replace(TINY, softmax=request.param)).run()
    return folder / "elmo"


@pytest.fixture(scope="module")
def one_elmo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    trainer(write_texts(folder), folder / "elmo", replace(TINY, softmax="full", epochs=8, learning_rate=0.02)).run()
    return folder / "elmo"


def _spec(tiny_sweep: TinySweep, elmo: Path, **keys: object) -> SweepSpec:
    files = {name: str(elmo / file) for name, file in (("options", "options.json"), ("weights", "weights.hdf5"))}
    return tiny_sweep(tasks=["wikitext2-bilm"], **files, **keys)


@pytest.mark.slow
def test_the_perplexity_is_that_of_both_directions(elmo: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    words = "red green blue black white strange".split()
    lines = [[words[k] for k in generator.integers(6, size=generator.integers(1, 30))] for _ in range(60)]
    text = tmp_path / "text.txt"
    text.write_text("".join(" ".join(line[start : start + 8]) + "\n" for line in lines for start in range(0, 30, 8)))
    model, vocabulary = read_language_model(elmo / "options.json", elmo / "weights.hdf5", None, elmo)
    chunked = [[line[start : start + 8] for start in range(0, len(line), 8)] for line in lines]
    perplexity, outputs = line_perplexities(model, vocabulary, chunked, lambda: None)
    expected = evaluate(elmo / "options.json", elmo / "weights.hdf5", [text])
    assert perplexity == pytest.approx((expected.forward * expected.backward) ** 0.5, rel=1e-5)
    assert outputs.log_likelihood is not None and len(outputs.score) == len(lines)
    assert outputs.score.mean(dtype=float) == pytest.approx(perplexity, rel=1e-5)
    assert np.exp(-outputs.log_likelihood.mean(dtype=float)) == pytest.approx(perplexity, rel=1e-5)


@pytest.mark.slow
def test_intervals_over_lines_are_those_of_a_bootstrap(one_elmo: Path) -> None:
    """Lines are drawn again, each with all its words: perplexity is a ratio, and lines differ in length."""
    generator = np.random.default_rng(1)
    words = "red green blue black white".split()
    lines = [[[words[k] for k in generator.integers(5, size=generator.integers(1, 40))]] for _ in range(200)]
    model, vocabulary = read_language_model(one_elmo / "options.json", one_elmo / "weights.hdf5", None, one_elmo)
    _, outputs = line_perplexities(model, vocabulary, lines, lambda: None)
    error = outputs.score.std(ddof=1) / len(lines) ** 0.5
    nats = np.log([line_perplexities(model, vocabulary, [line], lambda: None)[0] for line in lines])
    counts = np.array([len(line[0]) + 1 for line in lines])
    drawn = generator.integers(len(lines), size=(4000, len(lines)))
    again = np.exp((nats * counts)[drawn].sum(1) / counts[drawn].sum(1))
    assert error == pytest.approx(again.std(ddof=1), rel=0.08)


@pytest.mark.slow
def test_runs_leave_records_with_outputs(tiny_sweep: TinySweep, one_elmo: Path, tmp_path: Path) -> None:
    train, valid = write_texts(tmp_path)
    folder = tmp_path / "language" / "wikitext2"
    folder.mkdir(parents=True)
    for name, source in (("train", train), ("valid", valid), ("test", valid)):
        shutil.copy(source, folder / f"{name}.txt")
    data = str(folder.parent)
    spec = _spec(tiny_sweep, one_elmo, data=data, seeds=[1, 2], precisions=["int8"], baselines=["shuffled"])
    runs = expand(spec)
    assert len(runs) == 4 and {run.seed for run in runs} == {0} and len({run.id for run in runs}) == 4
    assert cost_of(spec, runs).trainings == 0 and cost_of(spec, runs).encoders == 1
    dense, compressed, int8, shuffled = records_here(spec, tmp_path / "out")
    scores = [entry["scores"]["perplexity"] for entry in (dense, compressed, int8, shuffled)]
    assert scores[0] < min(scores[1], scores[3]) and scores[2] == pytest.approx(scores[0], rel=0.05)
    assert dense["activation_error"] is None and compressed["activation_error"]["all"] > 0
    assert dense["size"]["lstm_parameters"] > compressed["size"]["lstm_parameters"]
    store = RecordStore(tmp_path / "out")
    for run, entry in zip(runs, (dense, compressed, int8, shuffled), strict=True):
        kept = store.read(run)
        outputs = None if kept is None else store.outputs(kept)
        assert outputs is not None and outputs.splits.keys() == {"validation", "test"}
        for split, part in outputs.splits.items():
            assert len(part.score) == entry["examples"][split]
    (board,) = boards(list(store.records()), store.outputs)
    rows = {row.encoder: row for row in board.rows}
    assert rows["svd input+recurrent rank 2"].low > 0 and rows["dense in int8"].examples > 20
    assert dense["latency"] is None
    with workspace(tmp_path / "again") as work:
        timed = spec.model_copy(update={"latency_sentences": 2})
        assert measure_times(timed, runs[1], work).latency.encoder["1"].median_ms > 0


@pytest.mark.slow
def test_a_smaller_elmo_has_the_same_words(tiny_sweep: TinySweep, one_elmo: Path, tmp_path: Path) -> None:
    """Its perplexity is that of its own softmax, over the words of the larger one."""
    train, valid = write_texts(tmp_path)
    small = replace(TINY, architecture=raw_options(), softmax="full")
    Trainer([train], [valid], tmp_path / "small", small, one_elmo / "vocabulary.txt").run()
    spec = _spec(tiny_sweep, one_elmo, methods=[], baselines=["smaller"], smaller=str(tmp_path / "small"))
    runs = expand(spec)
    dense, smaller = records_here(spec, tmp_path / "out")
    text = tmp_path / "data" / "wikitext2-bilm" / "test.txt"
    expected = evaluate(tmp_path / "small" / "options.json", tmp_path / "small" / "weights.hdf5", [text])
    assert smaller["scores"]["perplexity"] == pytest.approx((expected.forward * expected.backward) ** 0.5, rel=1e-4)
    assert smaller["size"]["lstm_parameters"] < dense["size"]["lstm_parameters"]
    sent = PortableSweep(spec, runs, tmp_path / "scratch")
    names = ("options.json", "weights.hdf5", "softmax.hdf5", "vocabulary.txt")
    assert [sent.bundle.paths[f"{sent.spec.smaller}/{name}"] for name in names] == [
        tmp_path / "small" / name for name in names
    ]  # fmt: skip
    there, _ = sent.run(runs[1]).unpacked(tmp_path / "there")
    assert there.smaller == str(tmp_path / "there" / "smaller")
    with h5py.File(tmp_path / "small" / "softmax.hdf5", "r+") as file:
        file["bias"][0] += 1
    assert [run.id for run in expand(spec)] != [run.id for run in runs]  # the score depends on it
    words = (one_elmo / "vocabulary.txt").read_text().splitlines()
    (tmp_path / "small" / "vocabulary.txt").write_text("\n".join([*words[:-2], *words[:-3:-1]]) + "\n")
    with pytest.raises(InputError, match=r"small/vocabulary\.txt"):
        expand(spec)


@pytest.mark.slow
def test_the_softmax_is_part_of_the_identity_and_of_what_is_sent(
    tiny_sweep: TinySweep, one_elmo: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(one_elmo, tmp_path / "copy"))
    spec = _spec(tiny_sweep, copy)
    before = expand(spec)
    sent = PortableSweep(spec, before, tmp_path / "scratch")
    beside = Path(sent.spec.weights).parent
    assert {sent.bundle.paths[str(beside / name)] for name in ("softmax.hdf5", "vocabulary.txt")} == {
        copy / "softmax.hdf5", copy / "vocabulary.txt"
    }  # fmt: skip
    check_needs(spec, before, tmp_path / "out", 1)
    words = (copy / "vocabulary.txt").read_text().splitlines()
    (copy / "vocabulary.txt").write_text("\n".join([*words[:-2], *words[:-3:-1]]) + "\n")
    assert {run.id for run in expand(spec)}.isdisjoint(run.id for run in before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "softmax.hdf5").unlink(), r"softmax\.hdf5: "),
        (lambda folder: (folder / "softmax.hdf5").write_bytes(b"no"), r"softmax\.hdf5"),
        (lambda folder: (folder / "vocabulary.txt").write_text("<S>\n</S>\n<UNK>\n"), r"softmax of \d+ words"),
    ],
)
def test_a_wrong_softmax_is_an_error_before_the_work(
    tiny_sweep: TinySweep, one_elmo: Path, tmp_path: Path, damage: object, message: str
) -> None:
    copy = Path(shutil.copytree(one_elmo, tmp_path / "copy"))
    assert callable(damage)
    damage(copy)
    spec = _spec(tiny_sweep, copy)
    with pytest.raises(InputError, match=message):
        check_needs(spec, expand(spec), tmp_path / "out", 1)


@pytest.mark.slow
def test_sweeps_say_what_an_elmo_as_a_language_model_lacks(tiny_sweep: TinySweep, one_elmo: Path) -> None:
    with pytest.raises(InputError, match=r"softmax\.hdf5: "):
        expand(tiny_sweep(tasks=["wikitext2-bilm"]))
    with pytest.raises(InputError, match="baselines: found words"):
        expand(_spec(tiny_sweep, one_elmo, baselines=["words"]))
    with pytest.raises(InputError, match=r"sst-probe with cells.* of a task's model"):
        expand(tiny_sweep(tasks=["sst-probe"], methods=[], compressions=[{"cells": 8}]))
    for task, what in (("sst-probe", "of a task's model"), ("ptb", "token by token")):
        with pytest.raises(InputError, match=f"{task} with kfac_svd.* {what}"):
            expand(tiny_sweep(tasks=[task], methods=["kfac_svd"]))
    by_loss = {"method": "svd", "targets": "all", "budget": {"share": 0.5}, "allocation": "loss"}
    with pytest.raises(InputError, match=r"compression\.allocation: found loss"):
        expand(_spec(tiny_sweep, one_elmo, methods=[], compressions=[by_loss]))
    with pytest.raises(InputError, match="highway_rank: found 'budget'"):
        expand(_spec(tiny_sweep, one_elmo, methods=[], compressions=[by_loss | {"highway_rank": "budget"}]))


def test_gradients_of_one_token_are_those_of_the_weights(one_elmo: Path) -> None:
    """In an empty line, one token of each direction predicts: G is g g^T, where g is the gradient by the bias."""
    model, characters, (batch,) = _language_model(one_elmo, [[]])
    losses = model(batch, characters)
    (losses.forward + losses.backward).backward()
    gradients = copy.deepcopy(model.bilm.layers)
    with torch.no_grad():
        for total, parameter in zip(gradients.parameters(), model.bilm.layers.parameters(), strict=True):
            assert parameter.grad is not None
            total.copy_(parameter.grad)
    moments = loss_gradients(model, [batch], characters)
    rows, covariances = moments.row_weights(), moments.output_covariances()
    for layer, module in enumerate(map(partial(cast, BiLstmLayer), gradients)):
        (group,) = (cast(ProjectedLstm, group) for group in module.groups)
        for direction, lstm in enumerate(module.weights()):
            bias = in_file_order(group.bias.detach().numpy()[direction, 0])
            product = 2 * covariances.covariances[direction, layer, "gates"]
            np.testing.assert_allclose(product, np.outer(bias, bias), rtol=5e-3, atol=1e-7)
            for target, matrix in lstm.matrices.items():
                squares = np.square(np.asarray(matrix, np.float64)).sum(axis=1)
                np.testing.assert_allclose(2 * rows.rows[direction, layer, target], squares, rtol=5e-3, atol=1e-7)


def test_what_the_loss_does_not_depend_on_has_no_gradient(one_elmo: Path) -> None:
    """Without the second layer's outputs in the loss, its rows and covariances are zeros."""
    model, _, _ = _language_model(one_elmo, [["red", "blue"]])
    moments = TokenMoments(model.bilm)
    with moments.of_backward():
        inputs = torch.ones(2, 5, model.bilm.options.lstm.projection_dim)  # five tokens of two sentences
        (first, _), _ = model.bilm.run_layers(inputs, [2, 2, 1], None)
        first.sum().backward()  # type: ignore[no-untyped-call]
    rows, covariances = moments.row_weights(), moments.output_covariances()
    assert all(bool(row.any()) == (layer == 0) for (_, layer, _), row in rows.rows.items())
    assert all(bool(one.any()) == (layer == 0) for (_, layer, _), one in covariances.covariances.items())


def test_gradients_of_a_text_are_means_over_its_tokens(one_elmo: Path) -> None:
    sentences = [["red", "green"], ["blue"], ["red", "white", "white", "black"]]
    model, characters, batches = _language_model(one_elmo, sentences, batch_tokens=1)
    assert len(batches) == 3
    whole = loss_gradients(model, batches, characters)
    apart = [loss_gradients(model, [batch], characters) for batch in batches]
    tokens = np.array([int(batch.lengths.sum()) for batch in batches])
    for key, covariance in whole.output_covariances().covariances.items():
        parts = [one.output_covariances().covariances[key] for one in apart]
        np.testing.assert_allclose(covariance, np.average(parts, axis=0, weights=tokens), rtol=1e-6, atol=1e-12)
        assert np.linalg.eigvalsh(covariance).min() >= -1e-9 * np.trace(covariance) and np.trace(covariance) > 0


def _language_model(
    elmo: Path, sentences: list[list[str]], batch_tokens: int = 1000
) -> tuple[LanguageModel, torch.Tensor, list[Batch]]:
    model, vocabulary = read_language_model(elmo / "options.json", elmo / "weights.hdf5", None, elmo)
    corpus = Corpus(sentences, vocabulary, model.bilm.token_layer.word_ids)
    return model.eval().requires_grad_(True), corpus.characters, list(corpus.batches(batch_tokens, None))


@pytest.mark.slow
def test_kfac_svd_takes_the_gradients_of_the_elmo_itself(
    one_elmo: Path, tiny_sweep: TinySweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sweep computes them, and `gradients` writes the same for `compress`."""
    by_loss = {"method": "kfac_svd", "targets": "all", "budget": {"share": 0.5}, "allocation": "loss"}
    fewer = by_loss | {"cells": 12}
    chosen = by_loss | {"cells": "budget"}
    spec = _spec(tiny_sweep, one_elmo, methods=[], compressions=[by_loss, fewer, {"cells": 12}, chosen])
    dense, with_gradients, both, cells, budgeted = records_here(spec, tmp_path / "out")
    assert with_gradients["run"]["task_gradients"] and with_gradients["run"]["versions"]["gradients"] == 1
    assert dense["scores"]["perplexity"] != with_gradients["scores"]["perplexity"]
    for record in (both, cells):
        assert record["run"]["task_gradients"] and record["run"]["compression"]["cells"] == 12
        assert record["size"]["lstm_dense_parameters"] == dense["size"]["lstm_parameters"]
        assert record["elmo"] == dense["elmo"] and 0 < record["activation_error"]["all"] < 1
    assert {tuple(one["shape"]) for one in both["matrices"]} == {(48, 8), (8, 12)} and not cells["matrices"]
    assert both["size"]["lstm_ratio"] >= 2 and cells["size"]["lstm_ratio"] == pytest.approx(16 / 12)
    files = [str(one_elmo / name) for name in ("options.json", "weights.hdf5")]
    gradients, small = tmp_path / "g.hdf5", tmp_path / "small"
    command = ["gradients", "wikitext2-bilm", str(gradients), "--options", files[0], "--weights", files[1]]
    assert main([*command, "--data", str(spec.data)]) == 0
    how = ["--method", "kfac_svd", "--budget", "50%", "--allocation", "loss", "--gradients", str(gradients)]
    assert main(["compress", *files, *how, "--out", str(small)]) == 0
    report = json.loads((small / "report.json").read_text())
    assert [one["rank"] for one in report["matrices"]] == [one["rank"] for one in with_gradients["matrices"]]
    assert main(["compress", *files, *how, "--cells", "12", "--out", str(tmp_path / "both")]) == 0
    report = json.loads((tmp_path / "both" / "report.json").read_text())
    assert [one["rank"] for one in report["matrices"]] == [one["rank"] for one in both["matrices"]]
    assert report["size"] == {name: both["size"][name] for name in report["size"]}
    assert main(["compress", *files, *how, "--cells", "budget", "--out", str(tmp_path / "chosen")]) == 0
    report = json.loads((tmp_path / "chosen" / "report.json").read_text())
    assert report["cells"][1] == budgeted["matrices"][0]["shape"][0] // 4 <= report["cells"][0] == 16
    assert [one["rank"] for one in report["matrices"]] == [one["rank"] for one in budgeted["matrices"]]
    assert budgeted["run"]["compression"]["cells"] == "budget"
    kept = (json.loads(path.read_text()) for path in (tmp_path / "out" / "cache" / "encoders").glob("*/options.json"))
    steps = [step for options in kept for step in options["elmo_mf"]["compressions"]]
    assert len(steps) == 4 and all(step.get("cells") in (None, 12, report["cells"][1]) for step in steps)
    assert "chosen within the budget" in capsys.readouterr().out
    assert main(["compress", *files, "--cells", "12", "--out", str(tmp_path / "none")]) == 2
    assert "--gradients: " in capsys.readouterr().err
    assert main(["compress", *files, *how[:2], "--rank", "2", "--out", str(tmp_path / "none")]) == 2
    assert "--gradients: " in capsys.readouterr().err
    with h5py.File(gradients, "a") as file:
        del file["forward/1/gates_covariance"]
    assert main(["compress", *files, *how, "--out", str(tmp_path / "none")]) == 2
    assert "forward/1/gates_covariance: " in capsys.readouterr().err
