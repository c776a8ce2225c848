"""Labels: short texts that describe an encoder to people. Labels are displayed, never compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from elmo_mf.errors import visible
from elmo_mf.records.compression import ALL_TARGETS, Budget, Compression, FineTuning
from elmo_mf.records.identity import Baseline, EncoderIdentity, RunIdentity, precision_of

Facts = Mapping[str, str]
"""Values as JSON, by their names."""
_UNMENTIONED = ("null", "false")
_BASELINES: dict[Baseline, str] = {
    "shuffled": "shuffled weights",
    "token-layer": "token layer alone",
    "no-encoder": "no ELMo",
    "words": "words alone",
    "smaller": "smaller ELMo, from scratch",
}
_PHRASES = {
    "calibration": "calibrated on {}",
    "gradients": "gradients {}",
    "method_file": "from file {}",
    "distill.text": "on {}",
    "distill.learning_rate": "at {}",
    "finetune.learning_rate": "at {}",
}


def compression_label(compression: Compression) -> str:
    """Return a description of a compression in a few words.

    Examples:
        >>> from elmo_mf.records.compression import Compression
        >>> compression_label(Compression(method="svd", rank=8, targets="all", layers=[0]))
        'svd all layers 0 rank 8'
        >>> compression_label(Compression(method="kfac_svd", rank=8, targets="all", cells=480))
        '480 cells kfac_svd all rank 8'
        >>> compression_label(Compression(method="svd", budget={"share": 0.1}, targets="all", cells="budget"))
        'cells budget svd all budget 10%'
    """
    parts = _cell_parts(compression)
    parts += _lstm_parts(compression) if compression.targets else []
    if compression.highway_rank is not None:
        parts.append("with highways" if compression.shares_budget else f"highways {compression.highway_rank}")
    if compression.distill is not None:
        parts.append(f"distilled {compression.distill.steps}")
    if compression.finetune is not None:
        parts.append(fine_tuning_label(compression.finetune))
    return " ".join(parts)


def fine_tuning_label(tuning: FineTuning) -> str:
    """Return the epochs of fine-tuning, and its learning rate unless that is the default."""
    default = FineTuning.model_fields["learning_rate"].default
    rate = "" if tuning.learning_rate == default else f" at {tuning.learning_rate:g}"
    return f"fine-tuned {tuning.epochs}{rate}"


def targets_label(compression: Compression) -> str:
    """Return `all`, `none`, or the names of the targets joined by `+`."""
    return "all" if compression.targets == ALL_TARGETS else "+".join(compression.targets) or "none"


def size_label(compression: Compression) -> str:
    """Return the rank or the budget."""
    budget = compression.budget
    if budget is not None:
        size = f"budget {_amount(budget)}"
        return size if compression.allocation == "outputs" else f"{size} by {compression.allocation}"
    ranks = compression.rank
    return f"rank {'+'.join(str(ranks[t]) for t in compression.targets) if isinstance(ranks, dict) else ranks}"


def _amount(budget: Budget) -> str:
    if budget.kind == "share":
        return f"{100 * budget.amount:g}%"
    if budget.dtype != "float32":
        return f"{budget.amount / 1e6:.3g} MB in {budget.dtype}"
    return f"{budget.amount} {budget.kind}"


def _cell_parts(compression: Compression) -> list[str]:
    if compression.cells is None:
        return []
    return ["cells budget" if compression.cells == "budget" else f"{compression.cells} cells"]


def _lstm_parts(compression: Compression) -> list[str]:
    settings = ",".join(f"{key}={value}" for key, value in sorted(compression.settings.items()))
    parts = [compression.method + (f"({settings})" if settings else ""), targets_label(compression)]
    if compression.layers != "all":
        parts.append("layers " + "+".join(map(str, compression.layers)))
    if compression.directions != "all":
        parts.append("+".join(compression.directions))
    if compression.granularity == "gate":
        parts.append("by gate")
    if compression.inputs == "compressed":
        parts.append("in order")
    return [*parts, size_label(compression)]


def encoder_label(encoder: EncoderIdentity) -> str:
    """Return a description of an encoder in a few words, which may fit other encoders too."""
    if encoder.baseline is not None:
        return _BASELINES[encoder.baseline]
    label = "dense" if encoder.compression is None else compression_label(encoder.compression)
    if encoder.finetune is not None:
        label = f"{label} {fine_tuning_label(encoder.finetune)}"
    budget = None if encoder.compression is None else encoder.compression.budget
    says_it = budget is not None and encoder.precision == precision_of(budget.dtype)
    return label if encoder.precision is None or says_it else f"{label} in {encoder.precision}"


def run_name(identity: RunIdentity, digest: str) -> str:
    """Return a readable and unique name for the files of a run.

    Args:
        identity: What the run depends on.
        digest: Its SHA-256, in hex.
    """
    encoder = re.sub(r"[^A-Za-z0-9_.,()=%+-]", "-", encoder_label(identity))[:120]
    view = "" if identity.view == "retrained" else f"-{identity.view}"
    return f"{identity.task}{view}-{encoder}-seed-{identity.seed}-{digest[:10]}"


def encoder_names(encoders: Iterable[EncoderIdentity], texts: Mapping[str, str] | None = None) -> dict[str, str]:
    """Name encoders distinctly.

    Args:
        encoders: The encoders, each any number of times.
        texts: Names of files by their SHA-256, which take the place of hashes. Defaults to none.

    Returns:
        By the encoder's key, its label, with what distinguishes it from others of the same label.
    """
    facts: dict[str, dict[str, Facts]] = {}
    for key, encoder in {encoder.key: encoder for encoder in encoders}.items():
        facts.setdefault(encoder_label(encoder), {})[key] = encoder_facts(encoder)
    names: dict[str, str] = {}
    used: set[str] = set()
    for label, alike in facts.items():
        for key, text in distinct(dict.fromkeys(alike, label), alike, texts).items():
            names[key] = visible(text if text not in used else f"{text} ({key[:8]})")
            used.add(names[key])
    return names


def encoder_facts(encoder: EncoderIdentity) -> dict[str, str]:
    """Return what distinguishes an encoder, as JSON by name."""
    return dict(leaves(_settings(encoder)))


def _settings(encoder: EncoderIdentity) -> dict[str, Any]:
    compression, tuning = encoder.compression, encoder.tuning
    settings = {} if compression is None else compression.to_dict()
    if compression is not None and compression.distill is not None:
        settings["distill"] = compression.distill.model_dump()
    if tuning is not None:
        settings["finetune"] = tuning.model_dump()
    if encoder.method_file is not None:
        settings["method_file"] = encoder.method_file
    return settings | ({"gradients": "of the task"} if encoder.task_gradients else {})


def distinct(
    labels: Mapping[str, str], facts: Mapping[str, Facts], texts: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Make labels distinct: to those that several keys have, add the facts in which these keys differ.

    Args:
        labels: Labels by key.
        facts: For each key, the facts behind its label.
        texts: Names of files by their SHA-256, which take the place of hashes. Defaults to none.

    Returns:
        Distinct labels by key.
    """
    return {key: " ".join([labels[key], *added]) for key, added in distinguishing_facts(labels, facts, texts).items()}


def distinguishing_facts(
    labels: Mapping[str, str], facts: Mapping[str, Facts], texts: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """Find the facts in which keys with the same label differ.

    Args:
        labels: Labels by key.
        facts: For each key, the facts behind its label.
        texts: Names of files by their SHA-256, which take the place of hashes. Defaults to none.

    Returns:
        Texts by key, none for a key whose label no other has.
    """
    together: dict[str, list[str]] = {}
    for key, label in labels.items():
        together.setdefault(label, []).append(key)
    known = {json.dumps(sha256): name for sha256, name in (texts or {}).items()}
    return {key: added for keys in together.values() for key, added in _differences(keys, facts, known).items()}


def _differences(keys: list[str], facts: Mapping[str, Facts], known: Mapping[str, str]) -> dict[str, list[str]]:
    names = list(dict.fromkeys(name for key in keys for name in facts[key]))
    texts: dict[str, list[str]] = {key: [] for key in keys}
    for name in names:
        values = {key: facts[key].get(name, "null") for key in keys}
        if len(set(values.values())) == 1:
            continue
        shown = {**_shortest(set(values.values())), **known}
        for key, value in values.items():
            if value not in _UNMENTIONED:
                phrase = _PHRASES.get(name)
                texts[key].append(phrase.format(shown[value]) if phrase else f"{name} {shown[value]}")
    return texts


def _shortest(values: set[str]) -> dict[str, str]:
    """Return JSON values as texts, hashes by as many digits as distinguish them, at least eight."""
    hashes = [value for value in values if len(value) == 66 and value.strip('"').isalnum()]
    digits = next(n for n in range(8, 65) if len({value[: n + 1] for value in hashes}) == len(hashes))
    return {value: value[1 : digits + 1] if value in hashes else value.strip('"') for value in values}


def leaves(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value of nested mappings as JSON, under its keys joined by dots.

    Args:
        value: A mapping, or a value.
        name: Name of the value, which precedes its keys. Defaults to none.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.dumps(value)
