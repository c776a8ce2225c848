"""Which records are of one encoder, and what each encoder is called.

Records belong together by what their compression is, files by their hash, never by its label: labels leave out what
seldom differs, and are told apart where it does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from elmo_mf.errors import visible
from elmo_mf.io.validation import validated
from elmo_mf.leaderboard.settings import leaves
from elmo_mf.records.compression import FineTuning
from elmo_mf.records.compressions import compression_of
from elmo_mf.tasks.grid import dense_finetune, digest, encoder_name

_OWN = "own"
_SILENT = ("null", "false")
_PHRASES = {
    "calibration": "calibrated on {}",
    "gradients": "gradients {}",
    "distill.text": "on {}",
    "distill.learning_rate": "at {}",
    "finetune.learning_rate": "at {}",
}


def encoder_key(run: Mapping[str, Any]) -> str:
    """The same for all runs of one encoder, whatever their seeds, and for no others."""
    compression = run["compression"]
    if compression is None:
        return digest(encoder_facts(run))
    return _key(json.dumps(compression), run.get("seed") if "gradients" in compression else None)


@lru_cache(20_000)
def _key(compression: str, seed: int | None) -> str:
    return digest(encoder_facts({"compression": json.loads(compression), "seed": seed}))


def encoder_names(runs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What each encoder is called, by its key; where labels are the same, with what tells the encoders apart."""
    labels: dict[str, dict[str, dict[str, str]]] = {}
    for key, run in {encoder_key(run): run for run in runs}.items():
        labels.setdefault(encoder_label(run), {})[key] = dict(leaves(encoder_facts(run)))
    names: dict[str, str] = {}
    taken: set[str] = set()
    for label, same in labels.items():
        for key, text in distinct(dict.fromkeys(same, label), same).items():
            names[key] = visible(text if text not in taken else f"{text} ({key[:8]})")
            taken.add(names[key])
    return names


def encoder_label(run: Mapping[str, Any]) -> str:
    """The name of a run's encoder, which others may have too."""
    compression = run["compression"]
    return encoder_name(compression and compression_of(compression), dense_finetune(dict(run)))


def tuning_key(run: Mapping[str, Any]) -> str:
    """How a run's language model is trained again, as a text; empty where it is not."""
    tuning = (run["compression"] or run).get("finetune")
    return "" if tuning is None else json.dumps(validated(FineTuning, tuning, "finetune").model_dump())


def distinct(labels: Mapping[str, str], facts: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Labels by key, those that several have with the facts that not all of these have."""
    together: dict[str, list[str]] = {}
    for key, label in labels.items():
        together.setdefault(label, []).append(key)
    return {key: text for label, keys in together.items() for key, text in _told(label, keys, facts).items()}


def _told(label: str, keys: list[str], facts: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    names = list(dict.fromkeys(name for key in keys for name in facts[key]))
    texts = {key: [label] for key in keys}
    for name in names:
        values = {key: facts[key].get(name, "null") for key in keys}
        if len(set(values.values())) == 1:
            continue
        shown = _shortest(set(values.values()))
        for key, value in values.items():
            if value not in _SILENT:
                texts[key].append(_PHRASES.get(name, f"{name} {{}}").format(shown[value]))
    return {key: " ".join(parts) for key, parts in texts.items()}


def _shortest(values: set[str]) -> dict[str, str]:
    """JSON values as texts; of hashes as many digits as tell them apart, eight or more."""
    hashes = [value for value in values if len(value) == 66 and value.strip('"').isalnum()]
    digits = next(n for n in range(8, 65) if len({value[: n + 1] for value in hashes}) == len(hashes))
    return {value: value[1 : digits + 1] if value in hashes else value.strip('"') for value in values}


def encoder_facts(run: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's encoder is, but for the model that it is made of: keys of `Compression`, or how it is tuned."""
    if run["compression"] is None:
        return {"finetune": run.get("finetune")}
    about = compression_of(run["compression"]).model_dump(mode="json", exclude_none=True)
    if about.get("gradients") == f"seed {run.get('seed')}":  # which the sweep took itself
        about["gradients"] = _OWN
    return about
