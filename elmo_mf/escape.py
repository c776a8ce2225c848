"""Texts of strangers in the formats that reports are written in: each shows its characters and does nothing else.

Names in records, configs and files may be anything. Line breaks, and what cannot be seen or turns the order of what
can, are written as Python writes them in all formats.
"""

from __future__ import annotations

import html as html_library
import json
import re

from elmo_mf.errors import visible

_MARKDOWN = re.compile(
    r"[\\`*\[\]<>&|~$]"  # code, emphasis, links and images, HTML, entities, cells, formulas
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis; not within a word
    r"|(?<=:)//|(?<=www)\."  # addresses, which GitHub makes links of
    r"|^[#+=-]|^\d+(?=[.)])",  # headings and lists
    re.IGNORECASE,
)
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # and as wide as a Chinese character
_PLAIN_YAML = re.compile(r"[A-Za-z][A-Za-z0-9 .,()/+-]*")


def markdown(text: str) -> str:
    """As text of a paragraph, a heading or a cell."""
    return _MARKDOWN.sub(lambda found: _entity(found[0]) if found[0].isdigit() else f"\\{found[0]}", visible(text))


def _entity(digits: str) -> str:
    return f"&#{ord(digits[0])};{digits[1:]}"


def plain(text: str) -> str:
    """Of Markdown that is escaped, the text without its escapes and without what is bold."""
    return re.sub(r"\\([^A-Za-z0-9\s])", r"\1", text.replace("**", ""))


def code(text: str) -> str:
    """As Markdown's code."""
    text = visible(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def html(text: str) -> str:
    """As HTML, of an element or in an attribute's double quotes."""
    return html_library.escape(visible(text), quote=False).replace('"', "&quot;")


def csv(text: str) -> str:
    """As a cell that no spreadsheet takes for a formula."""
    text = visible(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def yaml(text: str) -> str:
    """As a value on one line."""
    text = visible(text)
    return text if _PLAIN_YAML.fullmatch(text) else json.dumps(text, ensure_ascii=False)
