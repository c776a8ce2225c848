"""Data files are read, checked and cut; AllenNLP's readers agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from allennlp.data import DatasetReader
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.errors import InputError
from elmo_mf.harness.configs import evaluate_jsonnet
from elmo_mf.harness.formats import FORMATS, Example, majority_accuracy, random_span_f1
from elmo_mf.harness.task import load_task, task_names
from tests.conftest import ROOT


def _reader(task: str) -> Any:
    from allennlp.common import Params
    from allennlp.common.plugins import import_plugins

    import elmo_mf.plugin  # noqa: F401 - registers

    import_plugins()
    config = evaluate_jsonnet(ROOT / "jsonnet" / f"{task}.jsonnet")
    return DatasetReader.from_params(Params(config["dataset_reader"]))


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("limit", [1, 10, 10**6])
def test_cut_files_are_what_allennlp_reads(task: str, limit: int, tmp_path: Path) -> None:
    card = load_task(task)
    source, target = card.demo_data / card.files["validation"], tmp_path / "cut"
    card.format.cut(source, target, limit)
    examples = card.format.read(target)
    assert len(examples) == min(limit, len(card.format.read(source)))
    assert len(list(_reader(task).read(str(target)))) == len(examples)


@pytest.mark.parametrize("task", task_names())
def test_a_cut_to_all_keeps_all(task: str, tmp_path: Path) -> None:
    card = load_task(task)
    source = card.demo_data / card.files["validation"]
    card.format.cut(source, tmp_path / "all", 10**6)
    assert card.format.read(tmp_path / "all") == card.format.read(source)


def test_a_cut_is_spread_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "trees.txt").write_text("".join(f"({n % 5} word{n})\n" for n in range(100)))
    FORMATS["ptb-trees"].cut(tmp_path / "trees.txt", tmp_path / "cut.txt", 4)
    assert (tmp_path / "cut.txt").read_text().split() == "(0 word0) (0 word25) (0 word50) (0 word75)".split()


def test_snli_pairs_without_a_majority_do_not_count(tmp_path: Path) -> None:
    rows = [{"gold_label": label, "sentence1": "a", "sentence2": "b"} for label in ("-", "neutral", "-", "entailment")]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [e.label for e in FORMATS["snli-jsonl"].read(tmp_path / "pairs.jsonl")] == ["neutral", "entailment"]


SQUAD = {"data": [{"paragraphs": [{"context": "It is red.", "qas": []}]}]}


def _squad(**answer: Any) -> str:
    qa = {"id": "q1", "question": "What?", "answers": [{"text": "red", "answer_start": 6} | answer]}
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "It is red.", "qas": [qa]}]}]})


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("ptb-trees", "(3 good)\n(7 bad)\n", "line 2: found '(7 bad)', expected a tree"),
        ("ptb-trees", "(3 (2 It) (3 works)", "line 1: found"),
        ("ptb-trees", "plain text", "line 1: found 'plain text', expected a tree"),
        ("ptb-trees", "\n\n", "found no examples, expected at least one"),
        ("snli-jsonl", '{"gold_label": "neutral"}', "line 1: found"),
        ("snli-jsonl", '{"gold_label": "maybe", "sentence1": "a", "sentence2": "b"}', "line 1: found"),
        ("snli-jsonl", "[1, 2]", "line 1: found '[1, 2]', expected a JSON object"),
        ("squad-json", "{", "expected SQuAD 1.1 JSON"),
        ("squad-json", "[]", "expected SQuAD 1.1 JSON"),
        ("squad-json", json.dumps(SQUAD), "found no examples"),
        ("squad-json", _squad(answer_start=5), "answer_start of q1 does not point at its text"),
    ],
)
def test_errors(kind: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        FORMATS[kind].read(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_unreadable_files(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone: no such data file"):
        FORMATS[kind].read(tmp_path / "gone")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe(3 x)")
    with pytest.raises(InputError, match="bytes: found something unreadable"):
        FORMATS[kind].read(tmp_path / "bytes")


@given(st.lists(st.sampled_from("abc"), min_size=1), st.lists(st.sampled_from("abc"), min_size=1))
def test_majority(train: list[str], scored: list[str]) -> None:
    found = majority_accuracy([Example(x, None) for x in train], [Example(x, None) for x in scored])
    best = [label for label in "abc" if train.count(label) == max(map(train.count, train))]
    assert any(found == pytest.approx(scored.count(label) / len(scored)) for label in best)


def test_random_span() -> None:
    """A passage that is its own answer is always found; another word never."""
    qa = {"id": "1", "question": "?", "answers": [{"text": "red green", "answer_start": 0}]}
    train = [Example("red green", None)]
    assert random_span_f1(train, [Example("red green", ("t", "red green", qa))]) == 1
    assert random_span_f1(train, [Example("red green", ("t", "x y z u v w", qa))]) == 0
