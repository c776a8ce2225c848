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
from elmo_mf.bilm.weights import TARGETS, to_dense
from elmo_mf.compression import activation_error, method_named, method_names
from elmo_mf.compression.calibration import read_row_weights
from elmo_mf.errors import InputError
from elmo_mf.experiments import workspace
from elmo_mf.records.record import read_record
from elmo_mf.tasks import SweepSpec, _task_gradients, expand, gradients_of
from elmo_mf.tasks._encoders import encoder_of
from elmo_mf.tasks._shared_activations import first_sentences
from elmo_mf.tasks._task_gradients import row_weights
from elmo_mf.tasks._trained_model import trained
from tests.conftest import stages_call
from tests.sweeps import TinySweep, records_here

pytestmark = pytest.mark.slow


def _spec(tiny_sweep: TinySweep, *compressions: dict[str, Any], **keys: Any) -> SweepSpec:
    return tiny_sweep(methods=[], compressions=list(compressions), **keys)


def test_every_method_runs(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    names = [name for name in method_names() if not method_named(name).needs_output_covariance]
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
    """Row weights equal those from autograd for the trained dense model, example by example and gate by gate."""
    spec = tiny_sweep(overrides={"sst": {"trainer.num_epochs": 1}})
    run = expand(spec)[0]
    with workspace(tmp_path / "out") as work, trained(spec, run, work) as (loop, embedder, *_):
        assert embedder is not None
        bilm, model = embedder.bilm, loop.model
        computed = row_weights(model, embedder, loop.trainer.data_loader)
        assert not any(parameter.requires_grad for parameter in bilm.parameters())
        expected = _squares_of_input_and_projection(model, bilm, loop.trainer.data_loader)
    for direction in (0, 1):
        np.testing.assert_allclose(computed.rows[direction, 0, "input"], expected["input"][direction], rtol=1e-3)
        np.testing.assert_allclose(
            computed.rows[direction, 0, "projection"], expected["projection"][direction], rtol=1e-3
        )
    with workspace(tmp_path / "out") as work:
        file = gradients_of(spec, run, work)
    assert file.parent.name.endswith(f"-{_task_gradients.VERSION}")  # those of another version are not taken
    stored = read_row_weights(file, Bilm.from_files(spec.options, spec.weights).weights())
    for key, rows in computed.rows.items():
        np.testing.assert_allclose(stored.rows[key], rows, rtol=1e-3, atol=1e-12)
    assert set(stored.rows) == {(d, k, t) for d in (0, 1) for k in (0, 1) for t in TARGETS}


def _squares_of_input_and_projection(model: Any, bilm: Bilm, loader: Any) -> dict[str, np.ndarray]:
    """Return the squared gradients of layer 0, (direction, row), with rows in the file's order of gates: i, g, f, o."""
    from allennlp.data.batch import Batch

    lstm = cast(ProjectedLstm, cast(BiLstmLayer, bilm.layers[0]).groups[0])
    assert lstm.projection is not None
    parameters = [lstm.input.left, lstm.projection.left]
    sums = [torch.zeros(2, 48), torch.zeros(2, 6)]
    instances = list(loader.iter_instances())
    model.cpu()
    for parameter in parameters:
        parameter.requires_grad_(True)
    for instance in instances:
        batch = Batch([instance])
        batch.index_instances(model.vocab)
        loss = model.eval()(**batch.as_tensor_dict())["loss"]
        for total, gradient in zip(sums, torch.autograd.grad(loss, parameters), strict=True):
            total += gradient.square().sum(dim=1)
    i, f, o, g = torch.split(sums[0] / len(instances), 12, dim=1)
    return {"input": torch.cat([i, g, f, o], dim=1).numpy(), "projection": (sums[1] / len(instances)).numpy()}


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
