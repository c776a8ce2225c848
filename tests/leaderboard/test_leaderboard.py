"""Tests of the leaderboard in Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from elmo_mf.compression import read_compression
from elmo_mf.errors import InputError
from elmo_mf.leaderboard import write_reports
from elmo_mf.leaderboard._table import columns
from elmo_mf.leaderboard.readme import readme
from elmo_mf.records import RecordStore
from tests.conftest import ROOT
from tests.records.samples import MACHINE, boards_of, record, signed, write


def _page(*records: dict[str, Any]) -> str:
    """Return the Markdown of records' boards, without the figures, which take most of the time."""
    return readme(boards_of(records))


@pytest.mark.slow
def test_published_records_of_one_encoder_have_one_size() -> None:
    sizes: dict[tuple[str, str], set[str]] = {}
    for entry in RecordStore(ROOT / "leaderboard").records():
        if entry.run.elmo is not None and entry.size is not None:
            identity = entry.run.encoder.model_copy(update={"versions": {}, "words": None})
            encoder = entry.run.elmo.weights, identity.key
            sizes.setdefault(encoder, set()).add(entry.size.model_dump_json())
    assert sizes and all(len(different) == 1 for different in sizes.values())


def test_table() -> None:
    page = _page(record(None, 0.40, 1), record(None, 0.42, 2), record(4, 0.33, 1), record(4, 0.35, 2))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    header, _, dense, compressed, *_ = rows
    assert header == [
        "encoder", "accuracy %", "vs dense", "verdict", "MB", "times as fast as dense, batch 1 / 32",
        "sentences a second", "evidence",
    ]  # fmt: skip
    assert dense == ["dense ◆", "41.0 ± 12.7", "", "", "0.01", "2.00 / 2.00", "3,200", "2 seeds"]
    assert compressed[:4] == ["svd all rank 4 ◆", "34.0 ± 12.7", "-7.0 [-7.0, -7.0]", "worse"]
    assert compressed[4:] == ["0.00", "2.00 / 2.00", "3,200", "2 seeds"]


def test_header_says_what_and_where() -> None:
    page = _page(record(None, 0.40, data="demo"))
    assert "## DEMO: The task sst" in page
    for text in ("2 layers, cell 512, projection 64", "wwwwwwwwwwww", "a processor", "2 threads", "torch 2.13.0",
                 "chance is 20.0 %", "8,544 train", "demo data written for this project"):  # fmt: skip
        assert text in page
    assert "- machine: a processor, AVX2, 2 threads, Linux x86_64\n" in page


def test_a_subset_of_the_published_data_is_called_one() -> None:
    """But not demo data, nor splits that are dealt out from one file and complete."""
    read = record(None, 0.40)["examples"]
    whole = {"train": read["train"], "validation": read["validation"] + read["test"]}
    for published, data, said in (
        (whole | {"train": 10_000}, "real", "(8,544 of 10,000 train examples)"),
        (whole | {"train": 10_000}, "demo", None),
        (whole, "real", None),
    ):
        entry = record(None, 0.40, data=data)
        entry["task"]["published"] = published
        page = _page(entry)
        assert ("subset" in page) is (said is not None) and (said or "") in page


@pytest.mark.parametrize(("view", "said"), [("swapped", "without further training"), ("tuned", "for one more epoch")])
def test_a_table_says_what_its_models_were_trained_with(view: str, said: str) -> None:
    entries = [record(rank, 0.40) for rank in (None, 4)]
    for entry in entries:
        entry["run"]["view"] = view
    assert said in _page(*map(signed, entries))
    assert "was trained with the dense encoder" not in _page(record(None, 0.40), record(4, 0.40))


def test_an_encoder_has_one_name_on_all_tables() -> None:
    """What distinguishes it on one of them is in its name on the others; texts that tasks train on have names."""
    sst, ptb = 64 * "d", 64 * "e"
    entries = []
    for task, calibration in (("sst", sst), ("snli", sst), ("snli", ptb)):
        entry = record(4, 0.40, task=task)
        entry["run"]["compression"] |= {"method": "whitened_svd", "calibration": calibration}
        entries.append(signed(entry))
    tables = {
        board.task: {row.encoder for row in board.rows if row.compressed}
        for board in boards_of([*entries, record(None, 0.50), record(None, 0.50, task="snli")])
    }
    assert tables["sst"] < tables["snli"] and len(tables["snli"]) == 2
    assert tables["sst"] == {"whitened_svd all rank 4 calibrated on sst train"}


def test_header_names_the_gpu() -> None:
    page = _page(record(None, 0.40, machine=MACHINE | {"gpu": "a GPU"}))
    assert "- machine: a GPU, a processor, AVX2, 2 threads, Linux x86_64\n" in page


def test_header_names_what_was_switched() -> None:
    page = _page(record(None, 0.40, machine=MACHINE | {"environment": {"ELMO_MF_NATIVE": "0"}}))
    assert "- machine: a processor, AVX2, 2 threads, Linux x86_64, ELMO_MF_NATIVE=0\n" in page


def test_header_says_where_times_are_from() -> None:
    """The header names the machine of the times if it is not that of the scores, and the versions of both."""
    there = {"versions": {"torch": "3.0"}, "machine": MACHINE | {"cpu": "another", "threads": 1}}
    page = _page(*(record(rank, 0.40, timed=there) for rank in (None, 4)))
    assert "- timed on: another, AVX2, 1 thread, Linux x86_64\n" in page
    assert "- scored on: a processor, AVX2, 2 threads, Linux x86_64\n" in page
    assert "- versions: python 3.11.7, torch 2.13.0 and 3.0\n" in page and "- machine" not in page
    assert "Timed on another, AVX2, 1 thread, Linux x86_64." in page


def test_remarks() -> None:
    page = _page(record(None, 0.21), record(4, 0.20))
    assert "**The dense encoder itself is at chance: this table shows nothing.**" in page and "21.0 †" in page
    assert "only one seed" in page and "nothing to recommend" in page
    cut = record(4, 0.35)
    cut["run"]["data"]["train"]["limit"] = 100
    page = _page(cut)
    assert "no dense encoder to compare with" in page and "cut to these sizes" in page


def test_a_language_models_table() -> None:
    """Perplexities are unchanged, lowest first, and at chance from the unigram's perplexity on."""
    changes: dict[str, Any] = {"task": "ptb", "chance": 600.0, "elmo": None}
    records = [record(None, 100.0, **changes), record(4, 602.5, **changes), record(8, 110.25, **changes)]
    for entry in records:
        entry["run"]["elmo"] = None
    page = _page(*records)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    assert [row[:3] for row in rows if not row[0].startswith(":")][:4] == [
        ["encoder", "perplexity", "vs dense"],
        ["dense ◆", "100.00", ""],
        ["svd all rank 8 ◆", "110.25", "+10.25"],
        ["svd all rank 4 ◆", "602.50 †", "+502.50"],
    ]
    for text in (
        "ELMo: none",
        "margin of 1 unit of perplexity. The metric is perplexity on the test split; chance is 600.00.",
        "Lower is better",
        "`torch.nn.LSTM`",
    ):
        assert text in page
    assert "trained for longer" not in page
    records[2]["run"]["compression"]["finetune"] = {"epochs": 1, "learning_rate": 0.001}
    tuned = _page(*records)
    assert "Fine-tuned models were trained for longer than the dense model" in tuned
    assert "| svd all rank 8 fine-tuned 1 ◆ " in tuned and "| svd all rank 4 ◆ " in tuned
    assert "the best there is `svd all rank 4`" in tuned


@pytest.mark.slow
def test_same_records_same_bytes(tmp_path: Path) -> None:
    records = [record(None, 0.4), record(4, 0.3), record(4, 0.3, task="snli"), record(None, 0.9, task="snli")]
    for folder in (tmp_path / "board", tmp_path / "again" / "board"):
        write_reports(write(folder, records))
    names = {f"board-{task}-{theme}.svg" for task in ("sst", "snli") for theme in ("light", "dark")}
    assert {path.name for path in (tmp_path / "board").iterdir()} == {"README.md", "index.html", "records", *names}
    for name in ("README.md", *names):
        assert (tmp_path / "board" / name).read_bytes() == (tmp_path / "again" / "board" / name).read_bytes()


@pytest.mark.parametrize("others", [0, 1])
def test_partial_encoders_are_folded(others: int) -> None:
    """Encoders with some layers compressed stand below the others, or are the table where there are no others."""
    partial = record(4, 0.39)
    partial["run"]["compression"] |= {"layers": [0]}
    page = _page(partial, *(record(8, 0.3) for _ in range(others)), *(record(None, 0.4) for _ in range(others)))
    folded = page.find("<details><summary>Encoders with some layers or directions compressed: 1</summary>")
    table, _, _ = page.partition("<details><summary>Command")
    assert (folded > page.find("| svd all rank 8 ")) if others else (folded < 0)
    assert table.count("| svd all layers 0 rank 4 ") == 1 and folded < page.find("| svd all layers 0 rank 4 ")


def test_commands_for_the_encoders() -> None:
    """They are below a table, folded; a vertical bar in one is no cell's end."""
    odd = record(8, 0.38)
    odd["run"]["compression"] |= {"method": "whitened_svd", "calibration": "a|b"}
    page = _page(record(None, 0.40), record(4, 0.39), odd)
    lines = page[page.index("<summary>Command or setting for each encoder</summary>") :].splitlines()
    rows = {name.strip(): use.strip() for name, use in (line[2:-2].split(" | ") for line in lines[4:6])}
    assert rows["svd all rank 4"] == (
        "`elmo-mf compress options.json weights.hdf5 --method svd --targets all --rank 4 --out small`"
    )
    assert r" --calibration 'a\|b' " in rows["whitened_svd all rank 8"] and "dense" not in rows


def test_highways_alone() -> None:
    """An encoder with only its highway layers compressed has a row, and no line of ranks."""
    alone = record(None, 0.39)
    alone["run"]["compression"] = read_compression({"highway_rank": 9}).to_dict()
    assert "| highways 9 " in _page(record(None, 0.40), alone)


def test_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no records"):
        write_reports(tmp_path)
    assert not (tmp_path / "README.md").exists()


@pytest.mark.slow
def test_the_published_board_is_its_records(tmp_path: Path) -> None:
    published = ROOT / "leaderboard"
    (tmp_path / "anywhere").mkdir()
    (tmp_path / "anywhere" / "records").symlink_to(published / "records")
    (path, _), _ = write_reports(tmp_path / "anywhere")
    for generated in path.parent.glob("*.*"):
        assert generated.read_bytes() == (published / generated.name).read_bytes(), generated.name


def test_other_work_of_the_machine_does_not_count() -> None:
    """Of encoders that are as many times as fast as the original, none reads more sentences a second."""
    busy = record(4, 0.33)
    for times in busy["latency"]["encoder"].values():
        times["median_ms"] *= 3
    page = _page(record(None, 0.40), record(2, 0.34), busy)
    lines = [line.split("|") for line in page.splitlines() if line.startswith(("| dense", "| svd"))][:3]
    assert [line[7].strip() for line in lines] == ["3,200"] * 3


def test_in_short() -> None:
    """The summary names what to take, or states that there is nothing to take or to compare."""

    def line_of(*records: dict[str, Any]) -> str:
        return next(line for line in _page(*records).splitlines() if line.startswith("**The task sst"))

    def seeds(rank: int | None, *scores: float) -> list[dict[str, Any]]:
        return [record(rank, score, seed) for seed, score in enumerate(scores)]

    dense, good, bad = seeds(None, 0.40, 0.42, 0.41), seeds(8, 0.401, 0.421, 0.4105), seeds(4, 0.20, 0.21, 0.21)
    assert "nothing to compare yet" in line_of(*dense)
    words = [_words(0.1 + seed / 1e4, seed) for seed in (0, 1, 2)]
    assert "nothing to recommend. Baselines were not run" in line_of(*dense, *good)
    line = line_of(*dense, *words, *good, *bad, *seeds(9, 0.40, 0.43, 0.40), *seeds(2, 0.41, 0.40))
    assert "choose `svd all rank 8` (+0.1 [" in line and "from dense, equivalent; 2.6 times smaller; 2.00" in line
    assert line.endswith("the fastest encoder that is shown to be non-inferior to dense on validation and test data.")
    as_large = seeds(8, 0.401, 0.421, 0.4105)
    for one in as_large:
        one["size"] = dense[0]["size"]
    assert "better; 2.00 times as fast" in line_of(*dense, *words, *map(signed, as_large))
    line = line_of(*dense, *words, *bad)
    assert (
        "is shown to be non-inferior to dense on validation and test data; the best there is `svd all rank 4`" in line
    )


def _words(score: float, seed: int) -> dict[str, Any]:
    """Build a record of a baseline."""
    entry = record(None, score, seed)
    entry["run"]["baseline"] = "no-encoder"
    return signed(entry)


def test_what_is_taken_is_chosen_on_validation_data() -> None:
    """Not the faster encoder that is good on test data alone, and the number is that of the test data."""
    records = [record(None, 0.4, seed) for seed in (1, 2, 3)]
    for rank, test, validation, milliseconds in ((8, 0.395, 0.4, 9.0), (4, 0.4, 0.3, 1.0)):
        for seed in (1, 2, 3):
            entry = record(rank, test + seed / 1e5, seed, validation={"accuracy": validation + seed / 1e5})
            entry["latency"]["encoder"]["1"]["median_ms"] = milliseconds
            records.append(entry)
    records += [_words(0.3 + seed / 1e5, seed) for seed in (1, 2, 3)]
    page = _page(*records)
    assert (
        "choose `svd all rank 8` (-0.5 [-0.5, -0.5] points from dense, equivalent;" in page
        and "**svd all rank 8** ★" in page
    )
    for entry in records:
        entry["run"]["scoring"]["split"] = "validation"
    scored = _page(*records)
    assert "choose `svd all rank 4`" in scored and "also the scored split." in scored


@pytest.mark.parametrize("language_model", [False, True])
def test_what_it_is_as_fast_as(language_model: bool) -> None:
    """The main table has what the runtime gains too; what compression gains alone has dense at one."""
    dense, other = record(None, 90.0, task="ptb", speed_up=2.0), record(4, 99.0, task="ptb", speed_up=6.0)
    if language_model:
        for entry in (dense, other):
            entry["elmo"] = entry["run"]["elmo"] = None
        name, gains = "torch.nn.LSTM", (1.0, 3.0)
    else:
        for entry, original in ((dense, 2.0), (other, 6.0)):
            entry["latency"]["encoder"]["1"] |= {"allennlp_median_ms": 50.0, "allennlp_speed_up": original}
        name, gains = "AllenNLP", (2.0, 6.0)
    (board,) = boards_of([dense, other])
    assert tuple(row.speeds["encoder", "1"].speed_up for row in board.rows) == gains
    (column,) = (one for one in columns(board) if one.title == f"times as fast as {name}, batch 1 / 32")
    assert column.texts == (["2.00 / 2.00", "6.00 / 6.00"] if language_model else ["2.00 / —", "6.00 / —"])
