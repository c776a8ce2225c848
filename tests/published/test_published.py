"""Each architecture that is published with ELMo trains, evaluates, predicts and loads from its archive with `elmo_mf`,
and runs with AllenNLP's own embedder."""

from __future__ import annotations

import inspect
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import spacy
from allennlp.commands.evaluate import evaluate_from_archive
from allennlp.commands.train import train_model
from allennlp.common import Params
from allennlp.common.plugins import import_plugins
from allennlp.common.util import sanitize
from allennlp.models.archival import load_archive
from allennlp.modules.token_embedders import ElmoTokenEmbedder
from allennlp.predictors import Predictor
from allennlp.training.metrics.evalb_bracketing_scorer import DEFAULT_EVALB_DIR

from elmo_mf.plugin import ElmoMfTokenEmbedder
from elmo_mf.plugin.token_embedder import files_of_config
from tests.conftest import random_bilm
from tests.published import configs, data

pytestmark = pytest.mark.slow

SENTENCE = {"sentence": "John saw Mary ."}
PAIR = {"premise": "A cat sat .", "hypothesis": "A cat moved ."}
ASKED = {"passage": data.CONTEXT, "question": "Who saw Mary ?"}
PUBLISHED: dict[str, tuple[configs.Config, str, dict[str, Any]]] = {
    "ner_elmo": (configs.ner, "sentence_tagger", SENTENCE),
    "fine-grained-ner": (configs.fine_grained_ner, "sentence_tagger", SENTENCE),
    "srl_elmo": (configs.srl, "semantic_role_labeling", SENTENCE),
    "open_information_extraction": (configs.srl, "open_information_extraction", SENTENCE),
    "constituency_parser_elmo": (configs.constituency, "constituency_parser", SENTENCE),
    "biattentive_classification_network_elmo": (configs.bcn, "text_classifier", SENTENCE),
    "esim_elmo": (configs.esim, "textual_entailment", PAIR),
    "decomposable_attention_elmo": (configs.decomposable_attention, "textual_entailment", PAIR),
    "bidaf_elmo": (configs.bidaf, "reading_comprehension", ASKED),
    "dialog_qa": (configs.dialog_qa, "dialog_qa", json.loads(data.quac())["data"][0]),
    "coref": (configs.coreference, "coreference_resolution", {"document": "John saw Mary . She likes New York ."}),
    "dependency_parser": (configs.dependencies, "biaffine_dependency_parser", SENTENCE),
}
TAGGED = {
    "sentence_tagger", "semantic_role_labeling", "open_information_extraction", "constituency_parser",
    "coreference_resolution", "biaffine_dependency_parser",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the data, and an ELMo."""
    import_plugins()
    data.write(tmp_path)
    random_bilm().save(tmp_path / "elmo")
    shutil.copytree(DEFAULT_EVALB_DIR, tmp_path / "EVALB")
    return tmp_path


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A spaCy model on disk that knows verbs from nouns: those that are published have to be downloaded."""
    model = spacy.blank("en")
    model.add_pipe("sentencizer")
    rules: Any = model.add_pipe("attribute_ruler")
    rules.add([[{"LOWER": {"IN": data.VERBS}}]], {"POS": "VERB", "TAG": "VBD"})
    rules.add([[{"LOWER": {"NOT_IN": data.VERBS}}]], {"POS": "NOUN", "TAG": "NN"})
    path = tmp_path_factory.mktemp("tagger") / "en_made_up"
    model.to_disk(path)
    return str(path)


def _elmo(folder: Path, kind: str, **keys: Any) -> dict[str, Any]:
    files = {
        "options_file": str(folder / "elmo" / "options.json"),
        "weight_file": str(folder / "elmo" / "weights.hdf5"),
    }
    return {"type": kind, **files, "do_layer_norm": False, "dropout": 0.1, **keys}


def _needs_a_compiler(name: str) -> None:
    if name == "constituency_parser_elmo" and not (shutil.which("make") and shutil.which("gcc")):
        pytest.skip("EVALB has to be compiled")


def _outputs(model: Any, reader: Any, path: str) -> Any:
    return [sanitize(model.eval().forward_on_instance(instance)) for instance in reader.read(path)]


def _close(actual: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        actual, expected = list(actual.values()), list(expected.values())
    if isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            _close(one, other)
    elif isinstance(expected, float):
        assert actual == pytest.approx(expected, rel=1e-4, abs=1e-5)
    else:
        assert actual == expected


@pytest.mark.parametrize("name", PUBLISHED)
def test_elmo_mf(name: str, folder: Path, tagger: str) -> None:
    _needs_a_compiler(name)
    build, predictor, asked = PUBLISHED[name]
    text = folder / "text.txt"
    text.write_text("John saw Mary .\n" * 10, encoding="utf-8")
    compression = {"method": "whitened_svd", "rank": 2, "targets": "all", "calibration": str(text)}
    config = build(folder, _elmo(folder, "elmo_mf", compression=compression))
    validation = config["validation_data_path"]
    model = train_model(Params(json.loads(json.dumps(config))), str(folder / "out"))
    archive = load_archive(folder / "out" / "model.tar.gz")
    expected = _outputs(model, archive.validation_dataset_reader, validation)
    shutil.rmtree(folder / "elmo")
    text.unlink()
    _close(
        _outputs(load_archive(folder / "out" / "model.tar.gz").model, archive.validation_dataset_reader, validation),
        expected,
    )
    metrics = evaluate_from_archive(str(folder / "out" / "model.tar.gz"), validation)
    assert math.isfinite(metrics[config["trainer"]["validation_metric"][1:]])
    extra = {"language": tagger} if predictor in TAGGED else {}
    archive = load_archive(folder / "out" / "model.tar.gz")
    assert Predictor.from_archive(archive, predictor, extra_args=extra).predict_json(asked)


@pytest.mark.parametrize("name", [*PUBLISHED, "bcn"])
def test_allennlps_own(name: str, folder: Path) -> None:
    """With the key unmodified."""
    _needs_a_compiler(name)
    build = configs.bcn_with_its_own_elmo if name == "bcn" else PUBLISHED[name][0]
    config = build(folder, _elmo(folder, "elmo_token_embedder"))
    validation = config["validation_data_path"]
    train_model(Params(json.loads(json.dumps(config))), str(folder / "out"))
    assert math.isfinite(evaluate_from_archive(str(folder / "out" / "model.tar.gz"), validation)["loss"])


def test_the_same_parameters() -> None:
    """What configs say of `elmo_token_embedder`, or leave to its defaults, holds for `elmo_mf`."""
    theirs = inspect.signature(ElmoTokenEmbedder.__init__).parameters
    ours = inspect.signature(ElmoMfTokenEmbedder.__init__).parameters
    files = [theirs[name].default for name in ("options_file", "weight_file")]
    assert files_of_config(None, None) == files and files_of_config(None, "mine.hdf5") == [files[0], "mine.hdf5"]
    for name, parameter in theirs.items():
        assert name in ours and (parameter.default in files or ours[name].default == parameter.default)
