"""Our docstrings' sections, `# Parameters` and the like, in the form that mkdocstrings reads."""

from __future__ import annotations

import re
from typing import Any

import griffe

_NAMES = {"Parameters": "Args", "Returns": "Returns", "Raises": "Raises"}
_SECTION = re.compile(r"^# (\w+)\n(.*?)(?=^# |\Z)", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^(\w+(?:, \w+)*): (.*)")


class Sections(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = _SECTION.sub(lambda found: _google(obj, *found.groups()), obj.docstring.value)


def _google(obj: griffe.Object, title: str, text: str) -> str:
    # what a class takes are its attributes where it is a record of them
    name = "Attributes" if title == "Parameters" and obj.is_class and "dataclass" in obj.labels else _NAMES[title]
    if title == "Returns":
        return f"{name}:\n    {' '.join(text.split())}\n"
    items: list[str] = []
    for line in text.strip().splitlines():
        if found := _ITEM.match(line):
            items += [f"    {one}: {found[2]}" for one in found[1].split(", ")]
        elif line.strip():
            items.append(f"        {line.strip()}")
    return "\n".join([f"{name}:", *items, "", ""])
