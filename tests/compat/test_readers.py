"""Tests that every registered dataset reader reads a file of its format into a batch, or reports why it cannot."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from allennlp.common import Params, Registrable
from allennlp.common.plugins import import_plugins
from allennlp.data import DatasetReader, Vocabulary
from allennlp.data.batch import Batch
from allennlp.data.data_loaders import MultiTaskDataLoader
from allennlp.data.data_loaders.multitask_scheduler import MultiTaskScheduler

from tests.compat import transformer
from tests.published import data

import_plugins()
CSV = ",".join(["", "q1", "", "a cat", *[""] * 3, *"abcd", "2"])
RECORD = {
    "id": "r", "source": "made up",
    "passage": {"text": "John saw Mary .", "entities": [{"start": 0, "end": 3}, {"start": 9, "end": 12}]},
    "qas": [{"id": "r1", "query": "@placeholder saw the cat .", "answers": [{"start": 0, "end": 3, "text": "John"}]}],
}  # fmt: skip
DROP_ANSWER = {"number": "", "date": {"day": "", "month": "", "year": ""}, "spans": ["John"]}
DROP = {"p": {"passage": "John saw 2 cats .",
              "qa_pairs": [{"query_id": "q", "question": "Who ?", "answer": DROP_ANSWER}]}}  # fmt: skip
CHOICES = {
    "id": "c", "answerKey": "B",
    "question": {"stem": "Who ?", "choices": [{"label": "A", "text": "a"}, {"label": "B", "text": "b"}]},
}  # fmt: skip
HOPS = [{"id": "h", "candidates": ["a", "b"], "query": "in c", "supports": ["a is b"], "answer": "b"}]
SDP = "#1\n1\tJohn\tJohn\tNNP\t2\tnn\t-\t-\t_\tARG1\n2\tsat\tsit\tVBD\t0\troot\t+\t+\tx\t_\n\n"
CCG = "ID=1\n(<T S 0 2> (<L NP NNP NNP John NP>) (<L S VBD VBD sat S>))\n"
PRECO = {"sentences": [["John", "sat", "."], ["He", "saw", "."]], "mention_clusters": [[[0, 0, 1], [1, 0, 1]]]}
BERT = {"transformer_model_name": "BERT"}
LINES: dict[str, Any] = {"type": "text_classification_json", "tokenizer": "just_spaces"}
LINE = '{"text": "a b", "label": "x"}\n'

READERS: dict[str, tuple[dict[str, Any], str, int]] = {
    "babi": ({}, "1 John sat.\n2 Who sat?\tJohn\t1\n", 1),
    "boolq": ({}, '{"passage": "a b", "question": "a", "label": true}\n', 1),
    "ccgbank": ({}, CCG, 1),
    "commonsenseqa": (BERT, json.dumps(CHOICES) + "\n", 1),
    "conll2000": ({}, "John NNP B-NP\nsat VBD B-VP\n\n", 1),
    "copynet_seq2seq": ({"target_namespace": "target"}, "a b\tb\n", 1),
    "drop": ({}, json.dumps(DROP), 1),
    "fake": ({**BERT, "max_instances": 2}, "", 2),
    "language_text": ({}, "a b\n", 1),
    "masked_language_modeling": ({}, "the cat sat\n", 1),
    "next_token_lm": ({}, "the cat sat\n", 1),
    "piqa": (BERT, '{"goal": "a", "sol1": "b", "sol2": "c"}\n', 1),
    "preco": ({"max_span_width": 3}, json.dumps(PRECO) + "\n", 1),
    "qangaroo": ({}, json.dumps(HOPS), 1),
    "quora_paraphrase": ({}, "1\ta b\ta c\t7\n", 1),
    "semantic_dependencies": ({}, SDP, 1),
    "seq2seq": ({}, "a b\tb\n", 1),
    "sequence_tagging": ({}, "a###X b###Y\n", 1),
    "simple_language_modeling": ({}, "a b\n", 1),
    "superglue_record": (BERT, json.dumps({"data": [RECORD]}), 1),
    "swag": (BERT, f"header\n{CSV}\n", 1),
    "text_classification_json": ({}, LINE, 1),
    "transformer_squad": (BERT, "squad.json", 2),
    "transformer_superglue_rte": (BERT, '{"premise": "a", "hypothesis": "b", "label": "entailment", "idx": 0}\n', 1),
    "winobias": ({"max_span_width": 3}, "[John] saw the cat because [he] sat.\n", 1),
    # files of tests/published/data.py
    "conll2003": ({}, "conll2003.txt", 3),
    "coref": ({"max_span_width": 3}, "ontonotes/a.gold_conll", 1),
    "ontonotes_ner": ({"coding_scheme": "BIOUL"}, "ontonotes", 3),
    "ptb_trees": ({}, "trees.txt", 3),
    "quac": ({}, "quac.json", 1),
    "snli": ({}, "snli.jsonl", 3),
    "squad": ({}, "squad.json", 2),
    "squad1": ({}, "squad.json", 2),
    "squad2": ({}, "squad.json", 2),
    "srl": ({}, "ontonotes", 3),
    "sst_tokens": ({}, "sst.txt", 3),
    "universal_dependencies": ({}, "dependencies.conllu", 3),
    # readers that wrap other readers
    "interleaving": ({"readers": {"one": LINES, "two": LINES}}, '{"one": "FOLDER/one", "two": "FOLDER/one"}', 2),
    "multitask_shim": ({"inner": LINES, "head": "one"}, LINE, 1),
    "sharded": ({"base_reader": LINES}, "shards", 2),
}
OWN_TESTS = {"sst_phrases", "cnn_dm", "multitask", "piqa_tt", "triviaqa"}
GQA = {"1": {"imageId": "p", "question": "a b", "answer": "c"}}
VGQA = [{"qas": [{"image_id": "p", "qa_id": 1, "question": "a b", "answer": "c"}]}]
VQA = {"questions": [{"question_id": 1, "image_id": 7, "question": "a b"}]}
VQA_ANSWERS = {"annotations": [{"question_id": 1, "answers": [{"answer": "c"}]}]}
ENTAILMENT = {"Flickr30K_ID": "p", "sentence2": "a b", "gold_label": "neutral"}
PICTURES: dict[str, tuple[dict[str, Any], str]] = {
    "flickr30k": ({"data_dir": "captions", "featurize_captions": False}, "p\n"),
    "gqa": ({}, json.dumps(GQA)),
    "nlvr2": ({}, json.dumps({"identifier": "p-0", "sentence": "a b", "label": "True"}) + "\n"),
    "vgqa": ({}, json.dumps(VGQA)),
    "visual-entailment": ({}, json.dumps(ENTAILMENT) + "\n"),
    "vqav2": ({}, json.dumps(VQA)),
}
WITHOUT_PICTURES = ("gqa", "visual-entailment", "vqav2")
"""Readers that can read the texts alone, if the config has no `image_loader`."""


def test_nothing_is_left_out() -> None:
    registered = set(Registrable._registry[DatasetReader])
    assert registered == {*READERS, *OWN_TESTS, *PICTURES}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return transformer.save(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data.write(tmp_path)
    (tmp_path / "shards").mkdir()
    for path in (tmp_path / "one", tmp_path / "shards" / "a", tmp_path / "shards" / "b"):
        path.write_text(LINE, encoding="utf-8")
    return tmp_path


def _batch(reader: DatasetReader, path: str) -> int:
    """Read a file, build a batch of all its instances, and return their number."""
    instances = list(reader.read(path))
    batch = Batch(instances)
    batch.index_instances(Vocabulary.from_instances(instances))
    assert batch.as_tensor_dict()
    return len(instances)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_reads(name: str, folder: Path, bert: str) -> None:
    keys, text, instances = READERS[name]
    path = folder / text if len(text) < 100 and text and (folder / text).exists() else folder / "file.jsonl"
    if path.name == "file.jsonl":
        path.write_text(text.replace("FOLDER", str(folder)), encoding="utf-8")
        (folder / "file-labels.lst").write_text("1\n", encoding="utf-8")
    file: Any = text.replace("FOLDER", str(folder)) if name == "interleaving" else str(path)
    params = json.loads(json.dumps({"type": name, **keys}).replace("BERT", bert))
    assert _batch(DatasetReader.from_params(Params(params)), f"{file}/*" if name == "sharded" else file) == instances


def test_stories(folder: Path) -> None:
    """`cnn_dm` reads a list of URLs, and the stories of these URLs from a folder beside it."""
    (folder / "lists").mkdir()
    (folder / "cnn_stories").mkdir()
    (folder / "lists" / "train.txt").write_text("http://example.com/a\n", encoding="utf-8")
    name = hashlib.sha1(b"http://example.com/a").hexdigest()
    story = "(CNN) A cat sat on the mat and slept .\n\n@highlight\n\nA cat sat .\n"
    (folder / "cnn_stories" / f"{name}.story").write_text(story, encoding="utf-8")
    assert _batch(DatasetReader.from_params(Params({"type": "cnn_dm"})), str(folder / "lists" / "train.txt")) == 1


def test_trivia(folder: Path) -> None:
    question = {"Question": "Who sat ?", "EntityPages": [{"Filename": "a.txt"}],
                "Answer": {"NormalizedAliases": ["the cat"]}}  # fmt: skip
    members = {
        "qa/wikipedia-train.json": json.dumps({"Data": [question]}),
        "evidence/wikipedia/a.txt": "The cat sat .\n",
    }
    with tarfile.open(folder / "trivia.tar", "w") as archive:
        for member, text in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    reader = DatasetReader.from_params(Params({"type": "triviaqa", "base_tarball_path": str(folder / "trivia.tar")}))
    assert _batch(reader, "wikipedia-train.json") == 1


def test_piqa_tt(folder: Path, bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader always downloads roberta-large, whatever the config; here, that name refers to the tiny BERT."""
    from transformers import AutoTokenizer

    load = AutoTokenizer.from_pretrained
    monkeypatch.setattr(
        AutoTokenizer, "from_pretrained", lambda name, **keys: load(bert if name == "roberta-large" else name, **keys)
    )
    (folder / "file.jsonl").write_text(READERS["piqa"][1], encoding="utf-8")
    (folder / "file-labels.lst").write_text("1\n", encoding="utf-8")
    reader = DatasetReader.from_params(Params({"type": "piqa_tt", "transformer_model_name": bert}))
    assert _batch(reader, str(folder / "file.jsonl")) == 1


@pytest.fixture
def pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with pictures under the names that the readers use, captions, and the fixed files that `vqav2` reads."""
    for name in ("p.jpg", "p-img0.png", "p-img1.png", f"{7:012}.jpg"):
        (folder / name).touch()
    (folder / "captions").mkdir()
    (folder / "captions" / "p.txt").write_text("a b\n" * 5, encoding="utf-8")
    fixtures = folder / "test_fixtures" / "vision" / "vqav2"
    fixtures.mkdir(parents=True)
    (fixtures / "questions.json").write_text(PICTURES["vqav2"][1], encoding="utf-8")
    (fixtures / "annotations.json").write_text(json.dumps(VQA_ANSWERS), encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def _of_pictures(name: str, folder: Path, **loaders: str) -> list[Any]:
    keys, text = PICTURES[name]
    (folder / "file").write_text(text, encoding="utf-8")
    words = {"tokenizer": "just_spaces", "token_indexers": {"tokens": "single_id"}}
    reader = DatasetReader.from_params(Params({"type": name, "image_dir": str(folder), **words, **loaders, **keys}))
    return list(reader.read("unittest" if name == "vqav2" else str(folder / "file")))


@pytest.mark.parametrize("name", WITHOUT_PICTURES)
def test_texts_of_pictures(name: str, pictures: Path) -> None:
    assert len(_of_pictures(name, pictures)) == 1


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_refused(name: str, pictures: Path) -> None:
    """The error is one line that names the missing package."""
    if importlib.util.find_spec("torchvision"):
        pytest.skip("torchvision is installed")
    with pytest.raises(ImportError, match=r"^torchvision\.[\w.]+ "):
        _of_pictures(
            name, pictures, image_loader="torch", image_featurizer="resnet_backbone", region_detector="faster_rcnn"
        )


def test_multitask(folder: Path) -> None:
    """The multitask loader reads each task's file with that task's reader."""
    readers = {name: dict(LINES) for name in ("one", "two")}
    reader = DatasetReader.from_params(Params({"type": "multitask", "readers": readers}))
    scheduler = MultiTaskScheduler.from_params(Params({"type": "homogeneous_roundrobin", "batch_size": 1}))
    files = {name: str(folder / "one") for name in ("one", "two")}
    loader = MultiTaskDataLoader(reader, files, scheduler)
    loader.index_with(Vocabulary.from_instances(loader.iter_instances()))
    assert [batch["task"] for batch in loader] == [["one"], ["two"]]
