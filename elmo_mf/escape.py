"""Escape untrusted text for the formats of reports, so that it is shown literally.

Names in records, configs and files can contain anything. In all formats, line breaks, invisible characters and those
that change the direction of writing are replaced by Python's escapes.
"""

from __future__ import annotations

import html as html_library
import json
import re

from elmo_mf.errors import visible

_MARKDOWN = re.compile(
    r"[\\`*\[\]<>&|~$]"  # code, emphasis, links and images, HTML, entities, cells, formulas
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis, which is not possible within a word
    r"|(?<=:)//|(?<=www)\."  # URLs, which GitHub turns into links
    r"|^[#+=-]|^\d+(?=[.)])",  # headings and lists
    re.IGNORECASE,
)
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # and their full-width forms
_PLAIN_YAML = re.compile(r"[A-Za-z][A-Za-z0-9 .,()/+-]*")


def markdown(text: str) -> str:
    """Escape text for a paragraph, a heading or a table cell of Markdown."""
    return _MARKDOWN.sub(lambda match: _entity(match[0]) if match[0].isdigit() else f"\\{match[0]}", visible(text))


def _entity(digits: str) -> str:
    return f"&#{ord(digits[0])};{digits[1:]}"


def plain(text: str) -> str:
    """Return escaped Markdown as plain text, without escapes and marks of bold text."""
    return re.sub(r"\\([^A-Za-z0-9\s])", r"\1", text.replace("**", ""))


def code(text: str) -> str:
    """Format text as inline code in Markdown."""
    text = visible(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def html(text: str) -> str:
    """Escape text for an HTML element or an attribute in double quotes."""
    return html_library.escape(visible(text), quote=False).replace('"', "&quot;")


def csv(text: str) -> str:
    """Escape text for a CSV cell, so that no spreadsheet evaluates it as a formula."""
    text = visible(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def yaml(text: str) -> str:
    """Format text as a YAML value on one line."""
    text = visible(text)
    return text if _PLAIN_YAML.fullmatch(text) else json.dumps(text, ensure_ascii=False)
