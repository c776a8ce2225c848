"""Any text is shown as it is, by a parser of each format."""

from __future__ import annotations

import html.parser
import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from elmo_mf import escape
from elmo_mf.errors import visible

_PARSERS = [MarkdownIt("commonmark"), MarkdownIt("commonmark").enable(["table", "strikethrough"])]
_ODD = st.lists(
    st.sampled_from(
        [*"\\`*_[]()<>&|~$!#+-=.:/ \n\r\t0a", "://", "www.", "![](http://x/y)", "<b>", "&lt;", "1.", "\u202e"]
    ),
    max_size=12,
).map("".join)
_TEXTS = st.one_of(_ODD, st.text(max_size=30)).filter(lambda text: text == text.strip())


def _inline(tokens: list[Any]) -> list[Any]:
    """What a text in one block was parsed to."""
    return next((token.children for token in tokens if token.type == "inline"), [])


@pytest.mark.slow
@given(_TEXTS)
@example("# heading")
@example("1. item")
@example("![](http://127.0.0.1/beacon.png)")
@example("_a_ __init__ snake_case")
def test_markdown(text: str) -> None:
    """In a paragraph, after other words, in a heading and in a cell it is one text, and nothing else."""
    shown, escaped = visible(text), escape.markdown(text)
    for parser in _PARSERS:
        for before, around in (("", "paragraph"), ("- x: ", "list_item"), ("# ", "heading")):
            tokens = parser.parse(f"{before}{escaped}")
            inline = _inline(tokens)
            content = "".join(token.content for token in inline)
            if before != "# ":  # whose closing signs are not its text
                assert content == f"{before.removeprefix('- ')}{shown}" or not shown
            assert {token.type for token in inline} <= {"text", "text_special"}
            assert not shown or tokens[0].type.startswith((around, "bullet_list"))
    cells = _PARSERS[1].parse(f"| a | b |\n|---|---|\n| {escaped} | end |\n")
    contents = [token.children or [] for token in cells if token.type == "inline"]
    assert len(contents) == 4 and "".join(t.content for t in contents[2]) == shown
    assert not re.search(r"(?i)https?://|www\.", escaped)  # of which GitHub would make links
    assert escape.plain(escaped) == shown or "&#" in escaped or "**" in shown or "\\" in shown


@given(_TEXTS)
def test_code(text: str) -> None:
    if shown := visible(text):
        (inline,) = _inline(_PARSERS[0].parse(f"x {escape.code(text)}"))[1:]
        assert (inline.type, inline.content) == ("code_inline", shown)


@given(st.text())
def test_html(text: str) -> None:
    texts = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            texts.append((tag, attrs))

    Parser().feed(f'<img alt="{escape.html(text)}">')
    assert texts == [("img", [("alt", visible(text))])]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\uff1d1"])
def test_formulas(text: str) -> None:
    assert escape.csv(text)[0] == "'" or escape.csv(text)[0] == "\\"
    assert escape.csv("svd all rank 4") == "svd all rank 4"


@given(st.text(min_size=1))
def test_yaml(text: str) -> None:
    """One line; quoted as JSON, which is YAML, where it could be something else."""
    escaped = escape.yaml(text)
    assert len(escaped.splitlines()) == 1
    assert (
        escaped == text if re.fullmatch(r"[A-Za-z][A-Za-z0-9 .,()/+-]*", text) else json.loads(escaped) == visible(text)
    )
