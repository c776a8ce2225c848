"""Broken options files: one line that names file, field, found and expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.bilm import BilmOptions
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
        ({"activation": "gelu"}, "char_cnn.activation: found gelu, expected relu or tanh"),
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
    ],
)
def test_bad_field(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    assert named in _error(tmp_path, json.dumps(raw_options(**changes)))


@pytest.mark.parametrize("key", ["dim", "projection_dim", "n_layers", "cell_clip", "use_skip_connections"])
def test_missing_field(tmp_path: Path, key: str) -> None:
    raw = raw_options()
    del raw["lstm"][key]
    assert f"lstm.{key}: found nothing" in _error(tmp_path, json.dumps(raw))


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
