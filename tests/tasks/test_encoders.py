"""Compressions in a sweep: each encoder is built once and its record reports the compression."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from elmo_mf import Bilm, Compression
from elmo_mf.bilm.lstm import BiLstmLayer, ProjectedLstm
from elmo_mf.bilm.weights import TARGETS, Target, to_dense
from elmo_mf.compression import activation_error, method_names
from elmo_mf.compression.calibration import outputs_of, read_output_covariances, read_row_weights
from elmo_mf.errors import InputError
from elmo_mf.experiments import workspace
from elmo_mf.records.record import read_record
from elmo_mf.tasks import SweepSpec, _task_gradients, expand, gradients_of
from elmo_mf.tasks._encoders import encoder_of
from elmo_mf.tasks._shared_activations import first_sentences
from elmo_mf.tasks._task_gradients import task_moments
from elmo_mf.tasks._trained_model import trained
from tests.conftest import stages_call
from tests.sweeps import TinySweep, records_here

pytestmark = pytest.mark.slow


def _spec(tiny_sweep: TinySweep, *compressions: dict[str, Any], **keys: Any) -> SweepSpec:
    return tiny_sweep(methods=[], compressions=list(compressions), **keys)


def test_every_method_runs(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    names = method_names()
    spec = tiny_sweep(methods=names, overrides={"sst": {"trainer.num_epochs": 1}})
    dense, *compressed = records_here(spec, tmp_path / "out")
    assert dense["activation_error"] is None and dense["matrices"] == []
    assert [record["run"]["compression"]["method"] for record in compressed] == names
    for record in compressed:
        assert 0 < record["activation_error"]["all"] < 1.5 and len(record["activation_error"]["layers"]) == 2
        assert len(record["matrices"]) == 8 and isinstance(record["factorization_seconds"], float)
        assert record["matrices"][0]["norms"]["nuclear"] > 0
    sizes = [record["size"]["lstm_parameters"] for record in compressed]
    assert len(set(sizes)) == 1  # of equal rank
    pruned = compressed[names.index("prune")]["size"]
    assert pruned["lstm_multiply_adds"] == pruned["lstm_dense_multiply_adds"]
    assert str(tmp_path) not in json.dumps([dense, *compressed])


def test_a_record_names_the_ranks_that_highway_layers_took_of_a_budget(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    both = {"method": "svd", "targets": "all", "budget": {"share": 0.6}}
    settings = {"overrides": {"sst": {"trainer.num_epochs": 1}}}
    spec = _spec(tiny_sweep, both, both | {"highway_rank": "budget"}, **settings)
    dense, alone, shared = records_here(spec, tmp_path / "out")
    assert "highways" not in dense and "highways" not in alone
    highways = shared["highways"]
    assert [(row["layer"], row["shape"]) for row in highways] == [(0, [34, 17]), (1, [34, 17])]
    assert all(row["parameters"] == row["rank"] * (34 + 17) and 0 < row["error"] < 1 for row in highways)
    assert all(read_record(path).id for path in (tmp_path / "out" / "records").glob("*.json"))


def test_an_encoder_is_made_once(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    stages: list[str] = []
    spec = _spec(tiny_sweep, {"method": "svd", "rank": 2, "targets": "all"}, seeds=[1, 2])
    runs = [run for run in expand(spec) if run.compression]
    with workspace(tmp_path) as work, stages_call(begun=stages.append):
        first, second = (encoder_of(spec, run, work, gradients_of) for run in runs)
    assert stages.count("factorization") == 1 and first == second
    expected = Bilm.from_files(spec.options, spec.weights, Compression(method="svd", rank=2, targets="all"))
    actual, wanted = (bilm.embed([["a", "b"]])[0] for bilm in (first.load(), expected))
    assert np.abs(actual - wanted).max() < 1e-6


def test_a_cut_encoder_is_made_again(tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted build leaves nothing that could be taken for an encoder."""

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    spec = _spec(tiny_sweep, {"method": "svd", "rank": 2, "targets": "all"})
    run = expand(spec)[1]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), workspace(tmp_path) as work:
        patch.setattr(Bilm, "save", cut)
        encoder_of(spec, run, work, gradients_of)
    assert list((tmp_path / "cache" / "encoders").iterdir()) == []
    with workspace(tmp_path) as work:
        assert encoder_of(spec, run, work, gradients_of).load()


def test_files_count_by_their_content(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """A run does not depend on the path of its calibration text, but on its content."""
    ids = []
    for name, words in (("a.txt", "one two"), ("b.txt", "one two"), ("c.txt", "one three")):
        (tmp_path / name).write_text(words + "\n")
        keys = {"method": "whitened_svd", "rank": 2, "targets": "all", "calibration": str(tmp_path / name)}
        ids.append(expand(_spec(tiny_sweep, keys))[1].id)
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("compressions", "message"),
    [
        ([{"method": "svd", "rank": 2}], "sweep.compressions.0.targets: "),
        (["svd"], "sweep.compressions.0: found 'svd'"),
        ([{"method": "svd", "targets": "all", "budget": {"parameters": 9}}], "budget: found 9 parameters"),
    ],
)
def test_bad_compressions(compressions: list[Any], message: str, tiny_sweep: TinySweep) -> None:
    with pytest.raises(InputError) as caught:
        expand(tiny_sweep(compressions=compressions))
    assert message in str(caught.value)


def test_gradients(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Moments are those of the stored model's loss, token by token: g x^T over all tokens is autograd's gradient."""
    spec = tiny_sweep(overrides={"sst": {"trainer.num_epochs": 1}})
    run = expand(spec)[0]
    with workspace(tmp_path / "out") as work, trained(spec, run, work) as (loop, embedder, *_):
        assert embedder is not None
        bilm, model = embedder.bilm, loop.model
        computed = task_moments(model, embedder, loop.trainer.data_loader)
        assert not any(parameter.requires_grad for parameter in bilm.parameters())
        tokens, expected = _moments_of_layer_0(model, bilm, loop.trainer.data_loader)
    assert computed.tokens == tokens
    rows, covariances = computed.row_weights(), computed.output_covariances()
    for direction in (0, 1):
        for target, (squares, covariance) in expected[direction].items():
            np.testing.assert_allclose(rows.rows[direction, 0, target], squares, rtol=1e-3)
            if target == "recurrent":  # which has not all gradients of the gates: none at the first token
                continue
            outputs = covariances.covariances[direction, 0, outputs_of(target)]
            np.testing.assert_allclose(outputs, covariance, rtol=1e-3, atol=1e-3 * np.abs(covariance).max())
    stages: list[str] = []
    with workspace(tmp_path / "out") as work, stages_call(begun=stages.append):
        whole, alone = (gradients_of(spec, run, work, both) for both in (True, False))
    assert "training" not in stages  # the model is in the cache
    weights = Bilm.from_files(spec.options, spec.weights).weights()
    for file in (whole, alone):
        stored = read_row_weights(file, weights)
        for key, row in rows.rows.items():
            np.testing.assert_allclose(stored.rows[key], row, rtol=1e-3, atol=1e-12)
        assert set(stored.rows) == {(d, k, t) for d in (0, 1) for k in (0, 1) for t in TARGETS}
        assert f"-{_task_gradients.VERSION}" in file.parent.name  # those of another version are not taken
    written = read_output_covariances(whole, weights)
    for place, covariance in covariances.covariances.items():
        np.testing.assert_allclose(written.covariances[place], covariance, rtol=1e-3, atol=1e-12)
    with pytest.raises(InputError, match="gates_covariance"):
        read_output_covariances(alone, weights)


def _moments_of_layer_0(
    model: Any, bilm: Bilm, loader: Any
) -> tuple[int, list[dict[Target, tuple[np.ndarray, np.ndarray]]]]:
    """Return the tokens, and by direction and target the row weights and the output covariance, in the files' order.

    The gradients are those of backward hooks, one example at a time.
    """
    from allennlp.data.batch import Batch

    lstm = cast(ProjectedLstm, cast(BiLstmLayer, bilm.layers[0]).groups[0])
    linears: dict[Target, Any] = {"input": lstm.input, "recurrent": lstm.recurrent, "projection": lstm.projection}
    pairs: dict[Target, list[tuple[torch.Tensor, torch.Tensor]]] = {target: [] for target in linears}
    inputs: dict[Target, list[torch.Tensor]] = {target: [] for target in linears}
    for target, linear in linears.items():

        def keep(_: Any, arguments: Any, output: Any, target: Target = target) -> None:
            inputs[target].append(arguments[0].detach())

        def pair(_: Any, gradients: Any, outputs: Any, target: Target = target) -> None:
            pairs[target].append((inputs[target].pop(), outputs[0].detach()))  # backward runs from the last call

        linear.left.requires_grad_(True)
        linear.register_forward_hook(keep)
        linear.register_full_backward_hook(pair)
    for instance in list(loader.iter_instances()):
        model.zero_grad()
        before = {target: len(pairs[target]) for target in linears}
        batch = Batch([instance])
        batch.index_instances(model.vocab)
        model.cpu().eval()(**batch.as_tensor_dict())["loss"].backward()
        for target, linear in linears.items():
            outer = sum(x.transpose(1, 2) @ g for x, g in pairs[target][before[target] :])
            torch.testing.assert_close(outer, linear.left.grad, rtol=1e-3, atol=1e-3 * float(linear.left.grad.max()))
    tokens = sum(x.shape[1] for x, _ in pairs["input"])
    order = np.concatenate([np.arange(12) + 12 * gate for gate in (0, 3, 1, 2)])  # i, g, f, o from i, f, o, g

    def moments(target: Target, direction: int) -> tuple[np.ndarray, np.ndarray]:
        x, g = (torch.cat(parts, dim=1)[direction].numpy() for parts in zip(*pairs[target], strict=True))
        rows, covariance = (np.square(g) * np.square(x).sum(1, keepdims=True)).sum(0) / tokens, g.T @ g / tokens
        return (rows, covariance) if target == "projection" else (rows[order], covariance[np.ix_(order, order)])

    return tokens, [{target: moments(target, direction) for target in linears} for direction in (0, 1)]


def test_activation_error(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Errors are per layer, on the texts of the instances."""
    spec = tiny_sweep(overrides={"sst": {"trainer.num_epochs": 1}})
    with workspace(tmp_path / "out") as work, trained(spec, expand(spec)[0], work) as (loop, embedder, *_):
        instances = list(loop.trainer.data_loader.iter_instances())
    assert embedder is not None
    dense, compressed = (
        embedder.bilm,
        Bilm.from_files(spec.options, spec.weights, Compression(method="svd", rank=3, targets="input")),
    )
    error = activation_error(dense, compressed, first_sentences(instances))
    texts = [[token.text for token in instance["tokens"].tokens] for instance in instances]
    wanted, given = (np.concatenate(bilm.embed(texts), axis=1) for bilm in (dense, compressed))
    expected = [np.linalg.norm(given[k] - wanted[k]) / np.linalg.norm(wanted[k]) for k in (1, 2)]
    assert list(error.layers) == pytest.approx(expected, rel=1e-5) and error.sentences == len(texts)
    assert error.overall == pytest.approx(np.sqrt(np.mean(np.square(expected))), rel=1e-5)
    assert activation_error(dense, dense, texts).overall == 0


def test_the_report_of_an_encoder(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = _spec(tiny_sweep, {"method": "svd", "rank": 2, "targets": "joint"})
    with workspace(tmp_path) as work:
        encoder = encoder_of(spec, expand(spec)[1], work, gradients_of)
    dense = Bilm.from_files(spec.options, spec.weights).weights().lstms[0, 0].dense().matrices
    both = np.concatenate([to_dense(dense["input"]), to_dense(dense["recurrent"])], axis=1).astype(np.float64)
    s = np.linalg.svd(both, compute_uv=False)
    first = encoder.report.matrices[0]
    assert (first.target, first.rank, first.shape) == ("joint", 2, [48, 12])
    assert first.error == pytest.approx(np.sqrt((s[2:] ** 2).sum() / (s**2).sum()), rel=1e-4)
    assert first.energy == pytest.approx(1 - first.error**2)
    assert first.norms.nuclear == pytest.approx(s.sum(), rel=1e-6)
