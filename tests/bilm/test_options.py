"""Broken options files: one line that names file, field, found and expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.bilm import BilmOptions, LstmOptions
from elmo_mf.errors import InputError
from tests.conftest import raw_options


def _error(tmp_path: Path, text: str) -> str:
    path = tmp_path / "options.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        BilmOptions.from_file(path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_characters": 260}, "char_cnn.n_characters: found 260, expected 261 or 262"),
        ({"activation": "gelu"}, 'char_cnn.activation: found "gelu", expected relu or tanh'),
        ({"dim": 0}, "lstm.dim: found 0"),
        ({"dim": 2.5}, "lstm.dim: found 2.5"),
        ({"dim": True}, "lstm.dim: found true"),
        ({"dim": 10**12}, "lstm.dim: found 1000000000000"),
        ({"cell_clip": -1}, "lstm.cell_clip: found -1"),
        ({"proj_clip": "3"}, 'lstm.proj_clip: found "3"'),
        ({"use_skip_connections": 1}, "lstm.use_skip_connections: found 1, expected true or false"),
        ({"filters": []}, "char_cnn.filters: found an empty list"),
        ({"filters": [[1, 2, 3]]}, "char_cnn.filters: found [1, 2, 3]"),
        ({"filters": [[60, 4]]}, "char_cnn.filters: found a width of 60, expected at most"),
        ({"embedding": 4}, "char_cnn.embedding: found 4, expected an object"),
        ({"embedding": {}}, "char_cnn.embedding.dim: missing, expected an integer from 1 to 1048576"),
        ({"filters": [[1, "4"]]}, 'char_cnn.filters: found "4", expected a list of [width, number] pairs'),
        ({"cell_clip": True}, "lstm.cell_clip: found true, expected a number"),
    ],
)
def test_bad_field(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    assert named in _error(tmp_path, json.dumps(raw_options(**changes)))


@pytest.mark.parametrize("key", ["dim", "projection_dim"])
def test_missing_field(tmp_path: Path, key: str) -> None:
    raw = raw_options()
    del raw["lstm"][key]
    assert f"lstm.{key}: missing" in _error(tmp_path, json.dumps(raw))


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"elmo_mf": None}, "elmo_mf: found null"),
        ({"elmo_mf": [1]}, "elmo_mf: found [1]"),
        ({"elmo_mf": {"compressions": 5}}, "elmo_mf.compressions: found 5"),
        ({"elmo_mf": {"compressions": [5]}}, "elmo_mf.compressions: found 5"),
        ({"elmo_mf": {"compressions": [{}] * 1001}}, "elmo_mf.compressions: found [{}, {}"),
        ({"lstm": None}, "lstm: found null"),
        ({"z": json.loads("[" * 70 + "]" * 70)}, "nested"),
    ],
)
def test_keys_that_are_kept(tmp_path: Path, keys: dict[str, Any], named: str) -> None:
    """What is kept is written again, by whom the options pass through: it is looked at first."""
    assert named in _error(tmp_path, json.dumps(raw_options() | keys))
    with pytest.raises(InputError, match=r"^options: "):
        BilmOptions.from_dict(raw_options() | keys)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "9" * 5000])
def test_numbers_that_no_json_file_may_have(tmp_path: Path, number: str) -> None:
    _error(tmp_path, json.dumps(raw_options())[:-1] + f', "z": {number}}}')


def test_what_bilm_tf_leaves_out(tmp_path: Path) -> None:
    """The defaults of its `options.get`."""
    raw = raw_options()
    for key in ("n_layers", "cell_clip", "proj_clip", "use_skip_connections"):
        del raw["lstm"][key]
    for key in ("n_highway", "n_characters", "max_characters_per_token"):
        del raw["char_cnn"][key]
    options = BilmOptions.from_dict(raw)
    assert options.lstm == LstmOptions(12, 6, 1, None, None, False)
    assert (options.char_cnn.n_highway, options.char_cnn.max_characters_per_token) == (0, 50)
    assert BilmOptions.from_dict(raw_options(n_highway=None)).char_cnn.n_highway == 0
    assert BilmOptions.from_dict(options.to_dict()) == options


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [("lstm", key) for key in raw_options()["lstm"]] + [("char_cnn", key) for key in raw_options()["char_cnn"]]


@given(st.sampled_from([*FIELDS, ("lstm", None), ("char_cnn", None), ("elmo_mf", "compressions")]), json_values)
def test_anything_in_any_field(place: tuple[str, str | None], value: Any) -> None:
    section, key = place
    raw = raw_options()
    raw[section] = value if key is None else raw.get(section, {}) | {key: value}
    try:
        options = BilmOptions.from_dict(raw)
    except InputError as error:
        assert error.problem.startswith(("found ", "missing, ")) and "expected " in error.problem
    else:
        assert BilmOptions.from_dict(options.to_dict()) == options
        assert list(options.history.steps) == raw.get("elmo_mf", {}).get("compressions", [])


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000, "\x00"])
def test_not_options(tmp_path: Path, text: str) -> None:
    _error(tmp_path, text)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such options file"):
        BilmOptions.from_file(tmp_path / "gone.json")


def test_round_trip_keeps_other_keys() -> None:
    raw = raw_options(cell_clip=None) | {"n_train_tokens": 7}
    assert BilmOptions.from_dict(raw).to_dict() == raw


def test_zero_means_no_clip() -> None:
    assert BilmOptions.from_dict(raw_options(proj_clip=0)).lstm.proj_clip is None


def test_keys_that_nobody_reads_are_kept() -> None:
    """Inside objects too; there is nothing else beside what is read."""
    raw = raw_options()
    assert BilmOptions.from_dict(raw).extra == {}
    raw |= {"dropout": 0.1, "elmo_mf": {"compressions": [], "more": 1}}
    raw["lstm"] |= {"bidirectional": True}
    raw["char_cnn"] |= {"max": [1]}
    raw["char_cnn"]["embedding"] |= {"trained": None}
    options = BilmOptions.from_dict(raw)
    assert options.to_dict() == raw
    assert BilmOptions.from_dict(options.to_dict()).extra == options.extra
    assert options == BilmOptions.from_dict(raw_options())
