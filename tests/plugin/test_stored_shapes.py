"""Tests that loading a trained model needs only its archive: no text, no ELMo checkpoint and no factorization."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from allennlp.commands import main
from allennlp.commands.train import train_model
from allennlp.common import Params
from allennlp.models import Model
from allennlp.models.archival import load_archive
from allennlp.predictors import Predictor

from elmo_mf.bilm import Bilm
from elmo_mf.bilm.runtime import supports
from elmo_mf.bilm.weights import to_dense
from elmo_mf.compression import apply as application
from elmo_mf.compression.calibration import RowWeights, write_row_weights
from elmo_mf.errors import InputError
from elmo_mf.plugin import awd_lstm, token_embedder
from elmo_mf.plugin.stored_shapes import EncoderShapes
from tests.conftest import random_bilm

LINES = [{"text": "a b c", "label": "x"}, {"text": "b c", "label": "y"}, {"text": "c a d a", "label": "x"}]
FILES = {"options_file": "options.json", "weight_file": "weights.hdf5"}
SHAPES_KEY = "_text_field_embedder.token_embedder_elmo_mf._form._extra_state"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Folder with all files that a training run reads, to be deleted after it."""
    return _write_outside(tmp_path / "outside")


def _write_outside(folder: Path) -> Path:
    random_bilm().save(folder)
    (folder / "text.txt").write_text("the cat sat on the mat\na b c d\n" * 20, encoding="utf-8")
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, LINES)), encoding="utf-8")
    keys = {(d, k): w for (d, k), w in random_bilm().weights().lstms.items()}
    rows = {
        (*key, target): np.random.default_rng(0).uniform(1, 2, matrix.shape[0])
        for key, lstm in keys.items()
        for target, matrix in lstm.matrices.items()
    }
    write_row_weights(folder / "gradients.hdf5", RowWeights(rows), {"task": "none"})  # type: ignore[arg-type]
    return folder


def _config(outside: Path, embedders: dict[str, dict[str, Any]]) -> dict[str, Any]:
    files = {name: str(outside / file) for name, file in FILES.items()}
    token_embedders: dict[str, Any] = {"tokens": {"type": "embedding", "embedding_dim": 2}}
    token_embedders |= {name: {"type": "elmo_mf", **files, **keys} for name, keys in embedders.items()}
    return {
        "dataset_reader": {
            "type": "text_classification_json",
            "tokenizer": "just_spaces",
            "token_indexers": {"tokens": "single_id"} | dict.fromkeys(embedders, "elmo_characters"),
        },
        "train_data_path": str(outside / "data.jsonl"),
        "model": {
            "type": "basic_classifier",
            "text_field_embedder": {"token_embedders": token_embedders},
            "seq2vec_encoder": {"type": "bag_of_embeddings", "embedding_dim": 2 + 12 * len(embedders)},
        },
        "data_loader": {"batch_size": 2},
        "trainer": {"num_epochs": 2, "cuda_device": -1, "optimizer": {"type": "adam", "lr": 0.01}},
    }


def _trained(outside: Path, out: Path, **embedders: dict[str, Any]) -> tuple[Path, Any]:
    """Train a model; return its archive and its predictions on the data."""
    model = train_model(Params(_config(outside, embedders)), str(out), force=True)
    reader = load_archive(out / "model.tar.gz").dataset_reader  # while all files exist
    predictor = Predictor.by_name("text_classifier")(model.eval(), reader)
    return out / "model.tar.gz", _predictions(predictor)


def _predictions(predictor: Any) -> list[list[float]]:
    return [predictor.predict_json({"sentence": line["text"]})["probs"] for line in LINES]


def _loaded(archive: Path, overrides: str = "") -> Any:
    return Predictor.from_archive(load_archive(archive, overrides=overrides), "text_classifier")


@pytest.fixture
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Function after whose call every attempt to factorize, to distil or to read an ELMo fails."""

    def refused(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("something was computed or read")

    def refuse() -> None:
        for owner, name in (
            (application, "compress"), (application, "factorize"), (Bilm, "from_files"), (np.linalg, "svd"),
            (np.linalg, "eigh"), (token_embedder, "read_compression"), (awd_lstm, "read_compression"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, refused)

    return refuse


COMPRESSIONS: dict[str, Any] = {
    "dense": None,
    "calibration": {"method": "whitened_svd", "rank": 2, "targets": "all", "calibration": "TEXT"},
    "distilled": {"method": "svd", "rank": 2, "targets": "all", "distill": {"text": "TEXT", "steps": 2}},
    "gradients": {"method": "fisher_svd", "rank": 2, "targets": ["recurrent"], "gradients": "GRADIENTS"},
    "budget": {"method": "svd", "budget": {"share": 0.6}, "targets": "joint+projection", "calibration": "TEXT"},
    "one direction": {"method": "svd", "rank": 2, "targets": "all", "directions": ["forward"], "layers": [1]},
    "by gate": {"method": "svd", "rank": 2, "targets": "all", "granularity": "gate"},
    "pruned": {"method": "prune", "rank": 2, "targets": "all"},
    "highways": {"highway_rank": 3, "calibration": "TEXT"},
}


def _placed(compression: Any, outside: Path) -> Any:
    text = json.dumps(compression).replace("TEXT", str(outside / "text.txt"))
    return json.loads(text.replace("GRADIENTS", str(outside / "gradients.hdf5")))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a training with a compression, each run once; tests damage copies of it."""

    @cache
    def folder_of(name: str) -> Path:
        folder = tmp_path_factory.mktemp("trained")
        _trained(_write_outside(folder / "outside"), folder / "out", elmo_mf={"compression": COMPRESSIONS[name]})
        return folder / "out"

    return folder_of


@pytest.mark.slow
@pytest.mark.parametrize("requires_grad", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("name", COMPRESSIONS)
def test_loading_computes_nothing(
    name: str, requires_grad: bool, outside: Path, tmp_path: Path, nothing_is_computed: Callable[[], None]
) -> None:
    keys = {"compression": _placed(COMPRESSIONS[name], outside), "requires_grad": requires_grad}
    archive, expected = _trained(outside, tmp_path / "out", elmo_mf=keys)
    shutil.rmtree(outside)
    nothing_is_computed()
    predictor = _loaded(archive)
    np.testing.assert_allclose(_predictions(predictor), expected, rtol=1e-6)
    bilm = predictor._model._text_field_embedder.token_embedder_elmo_mf.bilm
    noted = bilm.options.extra.get("elmo_mf", {}).get("compressions", [])
    assert len(noted) == (keys["compression"] is not None)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["primed", "carried"])
def test_state_policies(state: str, outside: Path, tmp_path: Path, nothing_is_computed: Callable[[], None]) -> None:
    keys = {"compression": COMPRESSIONS["by gate"], "state": state}
    archive, expected = _trained(outside, tmp_path / "out", elmo_mf=keys)
    shutil.rmtree(outside)
    nothing_is_computed()
    if state == "primed":  # with `carried`, predictions depend on the last state of the training
        np.testing.assert_allclose(_predictions(_loaded(archive)), expected, rtol=1e-6)
    else:
        assert len(_predictions(_loaded(archive))) == len(LINES)


def test_pruned_weights_stay_zero_when_an_archive_is_trained_further(outside: Path, tmp_path: Path) -> None:
    keys = {"compression": COMPRESSIONS["pruned"], "requires_grad": True}
    archive, _ = _trained(outside, tmp_path / "out", elmo_mf=keys)
    model = load_archive(archive).model
    embedder = model._text_field_embedder.token_embedder_elmo_mf
    before = [to_dense(lstm.matrices["recurrent"]) for lstm in embedder.bilm.weights().lstms.values()]
    optimizer = torch.optim.SGD(embedder.parameters(), lr=0.1)
    embedder(torch.randint(1, 200, (2, 3, 50))).square().sum().backward()
    optimizer.step()
    after = [to_dense(lstm.matrices["recurrent"]) for lstm in embedder.bilm.weights().lstms.values()]
    for old, new in zip(before, after, strict=True):
        assert (old == 0).any() and ((old == 0) == (new == 0)).all() and (old != new).any()


@pytest.mark.slow
@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_frozen_encoder_is_loaded_in_its_precision_only(requires_grad: bool, outside: Path, tmp_path: Path) -> None:
    if not supports("int8"):
        pytest.skip("needs a processor with int8 products")
    keys = {"precision": "int8", "requires_grad": requires_grad}
    archive, expected = _trained(outside, tmp_path / "out", elmo_mf=keys)
    loaded = _loaded(archive)
    bilm = loaded._model._text_field_embedder.token_embedder_elmo_mf.bilm
    assert any(parameter.is_meta for parameter in bilm.parameters()) == (not requires_grad)
    np.testing.assert_allclose(_predictions(loaded), expected, rtol=1e-6)
    weights = torch.load(tmp_path / "out" / "best.th", weights_only=True)
    assert loaded._model.state_dict().keys() == weights.keys()


@pytest.mark.slow
def test_two_encoders_of_one_model(outside: Path, tmp_path: Path, nothing_is_computed: Callable[[], None]) -> None:
    first, second = ({"compression": {"method": "svd", "rank": rank, "targets": "all"}} for rank in (1, 3))
    archive, expected = _trained(outside, tmp_path / "out", first=first, second=second)
    shutil.rmtree(outside)
    nothing_is_computed()
    np.testing.assert_allclose(_predictions(_loaded(archive)), expected, rtol=1e-6)


@pytest.mark.slow
def test_evaluated_and_predicted_from_another_folder(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """AllenNLP's commands work although the config's paths are relative to the folder of the training."""
    keys = {"compression": {"method": "whitened_svd", "rank": 2, "targets": "all", "calibration": "text.txt"}}
    monkeypatch.chdir(outside)
    archive, expected = _trained(Path(), tmp_path / "out", elmo_mf=keys)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(archive, elsewhere / "model.tar.gz")
    shutil.move(outside / "data.jsonl", elsewhere / "data.jsonl")
    shutil.rmtree(outside)
    shutil.rmtree(tmp_path / "out")
    monkeypatch.chdir(elsewhere)

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["allennlp", *arguments, "--include-package", "elmo_mf.plugin"])
        main()

    run("evaluate", "model.tar.gz", "data.jsonl", "--output-file", "metrics.json")
    run("predict", "model.tar.gz", "data.jsonl", "--use-dataset-reader", "--output-file", "said.jsonl", "--silent")
    predictions = [json.loads(line) for line in Path("said.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([line["probs"] for line in predictions], expected, rtol=1e-5)
    right = [line["label"] == known["label"] for line, known in zip(predictions, LINES, strict=True)]
    assert json.loads(Path("metrics.json").read_text())["accuracy"] == pytest.approx(sum(right) / len(right))
    capsys.readouterr()


@pytest.mark.slow
def test_what_an_override_says_holds(outside: Path, tmp_path: Path) -> None:
    """Overridden paths may not exist, and overridden settings of the encoder take effect."""
    archive, expected = _trained(outside, tmp_path / "out", elmo_mf={"compression": COMPRESSIONS["by gate"]})
    shutil.rmtree(outside)
    where = "model.text_field_embedder.token_embedders.elmo_mf"
    predictor = _loaded(archive, json.dumps({f"{where}.weight_file": "moved.hdf5", f"{where}.cache_mb": 3}))
    np.testing.assert_allclose(_predictions(predictor), expected, rtol=1e-6)
    cache = predictor._model._text_field_embedder.token_embedder_elmo_mf.elmo_module.cache
    assert cache is not None and cache.max_bytes == 3_000_000


@pytest.mark.slow
def test_weights_of_an_epoch(outside: Path, tmp_path: Path) -> None:
    """Weights given by `--weights-file` are loaded."""
    keys = {"compression": COMPRESSIONS["pruned"], "requires_grad": True}
    archive, _ = _trained(outside, tmp_path / "out", elmo_mf=keys)
    shutil.rmtree(outside)
    first = next((tmp_path / "out").glob("model_state_e1_*.th"))
    model = load_archive(archive, weights_file=str(first)).model
    assert set(model.state_dict()) == set(torch.load(first))


def _without_shapes(folder: Path) -> None:
    state = torch.load(folder / "best.th")
    del state[SHAPES_KEY]
    torch.save(state, folder / "best.th")


@pytest.mark.slow
def test_archives_from_before(outside: Path, tmp_path: Path) -> None:
    """Archives without shapes are loaded from the ELMo's files."""
    archive, expected = _trained(outside, tmp_path / "out", elmo_mf={"compression": COMPRESSIONS["by gate"]})
    _without_shapes(archive.parent)
    np.testing.assert_allclose(_predictions(_loaded(archive.parent)), expected, rtol=1e-6)
    shutil.rmtree(outside)
    with pytest.raises(InputError, match=r"options\.json: "):
        _loaded(archive.parent)


@pytest.mark.slow
def test_training_reads_no_shapes(outside: Path, tmp_path: Path) -> None:
    """The encoder of a new model is read from its files, whatever its output folder contains."""
    out = tmp_path / "out"
    _trained(outside, out, elmo_mf={"requires_grad": True})
    model = Model.from_params(
        Params(_config(outside, {"elmo_mf": {}})["model"]), vocab=load_archive(out).model.vocab, serialization_dir=out
    )
    bilm = model._text_field_embedder.token_embedder_elmo_mf.bilm
    for key, lstm in random_bilm().weights().lstms.items():
        np.testing.assert_array_equal(bilm.weights().lstms[key].bias, lstm.bias)


def _bytes(text: str) -> torch.Tensor:
    return torch.tensor(list(text.encode()), dtype=torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "{", "Invalid JSON"),
        (lambda text: text.replace('"version":1', '"version":2'), "version"),
        (lambda text: text.replace('"bias":48', '"bias":-1'), r"bias"),
        (
            lambda text: text.replace('"bias":48', '"bias":48000000000'),
            r"192,000,\d{3},\d{3} numbers",
        ),
        (lambda text: text.replace('"kind":"dense"', '"kind":"factors"', 1), "do not form an encoder"),
        (lambda text: text.replace("char_embed", "other"), "do not form an encoder"),
        (lambda text: text.replace('"lstms":[[0,0', '"lstms":[[5,0'), "do not form an encoder"),
        (lambda text: text.replace('"shapes":[[48,6]]', '"shapes":[]', 1), "do not form an encoder"),
        (lambda text: "[" * 100_000, "recursion limit|Invalid JSON"),
        (lambda text: " " * (1 << 21), "at most 1048576"),
        (lambda text: torch.tensor([0.5, float("nan")]), "at most 1048576"),
        (lambda text: torch.tensor([91.0]).to_sparse(), "at most 1048576"),
        (lambda text: 3, "found int"),
    ],
)
def test_a_strangers_shapes(change: Any, message: str, trained: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(trained("dense"), tmp_path / "out")
    state = torch.load(folder / "best.th")
    changed = change(bytes(state[SHAPES_KEY].byte().tolist()).decode())
    state[SHAPES_KEY] = _bytes(changed) if isinstance(changed, str) else changed
    torch.save(state, folder / "best.th")
    with pytest.raises(InputError, match=message) as caught:
        _loaded(folder)
    if "do not form an encoder" not in message:
        assert "best.th" in str(caught.value) and SHAPES_KEY in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_damaged_weights(
    share: float, trained: Callable[[str], Path], tmp_path: Path, nothing_is_computed: Callable[[], None]
) -> None:
    """The error names the weights before anything is computed or another file is read."""
    folder = shutil.copytree(trained("by gate"), tmp_path / "out")
    weights = folder / "best.th"
    content = weights.read_bytes()
    weights.write_bytes(content[: int(share * len(content))])
    nothing_is_computed()
    with pytest.raises(InputError, match=r"best\.th: found weights"):
        load_archive(folder)
    weights.unlink()
    with pytest.raises(InputError, match=r"best\.th: no such"):
        load_archive(folder)


@pytest.mark.slow
@pytest.mark.parametrize("difference", [{"cell_clip": 0.5}, {"dim": 20}])
def test_two_encoders_whose_files_moved(difference: dict[str, Any], outside: Path, tmp_path: Path) -> None:
    """The config's paths distinguish them even if no files exist; with other paths, mixed-up forms are an error."""
    random_bilm(**difference).save(outside / "other")
    other = {name: str(outside / "other" / file) for name, file in FILES.items()}
    archive, expected = _trained(outside, tmp_path / "out", first={}, second=other)
    shutil.rmtree(outside)
    np.testing.assert_allclose(_predictions(_loaded(archive)), expected, rtol=1e-6)
    where = "model.text_field_embedder.token_embedders"
    moved = {
        f"{where}.{encoder}.{name}": f"moved/{file}" for encoder in ("first", "second") for name, file in FILES.items()
    }
    with pytest.raises(InputError, match=r"weights: .*other/options\.json"):
        _loaded(archive, json.dumps(moved))


def test_language_models(tmp_path: Path, nothing_is_computed: Callable[[], None]) -> None:
    """Ranks within a budget depend on the random weights that were factorized, so they are read from the archive."""
    (tmp_path / "text.txt").write_text("a b c d e f g\n" * 20, encoding="utf-8")
    compression = {"method": "svd", "budget": {"share": 0.5}, "targets": "joint", "allocation": "matrices"}
    config = {
        "dataset_reader": {"type": "language_text"},
        "train_data_path": str(tmp_path / "text.txt"),
        "data_loader": {"type": "text_streams", "batch_size": 2, "steps": 5},
        "model": {
            "type": "awd_lstm", "embedding_dim": 8, "hidden_size": 12, "num_layers": 2, "compression": compression,
        },
        "trainer": {"num_epochs": 1, "cuda_device": -1, "optimizer": "adam"},
    }  # fmt: skip
    model = train_model(Params(config), str(tmp_path / "out"))
    nothing_is_computed()
    torch.manual_seed(7)
    loaded = load_archive(tmp_path / "out" / "model.tar.gz").model
    assert EncoderShapes.of(loaded.core.weights(), compression=None) == EncoderShapes.of(
        model.core.weights(), compression=None
    )
    for (name, old), (other, new) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert name == other
        torch.testing.assert_close(new, old)
