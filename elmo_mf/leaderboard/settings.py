"""What tells apart the settings that a task was run in: each has a table of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from elmo_mf.errors import visible
from elmo_mf.tasks.grid import digest

OWN = ("compression", "finetune", "seed")
"""What tells the runs of a board apart; the rest of a run they share."""
_NONE = "null"
_LONGEST = 24  # characters of a value, a hash's beginning among them


def shared(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of a record's run what all runs of its board share."""
    return {key: value for key, value in record["run"].items() if key not in OWN}


def own(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of a record's run what they do not share."""
    return {key: value for key, value in record["run"].items() if key in OWN}


def told_apart(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """For one record of each setting of a task, the fewest facts that no other setting has all of, as a text."""
    facts = [_facts(record) for record in records]
    names = list(dict.fromkeys(name for one in facts for name in one))
    needed: list[str] = []
    while names and len({tuple(one.get(name) for name in needed) for one in facts}) < len(facts):
        name = names.pop(0)
        if len({one.get(name) for one in facts}) > 1:
            needed.append(name)
    shown = {name: _cut([one[name] for one in facts if name in one]) for name in needed}
    texts = [
        ", ".join(f"{short(name, 100)} {shown[name][one[name]]}" for name in needed if one.get(name, _NONE) != _NONE)
        for one in facts
    ]
    told = [
        text if texts.count(text) == 1 else f"{text} ({digest(shared(record))[:8]})".strip()
        for text, record in zip(texts, records, strict=True)
    ]
    return [visible(text) for text in told]


def _cut(values: Sequence[str]) -> dict[str, str]:
    """Values by as much of their beginning as tells them apart."""
    different = set(values)
    longest = next(n for n in itertools.count(_LONGEST) if len({value[:n] for value in different}) == len(different))
    return {value: short(value, longest) for value in different}


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    """What a reader knows first: the ELMo, then how much data."""
    about = shared(record)
    elmo, data = about.pop("elmo"), about.pop("data")
    limits = {split: facts["limit"] for split, facts in data.items()}
    told = {} if elmo is None else {"ELMo": _elmo(record["elmo"], elmo["weights"])}
    return told | dict(leaves({"limit": limits, "data": data, **about}))


def _elmo(sizes: Mapping[str, Any], sha256: str) -> str:
    return f"{sizes['layers']} x {sizes['cell']} / {sizes['projection']} ({sha256[:8]})"


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Of nested mappings each value as JSON, under its keys joined by dots."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.dumps(value)


def short(text: str, longest: int = _LONGEST) -> str:
    """A long value's beginning."""
    return text if len(text) <= longest else f"{text[:longest]}..."
