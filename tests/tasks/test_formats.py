"""Data files are read, checked and cut consistently with AllenNLP's readers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from allennlp.data import DatasetReader
from allennlp.data.fields import IndexField, TextField
from hypothesis import given, settings
from hypothesis import strategies as st

from elmo_mf.errors import InputError
from elmo_mf.plugin import SpacyRulesTokenizer
from elmo_mf.tasks import load_task, task_names
from elmo_mf.tasks._chance import majority_accuracy, random_span_f1
from elmo_mf.tasks._jsonnet import evaluate_jsonnet
from elmo_mf.tasks.formats import FORMATS, Example, LabelledText, LabelledTexts
from tests.conftest import ROOT


@cache
def _reader(task: str) -> Any:
    from allennlp.common import Params
    from allennlp.common.plugins import import_plugins

    import elmo_mf.plugin  # noqa: F401 - registers

    import_plugins()
    config = evaluate_jsonnet(ROOT / "jsonnet" / f"{task}.jsonnet")
    return DatasetReader.from_params(Params(config["dataset_reader"]))


@pytest.mark.slow
@pytest.mark.parametrize("task", [name for name in task_names() if load_task(name).config_name is not None])
@pytest.mark.parametrize("limit", [1, 10, 10**6])
def test_cut_files_are_what_allennlp_reads(task: str, limit: int, tmp_path: Path) -> None:
    task_config = load_task(task)
    source, target = task_config.demo_data / task_config.files["validation"], tmp_path / "cut"
    task_config.format.cut(source, target, limit)
    examples = task_config.format.read(target)
    assert len(examples) == min(limit, len(task_config.format.read(source)))
    assert len(list(_reader(task).read(str(target)))) == len(examples)


@pytest.mark.parametrize("task", task_names())
def test_a_cut_to_all_keeps_all(task: str, tmp_path: Path) -> None:
    task_config = load_task(task)
    source = task_config.demo_data / task_config.files["validation"]
    task_config.format.cut(source, tmp_path / "all", 10**6)
    assert task_config.format.read(tmp_path / "all") == task_config.format.read(source)


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


def _question(**changes: Any) -> str:
    value = json.loads(_squad())
    value["data"][0]["paragraphs"][0]["qas"][0] |= changes
    return json.dumps(value)


def _pair(**changes: Any) -> str:
    return json.dumps({"gold_label": "neutral", "sentence1": "a", "sentence2": "b"} | changes)


FLAT = json.dumps({"id": "1", "context": "It is.", "question": "?", "answers": {"text": ["It"], "answer_start": [0]}})


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("ptb-trees", "(3 good)\n(7 bad)\n", "line 2: found '(7 bad)'"),
        ("ptb-trees", "(3 (2 It) (3 works)", "line 1: found"),
        ("ptb-trees", "plain text", "line 1: found 'plain text'"),
        ("ptb-trees", "\n\n", "found no examples"),
        ("ptb-trees", "(3 good)\n(3 (2 It) works))\n", "line 2: found"),
        ("ptb-trees", "(3 good)\n\n(3 (2 ))\n", "line 3: found '(3 (2 ))'"),
        ("ptb-trees", "(" * 5000, "line 1: found"),
        ("ptb-trees", "sentence\tlabel\na film\t1\n", "a table"),
        ("ptb-trees", "a film,3\n", "a table"),
        ("ptb-trees", '{"sentence": "a", "label": 1}', "Hugging Face's form"),
        ("snli-jsonl", '{"premise": "a", "hypothesis": "b", "label": 0}', "Hugging Face's form"),
        ("snli-jsonl", "gold_label\tsentence1\tsentence2\n", "found SNLI as a table"),
        ("snli-jsonl", _pair(gold_label=0), "gold_label is 0"),
        ("snli-jsonl", _pair() + "\n" + _pair(sentence1=" "), "line 2: found"),
        ("snli-jsonl", _pair(sentence2="\ud800"), "sentence2 is '\\ud800'"),
        ("snli-jsonl", _pair(n=1).replace('"n"', '"gold_label"'), "the key 'gold_label'"),
        ("snli-jsonl", _pair(n=1).replace("1}", "9" * 5000 + "}"), "line 1: found"),
        ("snli-jsonl", "[" * 100_000, "line 1: found"),
        ("squad-json", "[" * 100_000, "RecursionError"),
        ("squad-json", _squad(answer_start=-4), "data[0].paragraphs[0].qas[0].answers[0].answer_start: found -4"),
        ("squad-json", _squad(answer_start=6.0), "data[0].paragraphs[0].qas[0].answers[0].answer_start: found 6.0"),
        ("squad-json", _squad(text=" ", answer_start=2), "answers: found ' '"),
        ("squad-json", _question(question=" "), "data[0].paragraphs[0].qas[0]: question: found ' '"),
        (
            "squad-json",
            _question(is_impossible=True),
            "data[0].paragraphs[0].qas[0] with is_impossible",
        ),
        ("squad-json", _question(answers=[]), "qas[0].answers"),
        ("squad-json", FLAT, "Hugging Face's form"),
        ("squad-json", f"{FLAT}\n{FLAT}\n", "Hugging Face's form"),
        ("squad-json", f'{{"data": [{FLAT}]}}', "Hugging Face's form"),
        ("squad-json", '{"data": [], "data": []}', "the key 'data'"),
        ("snli-jsonl", '{"gold_label": "neutral"}', "line 1: found"),
        ("snli-jsonl", '{"gold_label": "maybe", "sentence1": "a", "sentence2": "b"}', "line 1: found"),
        ("snli-jsonl", "[1, 2]", "line 1: found '[1, 2]'"),
        ("squad-json", "{", "expected SQuAD 1.1 JSON"),
        ("squad-json", "[]", "expected SQuAD 1.1 JSON"),
        ("squad-json", json.dumps(SQUAD), "found no examples"),
        ("squad-json", _squad(answer_start=5), "answer_start of q1"),
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
    with pytest.raises(InputError, match="gone: "):
        FORMATS[kind].read(tmp_path / "gone")
    for content in ("(3 x)".encode("utf-16"), "(3 x)\n".encode("utf-16-le"), "(3 é)".encode("latin-1")):
        (tmp_path / "bytes").write_bytes(content)
        with pytest.raises(InputError, match=r"bytes: .*line 1"):
            FORMATS[kind].read(tmp_path / "bytes")
    with pytest.raises(InputError, match="null: "):
        (tmp_path / "null").symlink_to("/dev/zero")
        FORMATS[kind].read(tmp_path / "null")


@pytest.mark.parametrize("kind", sorted({*FORMATS} - {"labelled-texts"}))
@pytest.mark.parametrize(
    ("start", "what"), [(b"PAR1", "a Parquet file"), (b"\x1f\x8b\x08", "a file compressed by gzip")]
)
def test_files_that_are_no_text(kind: str, start: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(start + b"rest")
    with pytest.raises(InputError, match=f"data: found {what}"):
        FORMATS[kind].read(tmp_path / "data")


_ROWS = [('It is, "so",\nfine.', "pos"), ("a\u2028b\té", "neg"), ("c", "pos")]


@pytest.mark.parametrize("form", ["lines", "csv", "tsv", "parquet"])
def test_labelled_texts(form: str, tmp_path: Path) -> None:
    """Each form has the same examples, whatever the file's name, and so has what is written."""
    table, path = pd.DataFrame([{"n": 1, "t": text, "y": label} for text, label in _ROWS]), tmp_path / "data"
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
        table.to_parquet(path)
    elif form == "lines":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False, sep="\t" if form == "tsv" else ",")
    data_format = LabelledTexts(text="t", label="y")
    assert [tuple(one.raw) for one in data_format.read(path)] == _ROWS
    data_format.cut(path, tmp_path / "cut", 2)
    assert [tuple(one.raw) for one in data_format.read(tmp_path / "cut")] == _ROWS[:2]
    text_reader = DatasetReader.by_name("text_classification_json")(
        tokenizer=SpacyRulesTokenizer(), text_key="t", label_key="y"
    )
    instances = list(text_reader.read(tmp_path / "cut"))
    assert [instance["label"].label for instance in instances] == ["pos", "neg"]
    kinds = [("labels of integers", 1, "1"), ("and truth values", True, "True")]
    for text, label, expected in kinds:
        path.write_text(json.dumps({"t": text, "y": label}))
        assert [one.raw for one in data_format.read(path)] == [LabelledText(text, expected)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}', "line 1: found the columns 'text', expected text and label"),
        ('{"text": "a", "label": "b"}\n\n{"text": " ", "label": "b"}', "line 3: text: found ' ', expected a text with"),
        ('{"text": 3, "label": "b"}', "line 1: text: found 3, expected a text with words"),
        ('{"text": "\\ud800", "label": "b"}', "line 1: text: found"),
        ('{"text": "a", "label": null}', "line 1: label: found None, expected a text, an integer or a truth value"),
        ('{"text": "a", "label": 1.5}', "line 1: label: found 1.5"),
        ('{"text": "a", "label": ""}', "line 1: label: found ''"),
        ('{"text": "a", "text": "b", "label": 1}', "line 1: found"),
        ('{"text": "a"', "line 1: found"),
        ('[{"text": "a", "label": 1}]', "line 1: found"),
        ("[" * 100_000, "line 1: found"),
        ("a,b\n1,2\n", "line 2: found the columns 'a', 'b', expected text and label"),
        ("text,label\na,b,c\n", "line 2: found 3 fields, expected 2, as in the header"),
        ('text,label\n"a\nb",c\n"d" e,f\n', "line 4: found no row of CSV"),
        ("text,label\n\n,b\n", "line 3: text: found '', expected a text with words"),
        ("text,text\na,b\n", "line 1: found a column twice"),
        ("text,label\n", "found no examples"),
        ("\n", "found no examples"),
        ("PAR1 and more", "found no Parquet that can be read"),
    ],
)
def test_errors_of_labelled_texts(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        FORMATS["labelled-texts"].read(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value) and "\n" not in str(error.value)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").write_text("PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    expected = r"data: the Python module pyarrow is not installed; install it with `pip install 'elmo-mf\[parquet\]'`"
    with pytest.raises(InputError, match=expected):
        FORMATS["labelled-texts"].read(tmp_path / "data")


@given(st.lists(st.sampled_from("abc"), min_size=1), st.lists(st.sampled_from("abc"), min_size=1))
def test_majority(train: list[str], scored: list[str]) -> None:
    most = next(label for label in train if train.count(label) == max(map(train.count, train)))
    assert majority_accuracy(train, scored) == pytest.approx(scored.count(most) / len(scored))


def test_random_span() -> None:
    """F1 is 1 for a passage that equals its answer and 0 for one without the answer."""
    qa = {"id": "1", "question": "?", "answers": [{"text": "red green", "answer_start": 0}]}
    train = [Example("red green", None)]
    assert random_span_f1(train, [Example("red green", ("t", "red green", qa))]) == 1
    assert random_span_f1(train, [Example("red green", ("t", "x y z u v w", qa))]) == 0


TASKS = {
    "ptb-trees": "sst",
    "snli-jsonl": "snli",
    "squad-json": "squad",
    "text-lines": "ptb",
    "labelled-texts": "text_classification",
}
MARKS = st.sampled_from(["", "", "\ufeff"])
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


ODD = ["", " ", "\t", "\u2028", "\x1c", "(", "(3 )", "()", "{}", "3", "null", "(3 a) (2 b)", "\x0c", "\0"]


@st.composite
def _lines(draw: st.DrawFn, good: st.SearchStrategy[str], bad: st.SearchStrategy[str]) -> str:
    """Draw files of valid lines with at most one odd line, any line end, and optionally a byte order mark."""
    lines = draw(st.lists(good, min_size=1, max_size=4))
    for line in draw(st.lists(bad | st.sampled_from(ODD), max_size=1)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return draw(MARKS) + end.join(lines) + draw(st.sampled_from(["", end, end + end]))


def _trees(labels: str, least: int) -> st.SearchStrategy[str]:
    space = st.sampled_from([" ", "  ", "\t", "\u2028", "\x0c"])
    return st.recursive(
        st.builds("({}{}{})".format, st.sampled_from(labels), space, WORDS),
        lambda inner: st.builds(
            lambda label, space, parts: f"({label}{space}{space.join(parts)})",
            st.sampled_from(labels), space, st.lists(inner | WORDS, min_size=least, max_size=3),
        ),
        max_leaves=5,
    )  # fmt: skip


WORDS = st.sampled_from(["It", "works", "-LRB-", "n't", "\u200b", "é", "\\)", "a\u00a0b", "U.S.", "\ufeff", "<eos>"])
TEXTS = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)
ODD_TEXTS = st.sampled_from(["", " ", "\t\u2028", "\ud800", "a\nb", "\0", " a", "a ", "  a  b "])
LABELS = st.sampled_from(["entailment", "neutral", "contradiction", "-"])


def _pairs(labels: st.SearchStrategy[Any], texts: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return st.fixed_dictionaries({"gold_label": labels, "sentence1": texts, "sentence2": texts}).map(json.dumps)


def _rows(labels: st.SearchStrategy[Any], texts: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return st.fixed_dictionaries({"label": labels, "text": texts}).map(json.dumps)


@st.composite
def _squads(draw: st.DrawFn) -> str:
    """Draw paragraphs whose answers are any of their spans, including whitespace, and sometimes off by one."""
    paragraphs = []
    texts = draw(st.sampled_from([TEXTS, TEXTS, TEXTS | ODD_TEXTS]))
    for _ in range(draw(st.integers(1, 2))):
        context = draw(texts)
        starts = st.sampled_from([at for at, letter in enumerate(context) if not letter.isspace()] or [0])
        spans = draw(st.lists(st.tuples(starts, st.integers(1, 4)), min_size=1, max_size=2))
        moved = draw(st.sampled_from([0] * 9 + [-1]))
        answers = [{"text": context[start : start + n], "answer_start": start + moved} for start, n in spans]
        question = {"id": "q", "question": draw(texts), "answers": answers}
        paragraphs.append({"context": context, "qas": [question] * draw(st.integers(1, 2))})
    return draw(MARKS) + json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]})


FILES = {
    "ptb-trees": _lines(_trees("01234", 1), _trees("0456", 0)),
    "snli-jsonl": _lines(
        _pairs(LABELS, TEXTS), _pairs(LABELS | st.sampled_from([1, None, [], "x"]), TEXTS | ODD_TEXTS)
    ),
    "squad-json": _squads(),
    "labelled-texts": _lines(
        _rows(LABELS, TEXTS), _rows(LABELS | st.sampled_from([1, True, None, ""]), TEXTS | ODD_TEXTS)
    ),
    "text-lines": _lines(TEXTS, st.sampled_from(["\0", "It\0 works", "a\x1cb", "\t\u2028", " a", "  a  b "])),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_what_is_accepted_is_what_allennlp_reads(kind: str, tmp_path: Path) -> None:
    """AllenNLP reads accepted files, rewritten if they are not plain, and finds nothing wrong in them."""
    seen = {"read": 0, "written anew": 0, "refused": 0}

    @settings(max_examples=80)
    @given(FILES[kind])
    def check(content: str) -> None:
        path = tmp_path / "data"
        path.write_bytes(content.encode())
        try:
            contents = FORMATS[kind].contents(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            seen["refused"] += 1
            return
        seen["read" if contents.plain else "written anew"] += 1
        if not contents.plain:
            path = tmp_path / "anew"
            FORMATS[kind].write(contents.examples, path)
        instances = list(_reader(TASKS[kind]).read(str(path)))
        assert len(instances) == len(contents.examples)
        for instance in instances:
            assert all(len(field) for field in instance.fields.values() if isinstance(field, TextField))
            spans = [field.sequence_index for field in instance.fields.values() if isinstance(field, IndexField)]
            assert all(index >= 0 for index in spans)

    check()
    assert min(seen.values()) > 0, seen


FORMS: dict[str, Callable[[str], str]] = {
    "mark": lambda text: "\ufeff" + text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "no last line end": lambda text: text.rstrip("\n"),
}


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("form", FORMS)
def test_one_text_in_many_forms(task: str, form: str, tmp_path: Path) -> None:
    task_config = load_task(task)
    text = (task_config.demo_data / task_config.files["validation"]).read_text(encoding="utf-8")
    (tmp_path / "data").write_bytes(FORMS[form](text).encode())
    assert task_config.format.read(tmp_path / "data") == task_config.format.read(
        task_config.demo_data / task_config.files["validation"]
    )
