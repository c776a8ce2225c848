"""Sweep files, the runs that they expand to, and what a run's identity depends on."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest

from elmo_mf.bilm.weights import TARGETS
from elmo_mf.compression import method_named, method_names
from elmo_mf.errors import InputError
from elmo_mf.provenance import file_hash
from elmo_mf.records import read_record
from elmo_mf.records.identity import EncoderIdentity, Precision
from elmo_mf.records.labels import encoder_label
from elmo_mf.records.run import Run
from elmo_mf.resources import base_elmo, demo_options, demo_weights, share
from elmo_mf.tasks import SweepSpec, expand, grid, load_task, task_names
from tests.conftest import ROOT, small_data


def _spec(**keys: Any) -> SweepSpec:
    return SweepSpec.from_file(None, **keys)


@pytest.mark.slow
def test_expansion() -> None:
    runs = expand(_spec(tasks=["sst", "squad"], targets=["input", "input+recurrent"], ranks=[4, 16], seeds=[1, 2]))
    names = [str(run) for run in runs]
    assert len(runs) == len(set(names)) == len({run.id for run in runs}) == 2 * (1 + 2 * 2) * 2
    assert names[:4] == ["sst dense seed 1", "sst dense seed 2", "sst svd input rank 4 seed 1",
                         "sst svd input rank 4 seed 2"]  # fmt: skip
    assert "squad svd input+recurrent rank 16 seed 2" in names
    assert len({run.name for run in runs}) == len(runs) and not any("/" in run.name for run in runs)


def test_repeated_values_are_one_run() -> None:
    assert len(expand(_spec(tasks=["sst", "sst"], ranks=[4, 4], seeds=[1, 1]))) == 2


_PUBLISHED = share() / "jsonnet" / "sweeps" / "published"


def test_the_published_sweeps_of_tasks() -> None:
    """All methods at one rank, budgets, each target alone; and what they should beat."""
    swapped, baselines, probes = (
        SweepSpec.from_file(_PUBLISHED / f"{name}.jsonnet") for name in ("swapped", "baselines", "probes")
    )
    assert swapped.preset == baselines.preset == "board" and swapped.views == ("swapped",)
    assert (ROOT / swapped.options, ROOT / swapped.weights) == base_elmo()
    encoders = [one for one in swapped.encoders() if one]
    assert {one.method for one in encoders if one.rank == 32} >= {"svd", "whitened_svd", "semi_nmf", "prune", "random"}
    assert {one.targets for one in encoders} >= {(target,) for target in TARGETS}
    assert list(probes.encoders()) == list(swapped.encoders())
    assert {"words", "no-encoder"} <= set(baselines.baselines) and "shuffled" in swapped.baselines


def test_the_published_sweep_of_language_models() -> None:
    specs = [SweepSpec.from_file(_PUBLISHED / f"language_{what}.jsonnet") for what in ("models", "methods")]
    assert all(spec.tasks == ("ptb", "wikitext2") and len(spec.seeds) == 3 for spec in specs)
    assert None in specs[0].encoders()
    compressions = [c for spec in specs for c in spec.encoders() if c and c.layers == "all"]
    tuned = [c for c in SweepSpec.from_file(_PUBLISHED / "tuned.jsonnet").encoders() if c]
    for target in ("input", "recurrent"):
        for method in method_names():
            if method_named(method).needs_output_covariance:
                continue  # of an ELMo as a language model
            assert len({c.rank for c in compressions if c.targets == (target,) and c.method == method}) >= 3
        assert all(c.finetune for c in tuned) and any(c.targets == (target,) for c in tuned)


def test_a_budget_in_bytes_of_a_type_has_its_precision() -> None:
    budgets = [{"bytes": 2_000_000, "dtype": dtype} for dtype in ("float32", "float16", "int8", "int4")]
    compressions = [{"method": "svd", "targets": "all", "budget": budget} for budget in budgets]
    spec = SweepSpec.from_value(
        {"tasks": ["syntax-probe"], "methods": [], "compressions": compressions, "compressed_precisions": "int8"}, "x"
    )
    runs = [run.identity for run in expand(spec) if run.compression is not None]
    found = [
        (one.compression.budget.dtype, one.precision) for one in runs if one.compression and one.compression.budget
    ]
    assert found == [
        ("float32", None), ("float32", "int8"), ("float16", "bfloat16"), ("int8", "int8"), ("int4", "int4")
    ]  # fmt: skip
    assert encoder_label(runs[1]) == "svd all budget 2000000 bytes in int8"
    assert encoder_label(runs[2]) == "svd all budget 2 MB in float16"
    assert encoder_label(runs[4]) == "svd all budget 2 MB in int4"


@pytest.mark.slow
def test_the_board_has_what_the_published_sweeps_name() -> None:
    named = set()
    for path in _PUBLISHED.glob("*.jsonnet"):
        spec = SweepSpec.from_file(path)
        compressions = list(spec.encoders())
        in_bytes = [one for one in compressions if one is not None and one.budget and one.budget.dtype != "float32"]
        precisions: dict[str, Precision] = {"float16": "bfloat16", "int8": "int8", "int4": "int4"}
        encoders = [EncoderIdentity(compression=one) for one in compressions if one not in in_bytes]
        encoders += [
            EncoderIdentity(compression=encoder.compression, precision=precision)
            for encoder in encoders
            for precision in spec.compressed_precisions
            if encoder.compression is not None
        ]
        encoders += [
            EncoderIdentity(compression=one, precision=precisions[one.budget.dtype])
            for one in in_bytes
            if one.budget is not None
        ]
        encoders += [EncoderIdentity(finetune=one.tuning) for one in encoders]
        encoders += [EncoderIdentity(precision=one) for one in spec.precisions]
        encoders += [EncoderIdentity(baseline=one) for one in spec.baselines]
        for task, encoder in itertools.product(spec.tasks, encoders):
            kind = load_task(task).kind
            elmo = Path(spec.weights).parent.name if kind != "language-model" and encoder.has_elmo else None
            seeds = (0,) if kind in ("probe", "bilm") or encoder.baseline == "words" else spec.seeds
            views = spec.views if kind == "elmo" and encoder.has_views else ("retrained",)
            named |= {(task, elmo, encoder_label(encoder), view, seed) for view in views for seed in seeds}
    published = set()
    for path in (ROOT / "leaderboard" / "records").glob("*.json"):
        record = read_record(path)
        run, elmo = record.run, None if record.elmo is None else record.elmo.name.split("/")[0]
        published.add((run.task, elmo, encoder_label(run), run.view, run.seed))
    assert published == named


def test_the_documentation_names_all_published_sweeps() -> None:
    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    (names,) = re.findall(r"^for name in (.*); do$", page, re.MULTILINE)
    assert sorted(names.split()) == sorted(path.stem for path in _PUBLISHED.glob("*.jsonnet"))


def _copy(folder: Path) -> SweepSpec:
    """Return the embedded default sweep with other paths."""
    shutil.copytree(share() / "tasks" / "sst" / "demo", folder / "data" / "sst")
    shutil.copy(demo_options(), folder / "o.json")
    shutil.copy(demo_weights(), folder / "w.hdf5")
    return _spec(
        tasks=["sst"], data=str(folder / "data"), options=str(folder / "o.json"), weights=str(folder / "w.hdf5")
    )


def _ids(spec: SweepSpec) -> list[str]:
    return [run.id for run in expand(spec)]


def test_identity_is_free_of_paths(tmp_path: Path) -> None:
    runs = expand(_copy(tmp_path))
    assert [run.id for run in runs] == _ids(_spec(tasks=["sst"]))
    assert str(tmp_path) not in json.dumps([run.identity.to_dict() for run in runs])


@pytest.mark.slow
def test_identity_is_free_of_the_other_runs() -> None:
    few, many = _ids(_spec(tasks=["sst"], ranks=[4])), _ids(_spec(tasks=["snli", "sst"], ranks=[4, 16], seeds=[13, 14]))
    assert set(few) < set(many)


@pytest.mark.slow
def test_identity_depends_on_what_the_score_depends_on(tmp_path: Path) -> None:
    spec = _copy(tmp_path)
    before = _ids(spec)

    def changed() -> bool:
        return not set(_ids(spec)) & set(before)

    assert not changed()
    with (tmp_path / "data" / "sst" / "dev.txt").open("a") as file:
        file.write("(3 fine)\n")
    assert changed()
    shutil.copy(share() / "tasks" / "sst" / "demo" / "dev.txt", tmp_path / "data" / "sst" / "dev.txt")
    assert not changed()
    with h5py.File(tmp_path / "w.hdf5", "r+") as weights:
        weights["CNN_proj/b_proj"][0] += 1
    assert changed()


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys", [{"seeds": [2]}, {"limit": 10}, {"overrides": {"sst": {"trainer.num_epochs": 2}}}], ids=str
)
def test_identity_depends_on_the_settings(keys: dict[str, Any]) -> None:
    assert not set(_ids(_spec(tasks=["sst"]))) & set(_ids(_spec(tasks=["sst"], **keys)))


@pytest.mark.slow
def test_identity_depends_on_what_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = _spec(tasks=["sst"])
    before = set(_ids(spec))
    with monkeypatch.context() as patch:
        patch.setattr("elmo_mf.tasks._training.VERSION", 2)
        assert not before & set(_ids(spec))
    real = load_task("sst")
    other = real.score.model_copy(update={"primary": "accuracy3"})
    monkeypatch.setattr(grid, "load_task", lambda _: real.model_copy(update={"score": other}))
    assert not before & set(_ids(spec))


@pytest.mark.slow
def test_word_vectors_count_by_their_content(tmp_path: Path) -> None:
    ids = []
    for name, text in (("a.txt", "the 1 2"), ("b.txt", "the 1 2"), ("c.txt", "the 1 3")):
        (tmp_path / name).write_text(text)
        runs = expand(_spec(tasks=["sst"], preset="paper", glove=str(tmp_path / name)))
        assert str(tmp_path) not in json.dumps(runs[0].identity.to_dict())
        ids.append(runs[0].id)
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.slow
def test_word_vectors_by_task(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the 1 2")
    spec = _spec(tasks=["snli", "sst"], preset="paper", glove={"sst": str(tmp_path / "words.txt")}, methods=[])
    snli, sst = expand(spec)
    assert snli.identity.words is None and sst.identity.words == file_hash(tmp_path / "words.txt")
    with pytest.raises(InputError, match=r"glove: sst: missing"):
        expand(_spec(tasks=["sst"], preset="paper"))


def test_the_papers_grid() -> None:
    spec = SweepSpec.from_file(share() / "jsonnet" / "sweeps" / "paper.jsonnet")
    encoders = list(spec.encoders())
    assert len(spec.tasks) * (len(encoders) - 1) * len(spec.seeds) == 1620 and spec.preset == "paper"
    assert {spec.glove_of(task) is None for task in ("sst", "squad")} == {False} and spec.glove_of("snli") is None


@pytest.mark.slow
def test_the_papers_language_models(tmp_path: Path) -> None:
    """All ranks of the grid are below break-even at the published sizes."""
    for task in ("ptb", "wikitext2"):
        small_data(task, tmp_path / task)
    spec = SweepSpec.from_file(share() / "jsonnet" / "sweeps" / "paper_language_models.jsonnet", data=str(tmp_path))
    runs = expand(spec)
    assert len(runs) == 2 * (6 * 3 * 5 + 1) * 5
    assert {run.identity.to_dict()["config"]["model"]["hidden_size"] for run in runs} == {1150}


@pytest.mark.slow
def test_what_seeds_share() -> None:
    """Seeds share encoders and activations, except with methods that use the task's gradients."""
    spec = _spec(tasks=["snli", "sst"], methods=["svd", "fisher_svd"], ranks=[4], seeds=[1, 2])
    runs = {(c.task, c.compression and c.compression.method, c.seed): c for c in expand(spec)}
    assert runs["sst", "svd", 1].encoder_id == runs["snli", "svd", 2].encoder_id != runs["sst", None, 1].encoder_id
    assert runs["sst", "fisher_svd", 1].encoder_id != runs["sst", "fisher_svd", 2].encoder_id
    assert runs["sst", "fisher_svd", 1].encoder_id != runs["snli", "fisher_svd", 1].encoder_id
    assert runs["sst", "svd", 1].activations_id == runs["sst", "svd", 2].activations_id
    assert runs["sst", "svd", 1].activations_id != runs["snli", "svd", 1].activations_id


@pytest.mark.slow
@pytest.mark.parametrize("key", ["state", "precision"])
def test_what_changes_the_vectors_shares_no_activations(key: str) -> None:
    """Runs that differ in `overrides` of the encoder share its file but not its activations."""
    path = f"model.text_field_embedder.token_embedders.elmo_mf.{key}"
    plain, other = (
        expand(_spec(tasks=["sst"], methods=[], overrides={"sst": changes}))[0] for changes in ({}, {path: "x"})
    )
    assert plain.encoder_id == other.encoder_id and plain.activations_id != other.activations_id


@pytest.mark.slow
@pytest.mark.parametrize("keys", [{"cache_mb": 0}, {"latency_rounds": 1}, {"latency_sentences": 2}], ids=str)
def test_identity_does_not_depend_on_how_it_is_run(keys: dict[str, Any]) -> None:
    assert _ids(_spec(tasks=["sst"])) == _ids(_spec(tasks=["sst"], **keys))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, (None, None)),
        (7, (7, 7)),
        ({"train": 5}, (5, None)),
        ({"sst": 9, "snli": None}, (9, 9)),
        ({"sst": {"train": 3, "test": 4}}, (3, None)),
        ({"snli": 3}, (None, None)),
    ],
)
def test_limits(limit: Any, expected: tuple[int | None, int | None]) -> None:
    spec = _spec(limit=limit)
    assert (spec.limit_of("sst", "train"), spec.limit_of("sst", "validation")) == expected


def test_the_folder_of_an_elmo() -> None:
    options, weights = base_elmo()
    spec, expected = _spec(options=str(options.parent)), _spec(options=str(options), weights=str(weights))
    assert spec == expected


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tasks": ["mnist"]}, "tasks: found 'mnist'"),
        ({"methods": ["svdd"]}, "svdd"),
        ({"targets": ["inputs"]}, "inputs"),
        ({"ranks": [0]}, "rank"),
        ({"ranks": [63]}, "break-even"),
        ({"ranks": []}, "ranks: "),
        ({"ranks": [True]}, "ranks.0: found True"),
        ({"seeds": ["x"]}, "seeds.0: found 'x'"),
        ({"rank": [4]}, "the key 'rank'"),
        ({"limit": 0}, "limit: found 0"),
        ({"limit": {"sst": "few"}}, "limit.sst: found 'few'"),
        (
            {"limit": {"mnist": 5}},
            "the key 'mnist'",
        ),
        ({"limit": {"sst": {"dev": 5}}}, "the key 'dev'"),
        ({"preset": "huge"}, "preset: found 'huge'"),
        ({"options": "o.json"}, "options: found 'o.json'"),
        ({"weights": "w.hdf5"}, "options and weights"),
        ({"overrides": {"mnist": {}}}, "the key 'mnist'"),
        ({"overrides": {"sst": {"trainee.epochs": 1}}}, "sst: overrides: found 'trainee.epochs'"),
        ({"cache_mb": -1}, "cache_mb: found -1"),
        ({"latency_rounds": 0}, "latency_rounds: found 0"),
        ({"data": "gone"}, "no such data file, expected the train split of ptb"),
    ],
)
def test_errors(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        expand(_spec(**keys))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"), [("[1]", "found [1], expected an object"), ("{ranks: 'x'}", "ranks: found 'x'")]
)
def test_errors_of_a_file(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonnet"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        SweepSpec.from_file(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


def test_options_replace_a_files_keys(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonnet"
    path.write_text("{ranks: [4, 8], seeds: 5}")
    spec = SweepSpec.from_file(path, ranks=[2], tasks=None)
    assert (spec.ranks, spec.seeds, spec.tasks) == ((2,), (5,), ("ptb", "snli", "squad", "sst", "wikitext2"))


def test_an_elmo_is_swept_over_tasks_that_have_one() -> None:
    spec = SweepSpec.from_file(None, options=str(demo_options()), weights=str(demo_weights()))
    assert spec.tasks == ("snli", "squad", "sst")
    assert _spec().tasks == tuple(name for name in task_names() if load_task(name).config_name is not None)


def test_run_names() -> None:
    runs: list[Run] = expand(_spec(tasks=["sst"], ranks=[4]))
    assert [run.encoder for run in runs] == ["dense", "svd all rank 4"]


def test_baselines_without_an_elmo_are_the_same_runs_for_every_elmo(tmp_path: Path) -> None:
    glove = tmp_path / "glove.txt"
    glove.write_text("the 1 2\n")
    keys = {"tasks": ["sst-probe", "snli-probe"], "methods": [], "glove": str(glove)}
    keys |= {"baselines": ["shuffled", "no-encoder", "words"]}
    first, second = (
        expand(_spec(**keys)),
        expand(_spec(**keys, options=str(base_elmo()[0]), weights=str(base_elmo()[1]))),
    )
    shared = {run.id for run in first} & {run.id for run in second}
    assert len(first) == len(second) == 2 * 4
    assert shared == {run.id for run in first if run.identity.baseline in ("no-encoder", "words")}
