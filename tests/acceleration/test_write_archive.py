"""Archives whose encoders were replaced: AllenNLP's predictions before and after, example by example."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from allennlp.models.archival import load_archive
from allennlp.predictors import Predictor

import elmo_mf
from elmo_mf.acceleration import (
    EncoderSettings,
    StockSettings,
    accelerated,
    encoder_bytes,
    load_stock,
    open_archive,
    read_instances,
    write_accelerated,
    write_stock,
)
from elmo_mf.bilm.runtime import Precision
from elmo_mf.bilm.runtime_settings import use_settings
from elmo_mf.errors import InputError
from elmo_mf.records import Compression
from tests.acceleration.conftest import Archives
from tests.acceleration.models import TAGGER, stock_config, trained
from tests.conftest import ROOT, random_bilm
from tests.processes import in_another_process, run_allennlp

pytestmark = pytest.mark.slow

HALF = Compression(method="svd", rank=2, targets="all")


def _data(archive: Path) -> Path:
    return next((archive.parents[1] / "data").glob("dev*"))


def _predictions(model: Any, reader: Any, data: Path) -> list[dict[str, Any]]:
    model.eval()
    instances = list(reader.read(str(data)))[:8]
    batches = instances[:5], instances[5:], instances[:1]  # a state is carried over batches that shrink and grow
    return [output for batch in batches for output in model.forward_on_instances(batch)]


def _assert_same(actual: list[dict[str, Any]], expected: list[dict[str, Any]], tolerance: float = 1e-4) -> None:
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            if isinstance(value, (np.ndarray, np.floating, float)):
                np.testing.assert_allclose(ours[key], value, atol=tolerance, err_msg=key)
            else:
                assert ours[key] == value


def _convert(archive: Path, out: Path, settings: EncoderSettings) -> list[dict[str, Any]]:
    """Write an archive, and return what the original predicts."""
    with open_archive(archive) as opened:
        loaded = load_stock(opened, StockSettings())
        predictions = _predictions(loaded.model, loaded.reader, _data(archive))
        write_accelerated(out, opened, accelerated(loaded, settings), settings)
    return predictions


@pytest.mark.parametrize("task", ["sst", "snli", "squad", TAGGER])
def test_predictions_stay(task: str, archives: Archives, tmp_path: Path) -> None:
    """The archive alone is needed, elsewhere too; all but the encoder stays bit for bit."""
    original, out = archives(task), tmp_path / "elsewhere" / "fast.tar.gz"
    expected = _convert(original, out, EncoderSettings())
    fast = load_archive(out)
    _assert_same(_predictions(fast.model, fast.validation_dataset_reader, _data(original)), expected)
    with open_archive(original) as before, open_archive(out) as after:
        theirs, ours = before.state_dict(), after.state_dict()
    outside_the_lstm = [name for name in theirs if "._elmo_lstm." not in name]
    assert outside_the_lstm and all(torch.equal(theirs[name], ours[name]) for name in outside_the_lstm)
    config = fast.config.as_dict(quiet=True)
    assert str(original.parent) not in json.dumps(config["model"])
    assert '"elmo_characters"' not in json.dumps(config["dataset_reader"])


FORMS = {
    "dense": None,
    "factors": Compression(method="svd", rank=3, targets="all", highway_rank=6),
    "pruned": Compression(method="prune", rank=2, targets="all"),
}


def _encoder_state(archive: Path) -> dict[str, torch.Tensor]:
    with open_archive(archive) as opened:
        state = opened.state_dict()
    return {name.partition(".bilm.")[2]: numbers for name, numbers in state.items() if ".bilm." in name}


@pytest.mark.parametrize("quantized_numbers", [1, 1e9], ids=["gates in int8", "gates in bfloat16"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
@pytest.mark.parametrize("task", ["sst", TAGGER], ids=["frozen", "fine-tuned"])
def test_stored_in_the_precision(
    task: str, precision: Precision, form: str, quantized_numbers: float, archives: Archives, tmp_path: Path
) -> None:
    """All matrices of products are in int8 or bfloat16, and the archive computes exactly what was measured."""
    out, settings = tmp_path / "fast.tar.gz", EncoderSettings(FORMS[form], precision, "zero")
    with open_archive(archives(task)) as opened, use_settings(quantized_numbers=quantized_numbers):
        measured = accelerated(load_stock(opened, StockSettings()), settings)
        write_accelerated(out, opened, measured, settings)
        fast = load_archive(out)
        data = _data(archives(task))
        expected = _predictions(measured.model, measured.reader, data)
        _assert_same(_predictions(fast.model, fast.validation_dataset_reader, data), expected, tolerance=0)
    state = _encoder_state(out)
    products = {name: numbers.dtype for name, numbers in state.items() if re.search(r"(left|right|weight)$", name)}
    convolutions = {name for name in products if "convolutions" in name}
    assert {products.pop(name) for name in convolutions} == {torch.float32}
    assert set(products.values()) == {getattr(torch, precision)}
    assert encoder_bytes(measured) == sum(numbers.nbytes for numbers in state.values())


def test_in_another_process(archives: Archives, tmp_path: Path) -> None:
    """AllenNLP's own command, with the plugin, predicts what was measured."""
    original, out, outputs = archives(TAGGER), tmp_path / "fast.tar.gz", tmp_path / "outputs.jsonl"
    settings, data = EncoderSettings(HALF, "int8", "zero"), _data(original)
    with open_archive(original) as opened:
        measured = accelerated(load_stock(opened, StockSettings()), settings)
        write_accelerated(out, opened, measured, settings)
    options = ["--use-dataset-reader", "--silent", "--output-file", outputs, "--include-package", "elmo_mf.plugin"]
    in_another_process(run_allennlp, ROOT, "predict", out, data, *options)
    predicted = [json.loads(line) for line in outputs.read_text().splitlines()]
    expected = [measured.model.forward_on_instance(instance) for instance in measured.reader.read(str(data))]
    assert [one["tags"] for one in predicted] == [one["tags"] for one in expected]
    for ours, theirs in zip(predicted, expected, strict=True):
        np.testing.assert_array_equal(np.float32(ours["logits"]), theirs["logits"])


@pytest.fixture(scope="module")
def in_int8(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The members of an archive in int8."""
    path = tmp_path_factory.mktemp("int8") / "fast.tar.gz"
    _convert(archives("sst"), path, EncoderSettings(precision="int8"))
    return _members(path)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (None, "missing"),
        (lambda largest: largest.double(), "found torch.float64"),
        (lambda largest: largest[:-1], r"found torch.float32 \(1, 1, 48\)"),
        (lambda largest: -largest, "found numbers that are negative"),
        (lambda largest: largest / 0, "found numbers that are negative or not finite"),
    ],
)
def test_damaged_scales(change: Any, found: str, in_int8: dict[str, bytes], tmp_path: Path) -> None:
    state = torch.load(io.BytesIO(in_int8["weights.th"]), weights_only=True)
    (name,) = (name for name in state if name.endswith("layers.0.groups.0.input.left_largest"))
    if change is None:
        del state[name]
    else:
        state[name] = change(state[name])
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = _packed(tmp_path / "fast.tar.gz", {**in_int8, "weights.th": buffer.getvalue()})
    with pytest.raises(
        InputError, match=rf"weights: [a-z0-9._]*left_largest: {found}.*expected the largest magnitudes"
    ):
        load_archive(path)


def test_truncated_weights(in_int8: dict[str, bytes], tmp_path: Path) -> None:
    content = in_int8["weights.th"]
    path = _packed(tmp_path / "fast.tar.gz", {**in_int8, "weights.th": content[: len(content) // 2]})
    with pytest.raises(InputError, match="found weights that cannot be read"):
        load_archive(path)


def test_compressed(archives: Archives, tmp_path: Path) -> None:
    """The vectors are those of the compressed weights, in AllenNLP's encoder too."""
    original = archives(TAGGER)
    settings = EncoderSettings(HALF)
    fast, stock = tmp_path / "fast.tar.gz", tmp_path / "stock.tar.gz"
    _convert(original, fast, settings)
    with open_archive(original) as opened:
        loaded = load_stock(opened, StockSettings())
        write_stock(stock, opened, loaded, accelerated(loaded, settings))
    ours = load_archive(fast)
    with open_archive(stock) as opened:
        theirs = load_stock(opened, StockSettings())
    data = _data(original)
    expected = _predictions(theirs.model, theirs.reader, data)
    _assert_same(_predictions(ours.model, ours.validation_dataset_reader, data), expected)
    with open_archive(original) as opened:
        dense = load_stock(opened, StockSettings())
    with pytest.raises(AssertionError):
        _assert_same(_predictions(dense.model, dense.reader, data), expected)


def test_equal_archives_have_equal_bytes(archives: Archives, tmp_path: Path) -> None:
    for name in ("a", "b"):
        _convert(archives("sst"), tmp_path / name / "fast.tar.gz", EncoderSettings())
    assert (tmp_path / "a" / "fast.tar.gz").read_bytes() == (tmp_path / "b" / "fast.tar.gz").read_bytes()


def test_the_folder_of_a_training(archives: Archives, tmp_path: Path) -> None:
    expected = _convert(archives("sst"), tmp_path / "a.tar.gz", EncoderSettings())
    with open_archive(archives("sst").parent) as opened:
        loaded = load_stock(opened, StockSettings())
        write_accelerated(tmp_path / "b.tar.gz", opened, accelerated(loaded, EncoderSettings()), EncoderSettings())
    fast = load_archive(tmp_path / "b.tar.gz")
    data = _data(archives("sst"))
    _assert_same(_predictions(fast.model, fast.validation_dataset_reader, data), expected)


def test_several_elmos_of_different_sizes(tmp_path: Path) -> None:
    """Each place of the config gets the encoder that its parameters are of, whatever the order."""
    configs = []
    for name, width in (("large", 6), ("small", 4)):
        random_bilm(seed=3, projection_dim=width).save(tmp_path / name)
        files = tmp_path / name / "options.json", tmp_path / name / "weights.hdf5"
        configs.append(stock_config(TAGGER, files, tmp_path / f"data-{name}"))
    config = configs[0]
    embedders = config["model"]["text_field_embedder"]["token_embedders"]
    embedders["second"] = configs[1]["model"]["text_field_embedder"]["token_embedders"]["elmo"]
    config["dataset_reader"]["token_indexers"]["second"] = {"type": "elmo_characters"}
    config["model"]["encoder"]["input_size"] += 8
    archive = trained(config, tmp_path / "out")
    with open_archive(archive) as opened:
        loaded = load_stock(opened, StockSettings())
        write_accelerated(tmp_path / "fast.tar.gz", opened, accelerated(loaded, EncoderSettings()), EncoderSettings())
    data = tmp_path / "data-large" / "dev.tsv"
    fast, stock = load_archive(tmp_path / "fast.tar.gz"), load_archive(archive)
    expected = _predictions(stock.model, stock.validation_dataset_reader, data)
    _assert_same(_predictions(fast.model, fast.validation_dataset_reader, data), expected)


def test_cached_words(archives: Archives, tmp_path: Path) -> None:
    """Word vectors that AllenNLP computed beforehand (vocab_to_cache) are computed from characters instead."""
    random_bilm(seed=5).save(tmp_path / "elmo")
    files = tmp_path / "elmo" / "options.json", tmp_path / "elmo" / "weights.hdf5"
    archive = trained(stock_config(TAGGER, files, tmp_path / "data", vocab_to_cache=["the", "cat"]), tmp_path / "out")
    expected = _convert(archive, tmp_path / "fast.tar.gz", EncoderSettings())
    fast = load_archive(tmp_path / "fast.tar.gz")
    _assert_same(_predictions(fast.model, fast.validation_dataset_reader, _data(archive)), expected)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_loaded_model(wrapped: bool, archives: Archives) -> None:
    """In place, in a model or in a predictor."""
    with open_archive(archives(TAGGER)) as opened:
        loaded = load_stock(opened, StockSettings())
    data = _data(archives(TAGGER))
    expected = _predictions(loaded.model, loaded.reader, data)
    for module in loaded.model.modules():
        if hasattr(module, "reset_states"):
            module.reset_states()
    model = Predictor(loaded.model, loaded.reader) if wrapped else loaded.model
    assert elmo_mf.accelerate(model) == ["text_field_embedder.token_embedder_elmo._elmo"]
    _assert_same(_predictions(loaded.model, loaded.reader, data), expected)
    with pytest.raises(InputError, match="without AllenNLP's ELMo"):
        elmo_mf.accelerate(model)


def _members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]


def _packed(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name) if isinstance(content, bytes) else content
            raw = content if isinstance(content, bytes) else b""
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return path


def _link() -> tarfile.TarInfo:
    member = tarfile.TarInfo("vocabulary/link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


class _Code:
    def __reduce__(self) -> Any:
        return print, ("this ran",)


def _pickled() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": _Code()}, buffer)
    return buffer.getvalue()


def _with_config(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    def changed(members: dict[str, Any]) -> None:
        config = json.loads(members["config.json"])
        change(config)
        members["config.json"] = json.dumps(config).encode()

    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda members: members.update({"../out.txt": b"x"}), "outside the archive"),
        (lambda members: members.update({"/tmp/out.txt": b"x"}), "outside the archive"),
        (lambda members: members.update({"vocabulary/link": _link()}), "a link or a special file"),
        (lambda members: members.update({"huge": bytes(200_000_000)}), "more than an archive"),
        (lambda members: members.update({"weights.th": _pickled()}), "found weights"),
        (lambda members: members.update({"weights.th": pickle.dumps([1])}), "found weights"),
        (lambda members: members.pop("weights.th"), "found no best.th"),
        (lambda members: members.pop("config.json"), "found no config.json"),
        (lambda members: members.update({"config.json": b"{"}), "config.json"),
        (lambda members: members.update({"meta.json": b'{"version": "9.0.0"}'}), "meta.json: version: found '9.0.0'"),
        (_with_config(lambda config: config["model"]["encoder"].update(hidden_size=9)), "does not fit"),
        (
            _with_config(lambda config: config["model"]["text_field_embedder"]["token_embedders"].clear()),
            "an ELMo outside",
        ),
        (_with_config(lambda config: config["dataset_reader"].update(type="none")), "dataset_reader: cannot be built"),
    ],
)
def test_bad_archives(
    change: Callable[[dict[str, Any]], object], message: str, archives: Archives, tmp_path: Path, capsys: Any
) -> None:
    members: dict[str, Any] = dict(_members(archives(TAGGER)))
    change(members)
    path = _packed(tmp_path / "model.tar.gz", members)
    with pytest.raises(InputError) as error, open_archive(path) as opened:
        load_stock(opened, StockSettings())
    assert message in str(error.value) and str(error.value).startswith(str(path)) and "\n" not in str(error.value)
    assert "this ran" not in capsys.readouterr().out and [file.name for file in tmp_path.iterdir()] == ["model.tar.gz"]


def test_a_truncated_archive(archives: Archives, tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(archives(TAGGER).read_bytes()[:2000])
    with pytest.raises(InputError, match="found a damaged archive"), open_archive(path):
        pass


def test_an_archive_without_elmo(archives: Archives, tmp_path: Path) -> None:
    members: dict[str, Any] = dict(_members(archives(TAGGER)))
    config = json.loads(members["config.json"])
    config["model"]["text_field_embedder"]["token_embedders"] = {"elmo": {"type": "elmo_mf", "stored": "elmo"}}
    state = torch.load(io.BytesIO(members["weights.th"]), weights_only=True)
    buffer = io.BytesIO()
    torch.save({name: value for name, value in state.items() if "_elmo" not in name}, buffer)
    members |= {"weights.th": buffer.getvalue(), "config.json": json.dumps(config).encode()}
    for kind, message in (("elmo_mf", "elmo-mf already"), ("embedding", "found no ELMo")):
        config["model"]["text_field_embedder"]["token_embedders"]["elmo"]["type"] = kind
        members["config.json"] = json.dumps(config).encode()
        path = _packed(tmp_path / f"{kind}.tar.gz", members)
        with pytest.raises(InputError, match=message), open_archive(path) as opened:
            load_stock(opened, StockSettings())


def test_compressed_archives_only(tmp_path: Path) -> None:
    """Files that are no archives at all."""
    path = tmp_path / "model.tar.gz"
    for content in (gzip.compress(b"x" * 2000), b"x"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"found a damaged archive \(no tar file\)"), open_archive(path):
            pass


def test_no_examples(archives: Archives, tmp_path: Path) -> None:
    with open_archive(archives(TAGGER)) as opened:
        loaded = load_stock(opened, StockSettings())
    (tmp_path / "empty.tsv").touch()
    with pytest.raises(InputError, match="found no examples"):
        read_instances(loaded, tmp_path / "empty.tsv")
    with pytest.raises(InputError, match="cannot be read"):
        read_instances(loaded, tmp_path / "missing.tsv")
