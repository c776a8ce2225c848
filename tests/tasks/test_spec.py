"""Untrusted sweep specifications are read or rejected with a one-line error."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.errors import InputError
from elmo_mf.records import Compression
from elmo_mf.records.labels import compression_label
from elmo_mf.tasks import SweepSpec

ODD: list[Any] = [
    None, True, -1, 0, 5, 10**400, 1.5, float("nan"), "", "x", "\0", [], {}, [[]], {"a": {}}, [1, "2"], [None],
    {"sst": None}, {"sst": {"train": "x"}}, {"train": []},
]  # fmt: skip


@pytest.mark.parametrize("key", list(SweepSpec.model_fields))
def test_odd_values(key: str) -> None:
    for value in ODD:
        with contextlib.suppress(InputError):
            spec = SweepSpec.from_value({"tasks": ["sst"], key: value}, "sweep")
            spec.limit_of("sst", "train"), spec.glove_of("sst"), list(spec.encoders())


@pytest.mark.parametrize("key", sorted(Compression.model_fields))
@pytest.mark.parametrize(
    "others",
    [
        {"rank": 2, "targets": "input"},
        {"budget": {"share": 0.5}, "targets": "input"},
        {"method": "whitened_svd", "rank": None, "targets": [], "highway_rank": 2},
    ],
)
def test_odd_values_in_compressions(key: str, others: dict[str, Any]) -> None:
    for value in [
        *ODD,
        *({kind: value} for kind in ("share", "parameters", "input", "text", "epochs") for value in ODD),
    ]:
        with contextlib.suppress(InputError):
            compressions = [{"method": "svd"} | others | {key: value}]
            spec = SweepSpec.from_value({"tasks": ["sst"], "compressions": compressions}, "sweep")
            [one and compression_label(one) for one in spec.encoders()]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_that_numpy_does_not_take(seed: int) -> None:
    with pytest.raises(InputError, match=rf"^sweep\.seeds\.0: found {seed}"):
        SweepSpec.from_value({"seeds": [seed]}, "sweep")


def test_homes_and_file_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are expanded in a sweep file and its compressions; URLs are kept and not fetched."""
    monkeypatch.setenv("HOME", "/home/me")
    files = {"options": "~/o.json", "weights": "file:///w.hdf5", "data": "~/data", "glove": {"sst": "~/words.txt"}}
    keys = {"method": "svd", "rank": 2, "targets": "all", "calibration": "~/c.txt", "gradients": "http://127.0.0.1:9/g"}
    spec = SweepSpec.from_value(files | {"methods": [], "compressions": [keys | {"distill": {"text": "~/d"}}]}, "sweep")
    assert (spec.options, spec.weights, spec.data) == ("/home/me/o.json", "/w.hdf5", "/home/me/data")
    assert spec.glove_of("sst") == str(Path("/home/me/words.txt"))
    compression = list(spec.encoders())[1]
    assert compression is not None and compression.distill is not None
    assert (compression.calibration, compression.distill.text) == ("/home/me/c.txt", "/home/me/d")
    assert compression.gradients == "http://127.0.0.1:9/g"


@pytest.mark.parametrize("keys", [{"baselines": ["smaller"]}, {"smaller": "folder"}])
def test_a_smaller_elmo_is_a_baseline_with_a_folder(keys: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"smaller: "):
        SweepSpec.from_value(keys, "sweep")
