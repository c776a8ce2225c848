"""Which versions the identity of a run has, so that it is executed again when one is raised."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.compression import method_named, method_names
from elmo_mf.extensions import separate_inclusions
from elmo_mf.records.compression import HIGHWAY_METHOD
from elmo_mf.records.identity import View
from elmo_mf.records.run import Run
from elmo_mf.resources import base_elmo
from elmo_mf.tasks import SweepSpec, expand, load_task
from elmo_mf.tasks._plugin_versions import plugin_version
from elmo_mf.tasks.formats import FORMATS
from tests.conftest import ROOT, write_reviews

_TEXT = str(ROOT / "tasks/ptb/demo/test.txt")
_BASELINES = ["shuffled", "token-layer", "no-encoder", "words"]


def _kind(run: Run) -> str:
    return load_task(run.task).kind


def _uses_gradients_of(kind: str) -> Callable[[Run], bool]:
    return lambda run: run.identity.task_gradients and _kind(run) == kind


def _names(name: str) -> Callable[[Run], bool]:
    """Whether the config of a run's model has something registered by that name."""
    return lambda run: f'"type": "{name}"' in json.dumps(run.identity.config)


def _splits_words(run: Run) -> bool:
    return _names("spacy_rules")(run) or run.task in ("snli-probe", "my-reviews") or _words(run, "snli")


# the runs whose scores depend on the VERSION of a module
_USERS: dict[str, Callable[[Run], bool]] = {
    "elmo_mf.bilm.encoder": lambda run: True,
    "elmo_mf.compression._in_order": lambda run: bool(run.compression and run.compression.inputs == "compressed"),
    "elmo_mf.compression._cells_in_budget": lambda run: bool(run.compression and run.compression.cells == "budget"),
    "elmo_mf.compression.cells": lambda run: bool(run.compression and run.compression.cells),
    "elmo_mf.compression.apply": lambda run: run.compression is not None,
    "elmo_mf.compression.recovery.distillation": lambda run: bool(run.compression and run.compression.distill),
    "elmo_mf.plugin.language_text": _names("language_text"),
    "elmo_mf.plugin.sst_phrases": _names("sst_phrases"),
    "elmo_mf.plugin.tokenizer": _splits_words,
    "elmo_mf.tasks._chance": lambda run: True,
    "elmo_mf.tasks._run_data": lambda run: True,
    "elmo_mf.tasks._bilm_gradients": _uses_gradients_of("bilm"),
    "elmo_mf.tasks._bilm_run": lambda run: _kind(run) == "bilm",
    "elmo_mf.tasks._finetuning": lambda run: run.finetune is not None,
    "elmo_mf.tasks._language_model_gradients": _uses_gradients_of("language-model"),
    "elmo_mf.tasks.probe.classifier": lambda run: _kind(run) == "probe" or _words(run, "snli"),
    "elmo_mf.tasks.probe.examples": lambda run: _kind(run) == "probe" or _words(run, "snli", "sst"),
    "elmo_mf.tasks.probe.features": lambda run: _kind(run) == "probe",
    "elmo_mf.tasks.probe.words": lambda run: _words(run, "snli", "sst", "snli-probe", "sst-probe"),
    "elmo_mf.tasks._shuffled": lambda run: run.identity.baseline == "shuffled",
    "elmo_mf.tasks._task_gradients": _uses_gradients_of("elmo"),
    "elmo_mf.tasks._trained_model": lambda run: run.identity.view == "tuned",
    "elmo_mf.tasks._training": lambda run: _kind(run) in ("elmo", "language-model"),
    "elmo_mf.tasks._word_overlap": lambda run: _words(run, "squad"),
    "elmo_mf.tasks._words_run": lambda run: _words(run, "snli", "squad", "sst"),
}
_OF_NO_RUN = {"elmo_mf.pretrain._train"}


def _words(run: Run, *tasks: str) -> bool:
    return run.identity.baseline == "words" and run.task in tasks


def _reads(run: Run, name: str) -> bool:
    return load_task(run.task).data.format == name


def _factored(run: Run, method: str) -> bool:
    compression = run.compression
    if compression is None:
        return False
    return compression.method == method or (method == HIGHWAY_METHOD and compression.highway_rank is not None)


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SweepSpec]]:
    """Sweeps with runs that use each version."""
    folder = tmp_path_factory.mktemp("versions")
    glove = folder / "glove.txt"
    glove.write_text("the 1 2\n", encoding="utf-8")
    reviews = write_reviews(folder / "my-reviews")
    shared: dict[str, Any] = {"glove": str(glove), "ranks": [4]}
    distilled = {"method": "svd", "rank": 3, "targets": "all", "highway_rank": 8, "distill": {"text": _TEXT}}
    in_order = {"method": "whitened_svd", "rank": 3, "targets": "all", "inputs": "compressed"}
    chosen = {"method": "svd", "budget": {"share": 0.3}, "targets": "all", "cells": "budget"}
    tuned = {"method": "svd", "rank": 3, "targets": "all", "finetune": {}}
    options, weights = map(str, base_elmo())
    keys: list[dict[str, Any]] = [
        {"tasks": ["snli", "squad", "sst"], "views": ["retrained", "swapped", "tuned"], "preset": "board",
         "methods": ["fisher_svd"], "baselines": _BASELINES, "precisions": ["int8"]},
        {"tasks": ["snli-probe", "sst-probe"], "methods": ["whitened_svd"], "baselines": _BASELINES},
        {"tasks": ["sst"], "methods": [], "compressions": [distilled, in_order]},
        {"tasks": ["ptb"], "methods": ["fisher_svd", "nmf", "prune", "random", "semi_nmf"], "compressions": [tuned]},
        {"tasks": ["wikitext2-bilm"], "methods": ["kfac_svd"], "compressions": [{"cells": 320}, chosen],
         "baselines": ["shuffled"], "options": options, "weights": weights},
        {"tasks": ["my-reviews"], "methods": [], "data": str(reviews.parent), "include": [str(reviews)]},
    ]  # fmt: skip
    with separate_inclusions():  # no other test meets the task
        yield [SweepSpec.from_file(None, **shared, **one) for one in keys]


def _has_version(path: Path) -> bool:
    """Whether a module has a version; those of methods and formats belong to a class."""
    return re.search(r"^VERSION = \d+$", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def test_every_version_is_listed() -> None:
    modules = set()
    for path in (ROOT / "elmo_mf").rglob("*.py"):
        if _has_version(path):
            modules.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert modules == _USERS.keys() | _OF_NO_RUN


def test_the_files_that_a_version_stands_for_have_none_of_their_own() -> None:
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    table = page.partition("| `VERSION` in | also stands for |\n|---|---|\n")[2].partition("\n\n")[0]
    assert table
    for row in table.splitlines():
        owner, *others = re.findall(r"`([^`]+)`", row)
        assert _has_version(ROOT / "elmo_mf" / owner)
        for path in (ROOT / "elmo_mf" / other for other in others):
            assert path.is_dir() or (path.is_file() and not _has_version(path)), path


@pytest.mark.parametrize("name", ["language_text", "sst_phrases", "tokenizer"])
def test_versions_of_what_needs_allennlp_are_read_without_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module(f"elmo_mf.plugin.{name}")
    monkeypatch.delitem(sys.modules, module.__name__)
    assert plugin_version(name) == module.VERSION
    assert module.__name__ not in sys.modules


def _parts() -> list[tuple[Any, Callable[[Run], bool]]]:
    """Return all that has a VERSION, with the runs that use it."""
    modules = [(import_module(name), uses) for name, uses in _USERS.items()]
    formats = [(type(one), partial(_reads, name=name)) for name, one in FORMATS.items()]
    methods = [(type(method_named(name)), partial(_factored, method=name)) for name in method_names()]
    return [*modules, *formats, *methods]


def _raise_versions(patch: pytest.MonkeyPatch) -> None:
    for number, (owner, _) in enumerate(_parts(), 2):
        patch.setattr(owner, "VERSION", number)


@pytest.mark.slow
def test_an_identity_has_the_versions_that_its_scores_depend_on(
    specs: list[SweepSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each version is another number here; dense and retrained runs keep those that they share."""
    parts = _parts()
    _raise_versions(monkeypatch)
    runs = [run for spec in specs for run in expand(spec)]
    for run in runs:
        expected = {number for number, (_, uses) in enumerate(parts, 2) if uses(run)}
        assert set(run.identity.versions.values()) == expected, run
    ids = {run.id for run in runs}
    for run in runs:
        dense = run.dense() if run.identity.has_elmo else run
        assert {dense.id, dense.retrained().id, run.retrained().id} <= ids
    assert all(any(map(uses, runs)) for _, uses in parts)


@pytest.mark.slow
def test_runs_of_one_board_stay_on_it_when_versions_are_raised(
    specs: list[SweepSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    _raise_versions(monkeypatch)
    for spec in specs:
        boards: dict[tuple[str, View], set[str]] = {}
        for run in expand(spec):
            board = boards.setdefault((run.task, run.identity.view), set())
            board.add(json.dumps(run.identity.without_elmo().setting(), sort_keys=True))
        assert set(map(len, boards.values())) == {1}


@pytest.mark.slow
def test_parts_that_were_versioned_later_are_left_out_of_an_identity_at_first(specs: list[SweepSpec]) -> None:
    """So that runs that were recorded before keep their ids."""
    named = {"encoder", "training", "probe", "bilm", "compression", "distillation", "gradients", "finetuning"}
    for run in (run for spec in specs for run in expand(spec)):
        method = set() if run.compression is None else {run.compression.method}
        assert run.identity.versions.keys() <= named | method | {load_task(run.task).format.NAME}
