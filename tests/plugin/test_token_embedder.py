"""Tests of the token embedder: training equals that with `elmo_token_embedder`, and additional options work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from allennlp.commands.train import TrainModel
from allennlp.common import Params
from allennlp.common.plugins import import_plugins
from allennlp.common.util import prepare_environment
from allennlp.modules.token_embedders import TokenEmbedder

from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.compression import size_report
from elmo_mf.errors import InputError
from elmo_mf.tasks import load_task
from elmo_mf.tasks._jsonnet import task_config
from tests.conftest import small_data

Files = Callable[..., tuple[Path, Path]]
IDS = batch_to_ids([["The", "cat", "sat"], ["Yes"]])


def _embedder(files: tuple[Path, Path], **keys: Any) -> Any:
    import_plugins()
    params = {"type": "elmo_mf", "options_file": str(files[0]), "weight_file": str(files[1]), **keys}
    return TokenEmbedder.from_params(Params(params))


def _losses(task: str, tmp_path: Path, files: tuple[Path, Path], *embedders: dict[str, Any]) -> list[list[float]]:
    """Train briefly with each embedder from the same initial weights, and return the losses."""
    import_plugins()
    data = small_data(task, tmp_path / "data")
    losses, start = [], None
    for index, embedder in enumerate(embedders):
        elmo = {"options_file": str(files[0]), "weight_file": str(files[1])}
        values = {**elmo, "data": str(data), "elmo_dim": 12, "cache_mb": 0, "seed": 5}
        config = task_config(load_task(task).config, "demo", None, values)
        config["trainer"]["num_epochs"] = 3
        config["data_loader"]["batch_sampler"]["batch_size"] = 8
        config["model"]["text_field_embedder"]["token_embedders"]["elmo_mf"] = {**elmo, "dropout": 0.1, **embedder}
        folder = tmp_path / str(index)
        folder.mkdir()
        params = Params(config)
        prepare_environment(params)
        loop = TrainModel.from_params(params=params, serialization_dir=str(folder), local_rank=0)
        start = start or {k: v.clone() for k, v in loop.model.state_dict().items() if "_elmo_lstm" not in k}
        loop.model.load_state_dict(start, strict=False)
        prepare_environment(Params({}))
        loop.run()
        metrics = [json.loads((folder / f"metrics_epoch_{epoch}.json").read_text()) for epoch in range(3)]
        losses.append([row[key] for row in metrics for key in ("training_loss", "validation_loss")])
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("task", ["sst", "snli", "squad"])
def test_same_losses_as_allennlps_elmo(
    elmo_files: Files, tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # AllenNLP's convolutions would use it on a GPU
    carried = {"type": "elmo_mf", "state": "carried"}
    theirs, ours = _losses(task, tmp_path, elmo_files(), {"type": "elmo_token_embedder"}, carried)
    assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.slow
def test_same_losses_when_fine_tuned(elmo_files: Files, tmp_path: Path) -> None:
    carried = {"type": "elmo_mf", "state": "carried", "requires_grad": True}
    theirs = {"type": "elmo_token_embedder", "requires_grad": True}
    expected, ours = _losses("sst", tmp_path, elmo_files(), theirs, carried)
    assert ours == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_same_losses_with_cache(elmo_files: Files, tmp_path: Path) -> None:
    plain, cached = _losses("snli", tmp_path, elmo_files(), {"type": "elmo_mf"}, {"type": "elmo_mf", "cache_mb": 100})
    assert cached == pytest.approx(plain, rel=1e-5)


@pytest.mark.slow
def test_primed_state_and_precision(elmo_files: Files) -> None:
    files = elmo_files()
    keys = {"dropout": 0.0, "scalar_mix_parameters": [0.0, 0.0, 0.0]}
    zero, primed = (_embedder(files, state=state, **keys) for state in ("zero", "primed"))
    cached = _embedder(files, state="primed", cache_mb=1, **keys)
    for _ in range(2):
        torch.testing.assert_close(cached(IDS), primed(IDS))
    assert (zero(IDS) - primed(IDS)).abs().max() > 1e-3
    assert any(name.endswith("_primed_h") for name in primed.state_dict())
    assert _embedder(files, precision="bfloat16").bilm.layers[0].groups[0].precision in ("bfloat16", "float32")


@pytest.mark.slow
def test_frozen_unless_asked(elmo_files: Files) -> None:
    files = elmo_files()
    assert not any(p.requires_grad for p in _embedder(files).bilm.parameters())
    compression = {"method": "svd", "rank": 2, "targets": ["recurrent"]}
    trained = _embedder(files, requires_grad=True, compression=compression)
    trained(IDS).sum().backward()
    factors = trained.bilm.layers[0].groups[0].recurrent
    assert factors.right is not None and factors.right.grad.abs().sum() > 0 and factors.left.grad.abs().sum() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "compression",
    [
        {"method": "whitened_svd", "rank": 2, "targets": "joint"},
        {"method": "svd", "rank": 2, "targets": "all", "granularity": "gate"},
        {"method": "semi_nmf", "budget": {"share": 0.7}, "targets": "joint+projection"},
        {"method": "prune", "rank": 2, "targets": "all"},
    ],
)
def test_fine_tuning_of_every_form(elmo_files: Files, compression: dict[str, Any]) -> None:
    """The embedder learns, keeps its form, and gives the same vectors when loaded into a new embedder."""
    files = elmo_files()
    keys = {"compression": compression, "requires_grad": True, "dropout": 0.0}
    embedder = _embedder(files, **keys)
    before = size_report(embedder.bilm.weights(), embedder.bilm.options)
    optimizer = torch.optim.AdamW(embedder.parameters(), lr=0.01, weight_decay=0.1)
    losses = []
    for _ in range(5):
        loss = (embedder(IDS) - 0.3).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert size_report(embedder.bilm.weights(), embedder.bilm.options) == before
    fresh = _embedder(files, **keys)
    fresh.load_state_dict(embedder.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(fresh.eval()(IDS), embedder.eval()(IDS))


@pytest.mark.slow
def test_shapes_and_options(elmo_files: Files) -> None:
    files = elmo_files()
    assert _embedder(files)(IDS).shape == (2, 3, 12)
    projected = _embedder(files, projection_dim=7, do_layer_norm=True, scalar_mix_parameters=[0.0, 1.0, 0.0])
    assert projected(IDS).shape == (2, 3, 7) and projected.get_output_dim() == 7
    top = _embedder(files, scalar_mix_parameters=[-9e10, -9e10, 1.0], dropout=0.0)
    torch.testing.assert_close(top(IDS)[0], top.bilm(IDS).layers[2][0, 1:-1])


@pytest.mark.slow
def test_a_folder_or_a_zip(elmo_files: Files, tmp_path: Path) -> None:
    files = elmo_files()
    expected = _embedder(files).eval()(IDS)
    for given in (str(files[0].parent), shutil.make_archive(str(tmp_path / "elmo"), "zip", files[0].parent)):
        embedder = TokenEmbedder.from_params(Params({"type": "elmo_mf", "options_file": given})).eval()
        assert torch.equal(embedder(IDS), expected)
    for keys, message in (
        ({"options_file": str(files[0])}, f"{files[0]}: "),
        ({"stored": "elmo"}, "stored: found 'elmo'"),
    ):
        with pytest.raises(InputError, match=message):
            TokenEmbedder.from_params(Params({"type": "elmo_mf", **keys}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"compression": {"method": "svd", "rank": 2, "target": "input"}}, "compression: .*'target'"),
        ({"cache_mb": 5, "requires_grad": True}, "cache_mb: "),
        ({"cache_mb": 5, "state": "carried"}, "cache_mb: "),
        ({"state": "warm"}, "state: found 'warm'"),
        ({"precision": "float16"}, "precision: found 'float16'"),
        ({"weight_file": "gone.hdf5"}, "gone.hdf5: "),
    ],
)
def test_errors(elmo_files: Files, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _embedder(elmo_files(), **keys)
