"""Tests of the page in a real browser, opened from disk."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from elmo_mf.figures import THEMES
from elmo_mf.leaderboard import boards, records_of
from elmo_mf.leaderboard.page import _write_page as page_module
from elmo_mf.leaderboard.page import page_data, write_page
from elmo_mf.records import Compression
from tests.leaderboard.page.conftest import Opens
from tests.leaderboard.test_hostile import hostile
from tests.records.samples import MACHINE, boards_of, parsed, record, signed, write


def _records() -> list[dict[str, Any]]:
    """Build records of two tasks.

    SST has the dense encoder, three ranks of all matrices (the last undecided), and `input` alone by another method.
    """
    records = [record(None, 0.40 + 0.01 * seed, seed, speed_up=1.0) for seed in (1, 2, 3)]
    for rank, scores, speed in (
        (4, (0.30, 0.31, 0.32), 4.0),
        (8, (0.36, 0.37, 0.38), 3.0),
        (16, (0.41, 0.42, 0.415), 2.0),
    ):
        records += [record(rank, score, seed, speed_up=speed) for seed, score in enumerate(scores, start=1)]
    other = record(8, 0.20, 1, speed_up=2.5)
    other["run"]["compression"] = Compression(method="whitened_svd", rank=8, targets="input").to_dict()
    return [*records, signed(other), record(None, 0.6, task="snli"), record(4, 0.5, task="snli")]


_BY_SCORE = ["dense", "svd all rank 16", "svd all rank 8", "svd all rank 4", "whitened_svd input rank 8"]
_POINTS = "#plot .mark-symbol.role-mark path"


def _write(folder: Path, records: list[dict[str, Any]], **limits: int) -> str:
    return f"file://{write_page(folder, boards(records_of(write(folder, records))), **limits)}"


@pytest.fixture
def address(tmp_path: Path) -> str:
    return _write(tmp_path, _records())


@pytest.mark.slow
def test_numbers_are_the_same_on_any_processor() -> None:
    """The last digits of means and intervals are left out, because they differ between processors."""
    (board,) = page_data(boards_of([record(None, 0.1), record(4, 0.1 + 0.2)]))["boards"]
    (compressed,) = (row["point"] for row in board["rows"] if row["point"]["compressed"])
    assert compressed["score"] == 30.0 != 100 * (0.1 + 0.2)


def _expect_encoders(page: Page, names: list[str]) -> None:
    expect(page.locator("#table tbody .open")).to_have_text(names)


def _wait_for_points(page: Page, count: int) -> None:
    expect(page.locator(_POINTS)).to_have_count(count)


def test_it_shows_a_task_at_a_time(opens: Opens, address: str) -> None:
    page = opens(address)
    expect(page.locator("h1")).to_have_text("Leaderboard")
    assert page.locator("#task option").count() == 2
    page.select_option("#task", "sst")
    assert "The task sst" in page.locator("#title").inner_text()
    _expect_encoders(page, _BY_SCORE)
    _wait_for_points(page, 5)
    assert page.url.endswith("#sst")
    expect(opens(f"{address}#snli").locator("#title")).to_contain_text("The task snli")


def test_sort(opens: Opens, address: str) -> None:
    page = opens(f"{address}#sst")
    score = page.locator("#table thead th").filter(has_text="accuracy")
    score.click()
    expect(score).to_have_attribute("aria-sort", "descending")
    _expect_encoders(page, _BY_SCORE)
    score.click()
    expect(score).to_have_attribute("aria-sort", "ascending")
    _expect_encoders(page, _BY_SCORE[::-1])
    page.get_by_label("All columns").check()
    parameters = page.locator("#table thead th").filter(has_text="parameters")
    parameters.locator(".dt-column-order").focus()
    for order in ("descending", "ascending"):
        page.keyboard.press("Enter")
        expect(parameters).to_have_attribute("aria-sort", order)
    _expect_encoders(page, [_BY_SCORE[index] for index in (3, 2, 4, 1, 0)])


def test_filter(opens: Opens, address: str) -> None:
    page = opens(f"{address}#sst")
    page.select_option("#method", "whitened_svd")
    _expect_encoders(page, ["dense", "whitened_svd input rank 8"])
    _wait_for_points(page, 2)
    page.select_option("#method", "any")
    assert page.locator("#targets option", has_text="all").count() == 1
    page.select_option("#verdict", "undecided")
    _expect_encoders(page, ["dense", "svd all rank 16", "whitened_svd input rank 8"])
    page.select_option("#verdict", "any")
    page.get_by_label("Find").fill("rank 8")
    _expect_encoders(page, ["svd all rank 8", "whitened_svd input rank 8"])
    _wait_for_points(page, 2)


def test_the_address_keeps_what_is_shown(opens: Opens, address: str) -> None:
    page = opens(f"{address}#sst")
    page.select_option("#method", "svd")
    page.select_option("#verdict", "worse")
    page.select_option("#axis", "parameters")
    page.get_by_label("All columns").check()
    page.get_by_label("Find").fill("rank 8")
    _expect_encoders(page, ["svd all rank 8"])
    assert page.url.endswith("#sst?method=svd&verdict=worse&axis=parameters&columns=all&find=rank+8")
    again = opens(page.url)
    _expect_encoders(again, ["svd all rank 8"])
    assert again.locator("#axis").input_value() == "parameters"
    assert again.locator("#table thead th").filter(has_text="parameters").is_visible()


def test_eight_columns_unless_all_are_asked_for(opens: Opens, address: str) -> None:
    page = opens(f"{address}#sst")
    assert page.locator("#table thead th").count() == 8
    page.get_by_label("All columns").check()
    assert page.locator("#table thead th").count() > 12


def test_the_table_scrolls_by_its_arrow_keys_below_its_head(opens: Opens, tmp_path: Path) -> None:
    """It takes the focus only if there is something to scroll to."""
    place = "#tables .dt-layout-table"
    short = opens(_write(tmp_path / "short", [record(None, 0.4), record(4, 0.3)]))
    assert short.locator(f"{place}[tabindex]").count() == 0
    page = opens(_write(tmp_path, [record(None, 0.4), *(record(rank, 0.3 + rank / 999) for rank in range(1, 60))]))
    page.locator(place).focus()
    for _ in range(5):
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(50)
    assert page.evaluate(f"document.querySelector('{place}').scrollTop") > 50
    head, body = (page.evaluate(f"document.querySelector('{one}').getBoundingClientRect().top")
                  for one in ("#table thead th", place))  # fmt: skip
    assert abs(head - body) <= 2


def test_baselines_are_set_apart(opens: Opens, tmp_path: Path) -> None:
    """They stand below the encoders, even if they are better; runs that collapsed or have no encoder are shown."""
    words, failed = record(None, 0.6), record(8, 0.2, collapsed=True, collapsed_attempts=1)
    words["run"]["baseline"] = "words"
    words |= {"size": None, "latency": None}
    page = opens(_write(tmp_path, [record(None, 0.4), record(4, 0.39), signed(words), failed]))
    expect(page.locator("#table tbody tr").last).to_have_class("baseline")
    expect(page.locator("#table tbody tr").last).to_contain_text("baseline: words alone")
    expect(page.locator("#lead")).to_contain_text("No verdicts: dense (40.0) is not shown to beat words alone")
    expect(page.locator("#table tbody tr", has_text="rank 8")).to_contain_text("2 of 2 runs collapsed")
    for name in ("words alone", "svd all rank 8"):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.locator("#facts")).to_contain_text("accuracy")
        page.keyboard.press("Escape")


def test_a_click_shows_the_records(opens: Opens, address: str) -> None:
    page = opens(f"{address}#sst")
    button = page.get_by_role("button", name="svd all rank 8", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert "svd all rank 8" in dialog.locator("h2").inner_text()
    for index, seed in enumerate((1, 2, 3)):
        dialog.get_by_label("Seed").select_option(label=str(seed))
        shown = json.loads(dialog.locator("#json").inner_text())
        assert shown == parsed(_records()[6 + index]).to_dict()
    assert "accuracy 0.38," in dialog.locator("#facts").inner_text()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


def test_the_command_for_an_encoder_can_be_copied(opens: Opens, address: str) -> None:
    page = opens(f"{address}#sst", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="svd all rank 8", exact=True).click()
    expected = "elmo-mf compress options.json weights.hdf5 --method svd --targets all --rank 8 --out small"
    expect(page.locator("#command")).to_have_text(expected)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == expected
    page.keyboard.press("Escape")
    page.get_by_role("button", name="dense", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("#use")).to_be_hidden()


def test_a_click_on_a_point_too(opens: Opens, address: str) -> None:
    page = opens(f"{address}#sst")
    page.locator(f"{_POINTS}[aria-label='svd all rank 16']").click()
    expect(page.get_by_role("dialog")).to_contain_text("svd all rank 16")
    page.get_by_role("button", name="Close").click()
    page.select_option("#axis", "rank")
    _wait_for_points(page, 4)
    expect(page.locator("#plot .mark-rule.role-mark.layer_0_marks line")).to_have_count(1)  # the dense score
    assert "rank" in str(page.locator("#plot").get_attribute("aria-label"))


def test_the_plot_has_the_colours_of_the_theme(opens: Opens, address: str) -> None:
    """Also after the theme changes."""
    page = opens(f"{address}#sst", color_scheme="dark")
    for scheme in ("dark", "light", "dark"):
        page.emulate_media(color_scheme=scheme)
        ground, ink = THEMES[scheme]
        expect(page.locator("#plot .role-axis-label text").first).to_have_attribute("fill", ink)
        rgb = ", ".join(str(value) for value in bytes.fromhex(ground[1:]))
        expect(page.locator("#plot svg")).to_have_css("background-color", f"rgb({rgb})")
        expect(page.locator(f"{_POINTS}[aria-label='dense']")).to_have_attribute("fill", ink)


def test_no_text_becomes_code(opens: Opens, address: str) -> None:
    """The page's policy forbids scripts that are made from texts, and Vega interprets its expressions."""
    page = opens(address)
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy is not None and "default-src 'none'" in policy and "unsafe-eval" not in policy


def test_texts_of_strangers(opens: Opens, tmp_path: Path) -> None:
    """Untrusted texts are shown, but load and execute nothing."""
    page = opens(f"{_write(tmp_path, hostile())}#sst")
    expect(page.locator("#table tbody .open")).to_have_count(2)
    assert page.locator("img, script[src], #header a, #about a, b").count() == 0
    assert "<script>alert(1)</script>" in page.locator("#header").inner_text()
    page.locator("#table tbody .open").first.click()
    shown = page.locator("#json").inner_text()
    assert "\\u202e" in shown and "\u202e" not in shown + page.locator("#facts").inner_text()
    assert json.loads(shown) in [parsed(one).to_dict() for one in hostile()]


def test_what_was_trained_again_is_hollow(opens: Opens, tmp_path: Path) -> None:
    again = record(8, 0.35)
    again["run"]["compression"]["distill"] = {"text": "t" * 64, "steps": 10}
    page = opens(_write(tmp_path, [record(None, 0.4), record(4, 0.3), again]))
    ground = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ground').trim()")
    for encoder, hollow in (("dense", False), ("svd all rank 4", False), ("svd all rank 8 distilled 10", True)):
        fill = page.locator(f"{_POINTS}[aria-label='{encoder}']").get_attribute("fill")
        assert (fill == ground) == hollow


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(opens: Opens, address: str, scheme: str) -> None:
    page = opens(f"{address}#sst", viewport={"width": 360, "height": 700}, color_scheme=scheme)
    page.wait_for_selector("#plot svg")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    ground, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    brightness = [sum(map(int, color[4:-1].split(","))) for color in (ground, ink)]
    assert max(brightness) > 600 and min(brightness) < 150
    assert (brightness[0] > brightness[1]) == (scheme == "light")
    cell = "getComputedStyle(document.querySelector('#table tbody td'))"
    assert (page.evaluate(f"{cell}.backgroundColor"), page.evaluate(f"{cell}.color")) == (ground, ink)


def test_text_stays_text(opens: Opens, tmp_path: Path) -> None:
    """Nothing in a record is executed."""
    text = "</script><script>console.error('ran')</script><img src=x onerror=alert(1)>"
    bad = record(4, 0.3, versions={"torch": text})
    page = opens(_write(tmp_path, [record(None, 0.4), bad]))
    page.get_by_role("button", name="svd all rank 4").click()
    expect(page.locator("#facts")).to_contain_text(text)
    assert page.locator("img").count() == 0


def test_it_names_the_gpu_and_what_was_switched(opens: Opens, tmp_path: Path) -> None:
    machine = MACHINE | {"gpu": "a GPU", "environment": {"ELMO_MF_CUDA_GRAPHS": "1"}}
    page = opens(_write(tmp_path, [record(None, 0.4, machine=machine)]))
    page.get_by_role("button", name="dense", exact=True).click()
    expect(page.locator("#facts")).to_contain_text("a GPU, a processor, AVX2, 2 threads, ELMO_MF_CUDA_GRAPHS=1")


def test_where_times_are_from(opens: Opens, tmp_path: Path) -> None:
    """The machine of the times is shown if it is not that of the scores."""
    there = {"versions": {"torch": "3.0"}, "machine": MACHINE | {"cpu": "another", "threads": 1}}
    page = opens(_write(tmp_path, [record(None, 0.4), record(4, 0.3, timed=there)]))
    for encoder, wanted in (("dense", 0), ("svd all rank 4", 1)):
        page.get_by_role("button", name=encoder, exact=True).click()
        facts = page.locator("#facts")
        expect(facts).to_contain_text("a processor, AVX2, 2 threads")
        assert facts.get_by_text("timed on").count() == facts.get_by_text("timed with").count() == wanted
        assert facts.get_by_text("another, AVX2, 1 thread", exact=True).count() == wanted
        assert facts.get_by_text("torch 3.0", exact=True).count() == wanted
        page.keyboard.press("Escape")


def test_many_records_are_in_their_files(opens: Opens, tmp_path: Path) -> None:
    """A large page contains compressed rows, and links to the files of the records."""
    address = _write(tmp_path, _records(), most_inside=1000, most_plain=1000)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '"packed":' in text and "factorization_seconds" not in text
    page = opens(f"{address}#sst")
    _expect_encoders(page, _BY_SCORE)
    _wait_for_points(page, 5)
    page.get_by_role("button", name="svd all rank 8", exact=True).click()
    dialog = page.get_by_role("dialog")
    for index, seed in enumerate((1, 2, 3)):
        dialog.get_by_label("Seed").select_option(label=str(seed))
        link = dialog.locator("#facts a")
        name = f"{6 + index:05}-{_records()[6 + index]['id'][:10]}.json"
        assert (link.inner_text(), link.get_attribute("href")) == (name, f"records/{name}")
        assert (tmp_path / "records" / name).is_file()


def test_a_long_table_has_pages(opens: Opens, tmp_path: Path) -> None:
    page = opens(_write(tmp_path, [record(None, 0.4), *(record(rank, 0.3 + rank / 9999) for rank in range(1, 520))]))
    expect(page.locator("#table tbody tr")).to_have_count(500)
    _wait_for_points(page, 520)
    page.locator(".dt-paging-button.next").click()
    expect(page.locator("#table tbody tr")).to_have_count(20)
    _wait_for_points(page, 520)


def test_the_same_data_packs_to_the_same_bytes() -> None:
    data = page_data(boards_of(_records()), 0)
    packed = page_module.packed(data | {"header": "x" * page_module.MOST_PLAIN})
    assert list(packed) == ["packed"] and packed == page_module.packed(data | {"header": "x" * page_module.MOST_PLAIN})
    unpacked = json.loads(gzip.decompress(base64.b64decode(packed["packed"])))
    assert unpacked["boards"] == json.loads(json.dumps(data["boards"]))
    assert page_module.packed(data) is data
