"""Settings of a task, which the runs of one board share; each setting has its own board."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from elmo_mf.errors import visible
from elmo_mf.records.digest import digest
from elmo_mf.records.labels import leaves
from elmo_mf.records.record import Record

_NONE = "null"
_LONGEST = 24  # characters of a value such as a hash


def setting_names(records: Sequence[Record]) -> list[str]:
    """Name the settings of a task by the fewest facts that distinguish them.

    Args:
        records: One record of each setting.
    """
    facts = [_facts(record) for record in records]
    names = list(dict.fromkeys(name for one in facts for name in one))
    needed: list[str] = []
    while names and len({tuple(one.get(name) for name in needed) for one in facts}) < len(facts):
        name = names.pop(0)
        if len({one.get(name) for one in facts}) > 1:
            needed.append(name)
    shown = {name: _shortened([one[name] for one in facts if name in one]) for name in needed}
    texts = [
        ", ".join(f"{short(name, 100)} {shown[name][one[name]]}" for name in needed if one.get(name, _NONE) != _NONE)
        for one in facts
    ]
    unique = [
        text if texts.count(text) == 1 else f"{text} ({digest(record.run.setting())[:8]})".strip()
        for text, record in zip(texts, records, strict=True)
    ]
    return [visible(text) for text in unique]


def _shortened(values: Sequence[str]) -> dict[str, str]:
    """Shorten values to `_LONGEST` characters, or to more if these do not distinguish them."""
    different = set(values)
    longest = next(n for n in itertools.count(_LONGEST) if len({value[:n] for value in different}) == len(different))
    return {value: short(value, longest) for value in different}


def _facts(record: Record) -> dict[str, str]:
    """Return the facts of a setting, most familiar first: the ELMo, then the limits of the data."""
    values = record.run.setting()
    values.pop("elmo", None)
    data = values.pop("data")
    limits = {split: file.limit for split, file in record.run.data.items()}
    facts = {} if record.elmo is None else {"ELMo": _elmo(record)}
    return facts | dict(leaves({"limit": limits, "data": data, **values}))


def _elmo(record: Record) -> str:
    elmo, files = record.elmo, record.run.elmo
    assert elmo is not None and files is not None
    name = short(elmo.name.rpartition("/")[0] or elmo.name, _LONGEST // 2)
    return f"{name} ({files.weights[:8]})"


def short(text: str, longest: int = _LONGEST) -> str:
    """Return the beginning of a long value."""
    return text if len(text) <= longest else f"{text[:longest]}..."
