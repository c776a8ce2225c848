"""SQuAD 1.1 as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from elmo_mf.errors import InputError, instead_of, shown
from elmo_mf.io import TextLines, read_json
from elmo_mf.tasks.formats._data_format import Contents, DataFormat, Example, encodable

_MAX_BYTES = 1 << 30
_closed = with_config(ConfigDict(strict=True))


@_closed
class _Answer(TypedDict):
    text: str
    answer_start: Annotated[int, Field(ge=0)]


@_closed
class _Question(TypedDict):
    id: NotRequired[str]
    question: str
    answers: Annotated[list[_Answer], Field(min_length=1)]
    is_impossible: NotRequired[bool]


@_closed
class _Paragraph(TypedDict):
    context: str
    qas: list[_Question]


@_closed
class _Article(TypedDict):
    title: NotRequired[str]
    paragraphs: list[_Paragraph]


@_closed
class _Squad(TypedDict):
    data: list[_Article]


_SCHEMA = TypeAdapter(_Squad)


class SquadJson(DataFormat):
    """SQuAD 1.1 as JSON; an example is a question."""

    NAME = "squad-json"
    VERSION = 1
    expected = "SQuAD 1.1 JSON"

    def parse(self, path: Path) -> Contents:
        """See `DataFormat.parse`."""
        return Contents(list(_examples(path, _checked(path, self.expected))), plain=True)

    def document(self, example: Example) -> str:
        """Return the title of the article."""
        return str(example.raw[0])

    def render(self, examples: Sequence[Example]) -> str:
        """See `DataFormat.render`."""
        articles: dict[str, dict[str, list[Any]]] = {}
        for example in examples:
            title, context, qa = example.raw
            articles.setdefault(title, {}).setdefault(context, []).append(qa)
        data = [
            {"title": title, "paragraphs": [{"context": context, "qas": qas} for context, qas in paragraphs.items()]}
            for title, paragraphs in articles.items()
        ]
        return json.dumps({"version": "1.1", "data": data}) + "\n"


def _checked(path: Path, expected: str) -> Any:
    """Return the file's value if it has the schema; else raise an error that names the format if it is known."""
    try:
        value = read_json(path, "data file", expected, most=_MAX_BYTES, unique_keys=True)
    except InputError:
        if _is_flat(_first_line(path)):
            raise _other(path, "Hugging Face's format, one question per line") from None
        raise
    rows = value.get("data") if isinstance(value, dict) else value
    if _is_flat(value) or (isinstance(rows, list) and rows and _is_flat(rows[0])):
        raise _other(path, "Hugging Face's format, without paragraphs")
    try:
        _SCHEMA.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = _place(first["loc"])
        if first["type"] == "too_short":
            raise _other(path, f"{where} without an answer, as SQuAD 2.0 has them") from None
        found = None if first["type"] == "missing" else shown(first["input"])
        raise InputError(path, where, f"{instead_of(expected, found)} ({first['msg']})") from None
    return value


def _place(keys: Sequence[int | str]) -> str:
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return "".join(parts).removeprefix(".") or "the file"


def _first_line(path: Path) -> Any:
    try:
        return json.loads(next(iter(TextLines(path)), ""))
    except (ValueError, RecursionError):
        return None


def _is_flat(row: Any) -> bool:
    return isinstance(row, dict) and {"context", "question"} <= set(row)


def _other(path: Path, found: str) -> InputError:
    return InputError(
        path,
        f"found {found}, expected SQuAD 1.1 JSON, data of paragraphs of questions that all have answers; "
        "elmo-mf fetch data squad gets it",
    )


def _examples(path: Path, value: Any) -> Iterator[Example]:
    for i, article in enumerate(value["data"]):
        for j, paragraph in enumerate(article["paragraphs"]):
            for k, qa in enumerate(paragraph["qas"]):
                where = f"data[{i}].paragraphs[{j}].qas[{k}]"
                if qa.get("is_impossible"):
                    raise _other(path, f"{where} with is_impossible, as SQuAD 2.0 has them")
                wrong = _wrong(qa, paragraph["context"])
                if wrong:
                    raise InputError(path, where, wrong)
                title = article.get("title", "")
                yield Example(qa["answers"][0]["text"], (title, paragraph["context"], qa))


def _wrong(qa: dict[str, Any], context: str) -> str:
    """Describe what AllenNLP's reader or model would fail on; empty if nothing is wrong."""
    name = qa.get("id", "this question")
    if not (encodable(context) and encodable(qa["question"])):
        return "found half of a surrogate pair, expected text"
    if not qa["question"].split():
        return f"question: found {qa['question'][:40]!r}, expected words"
    for answer in qa["answers"]:
        start, text = answer["answer_start"], answer["text"]
        if context[start : start + len(text)] != text:
            return f"answer_start of {name} does not point at its text, found {start}, expected where {text[:40]!r} is"
        if not text.split():
            return f"answers: found {text[:40]!r}, expected words"
        if not context[: start + 1].split():
            return f"answer_start of {name}: found {start}, expected a position at or after the passage's first word"
    return ""
