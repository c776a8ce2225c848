"""Tests of the data of a run: documents dealt out to splits, and limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.errors import InputError
from elmo_mf.experiments import workspace
from elmo_mf.records.identity import Split
from elmo_mf.tasks import _chance, _run_data, expand, load_task
from elmo_mf.tasks._run_data import data_facts, limited_data
from elmo_mf.tasks._word_overlap import LENGTHS, Overlap, fit_overlap, nearest_span, overlap_outputs
from tests.sweeps import TinySweep

_CONTEXT = "The abbey was built by monks in 1146. It burned down in 1540, and the town bought its stones."


def _article(title: str, questions: int) -> dict[str, Any]:
    asked = [
        {"id": f"{title}{number}", "question": "When was it built?", "answers": [{"text": "1146", "answer_start": 32}]}
        for number in range(questions)
    ]
    return {"title": title, "paragraphs": [{"context": _CONTEXT, "qas": asked}]}


def _write(path: Path, *articles: dict[str, Any]) -> None:
    path.write_text(json.dumps({"version": "1.1", "data": articles}))


def _titles(folder: Path, split: Split) -> list[str]:
    task = load_task("squad")
    return [example.raw[0] for example in task.format.read(folder / task.run_files[split])]


@pytest.mark.slow
def test_articles_are_dealt_out_in_turn(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """No article is in both splits, whatever the order of its paragraphs; limits count what each split gets."""
    _write(tmp_path / "data" / "squad" / "dev.json", *(_article(name, 3) for name in "abcad"))
    spec = tiny_sweep(tasks=["squad"])
    with workspace(tmp_path / "out") as work:
        folder = limited_data(spec, expand(spec)[0], work)
        assert _titles(folder, "validation") == 6 * ["a"] + 3 * ["c"]
        assert _titles(folder, "test") == 3 * ["b"] + 3 * ["d"]
        limited = tiny_sweep(tasks=["squad"], limit={"squad": {"validation": 3, "test": 2}})
        folder = limited_data(limited, expand(limited)[0], work)
        assert (len(_titles(folder, "validation")), len(_titles(folder, "test"))) == (3, 2)


@pytest.mark.slow
@pytest.mark.parametrize("owner", [_run_data, _chance, type(load_task("squad").format)])
def test_what_the_cache_holds_is_of_one_version(
    owner: Any, tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a new version the data, or what is known of it, is computed again."""
    _write(tmp_path / "data" / "squad" / "dev.json", *(_article(name, 3) for name in "ab"))
    spec = tiny_sweep(tasks=["squad"])

    def cached() -> set[Path]:
        (run,) = [one for one in expand(spec) if one.identity.is_dense]
        with workspace(tmp_path / "out") as work:
            data_facts(run, limited_data(spec, run, work), work)
            return {folder for kind in ("data", "facts") for folder in (work.cache.folder / kind).iterdir()}

    before = cached()
    assert cached() == before
    monkeypatch.setattr(owner, "VERSION", 2)
    assert {folder.parent.name for folder in cached() - before} == (
        {"facts"} if owner is _chance else {"data", "facts"}
    )


@pytest.mark.slow
def test_one_article_cannot_be_dealt_out(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    _write(tmp_path / "data" / "squad" / "dev.json", _article("a", 3))
    spec = tiny_sweep(tasks=["squad"])
    with workspace(tmp_path / "out") as work, pytest.raises(InputError, match="found 1 document"):
        limited_data(spec, expand(spec)[0], work)


def test_overlap_answers_with_what_the_question_lacks() -> None:
    """The nearest word in the sentence that shares the rarer words; any passage has an answer."""
    overlap = Overlap({"the": 0.1, "was": 0.2, "in": 0.1, "built": 2.0, "burned": 2.0}, 1)
    assert nearest_span(_CONTEXT, "When was it built?", overlap) == "by"
    assert nearest_span(_CONTEXT, "When had the abbey burned down in ruins?", overlap) == "It"
    for context in ("Yes.", "...", "one two"):
        assert nearest_span(context, "Which one?", overlap._replace(length=5)) in context


@pytest.mark.slow
def test_overlap_learns_the_length_of_answers() -> None:
    task = load_task("squad")
    train, scored = (task.format.read(task.demo_data / name) for name in ("train.json", "dev.json"))
    overlap = fit_overlap(train)
    means = {length: overlap_outputs(overlap._replace(length=length), train).score.mean() for length in LENGTHS}
    assert overlap.length == max(means, key=lambda length: means[length])
    assert overlap_outputs(overlap, scored).score.mean() > 0.15
