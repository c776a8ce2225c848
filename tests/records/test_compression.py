"""Tests of compressions as data: validation, the canonical form and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from elmo_mf.bilm import weights
from elmo_mf.bilm.checkpoint import DTYPES
from elmo_mf.errors import InputError
from elmo_mf.records.compression import (
    ALL_TARGETS,
    Budget,
    Compression,
    Direction,
    Distillation,
    FineTuning,
    StoredType,
    Target,
    parse_compression,
)
from elmo_mf.records.labels import compression_label

_RECORDS = Path(__file__).parents[2] / "leaderboard" / "records"
_PLAIN: dict[str, Any] = {"method": "svd", "rank": 2, "targets": "input"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rank": 0}, "compression.rank: found 0"),
        ({"rank": -3}, "compression.rank: found -3"),
        ({"rank": True}, "compression.rank: found True"),
        ({"rank": 2.0}, "compression.rank: found 2.0"),
        ({"rank": {"input": 0}}, "compression.rank.input: found 0"),
        ({"rank": {"input": 2, "joint": 3}}, "compression.rank: "),
        ({"rank": {"gates": 2}}, "compression.rank.gates: found 'gates'"),
        ({"rank": None}, "compression.rank: "),
        (
            {"targets": "gates"},
            "compression.targets: found 'gates'",
        ),
        ({"targets": "imput"}, "targets: found 'imput'"),
        ({"targets": "input+"}, "compression.targets: found ''"),
        ({"targets": []}, "compression.targets: "),
        ({"targets": 5}, "compression.targets: found 5"),
        ({"targets": "joint+input"}, "targets: found joint+input"),
        ({"granularity": "row"}, "compression.granularity: found 'row'"),
        ({"cells": 0}, "compression.cells: found 0"),
        ({"cells": 4.5}, "compression.cells: found 4.5"),
        ({"cells": "budget"}, "compression.cells: found 'budget', expected an integer of at least 1, or a budget"),
        ({"cells": "half"}, "compression.cells: found 'half', expected an integer or budget"),
        ({"inputs": "sparse"}, "compression.inputs: found 'sparse'"),
        ({"budget": {"share": 0.1}}, "compression.rank: found 2 "),
        ({"layers": "first"}, "compression.layers: found 'first'"),
        ({"layers": [-1]}, "compression.layers: found [-1]"),
        ({"layers": []}, "compression.layers: found []"),
        ({"directions": "sideways"}, "compression.directions: found 'sideways'"),
        ({"directions": []}, "compression.directions: "),
        ({"allow_larger": 1}, "compression.allow_larger: found 1"),
        ({"settings": "ridge"}, "compression.settings: found 'ridge'"),
        ({"settings": {"ridge": float("nan")}}, "compression.settings.ridge: found nan"),
        ({"calibration": 5}, "compression.calibration: found 5"),
        ({"gradients": ["g"]}, "compression.gradients: found ['g']"),
        ({"gradients": ""}, "compression.gradients: found ''"),
        ({"ranks": 2}, "the key 'ranks'"),
        ({"finetune": {"epoch": 2}}, "the key 'epoch'"),
        ({"finetune": {"learning_rate": float("inf")}}, "compression.finetune.learning_rate: found inf"),
    ],
)
def test_rejected(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_compression(_PLAIN | keys)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["method", "rank", "targets"])
def test_missing(missing: str) -> None:
    raw = {key: value for key, value in _PLAIN.items() if key != missing}
    with pytest.raises(InputError, match=rf"f.json: {missing}: missing"):
        parse_compression(raw, "f.json")


def test_normalised() -> None:
    one = Compression(method="svd", rank=2, targets="recurrent+input", layers=[1, 0, 1], directions="forward")
    assert (one.targets, one.layers, one.directions) == (("input", "recurrent"), (0, 1), ("forward",))
    assert Compression(method="svd", rank=2, targets=["all"]).targets == ALL_TARGETS
    ranks = Compression(method="svd", rank={"projection": 2, "joint": 3}, targets="projection+joint").rank
    assert isinstance(ranks, dict) and list(ranks) == ["joint", "projection"]


def test_frozen() -> None:
    one = Compression(**_PLAIN)
    with pytest.raises(ValidationError, match="frozen"):
        one.rank = 3


def test_canonical_form() -> None:
    """The canonical form is stable, because identities are hashes of it."""
    assert Compression(method="svd", rank=2, targets="all").to_dict() == {
        "method": "svd", "rank": 2, "targets": ["input", "recurrent", "projection"],
    }  # fmt: skip
    every = Compression(
        method="whitened_svd", targets="joint+projection", granularity="gate", budget=Budget(share=0.3), layers=[1],
        settings={"ridge": 0.1}, calibration="t", distill=Distillation(text="t", steps=3), highway_rank="budget",
        finetune=FineTuning(), allocation="matrices", cells=480,
    )  # fmt: skip
    assert every.to_dict() == {
        "method": "whitened_svd", "targets": ["joint", "projection"], "granularity": "gate", "budget": {"share": 0.3},
        "layers": [1], "settings": {"ridge": 0.1}, "calibration": "t", "distill": {"text": "t", "steps": 3},
        "highway_rank": "budget", "finetune": {}, "allocation": "matrices", "cells": 480,
    }  # fmt: skip
    chosen = Compression(method="svd", targets="input", budget={"share": 0.3}, cells="budget")
    assert chosen.to_dict()["cells"] == "budget"
    alone = parse_compression({"highway_rank": 3}), parse_compression({"cells": 3})
    for one in (every, chosen, Compression(**_PLAIN), *alone):
        assert parse_compression(json.loads(json.dumps(one.to_dict()))) == one
        assert Compression.model_validate_json(one.model_dump_json()) == one


def test_published_records_are_compressions() -> None:
    """The canonical form leaves out keys that have their default value, and changes nothing else."""
    raws = [json.loads(path.read_text())["run"].get("compression") for path in sorted(_RECORDS.glob("*.json"))]
    compressions = [raw for raw in raws if raw is not None]
    assert len(compressions) > 300
    for raw in compressions:
        one = parse_compression(raw)
        _assert_within(one.to_dict(), raw)
        _assert_within(raw, one.model_dump(mode="json"))


def _assert_within(part: dict[str, Any], whole: dict[str, Any]) -> None:
    for key, value in part.items():
        if isinstance(value, dict):
            _assert_within(value, whole[key])
        else:
            assert whole[key] == value and type(whole[key]) is type(value)


def test_one_vocabulary() -> None:
    assert set(get_args(Target)) == set(get_args(weights.Target)) and ALL_TARGETS == weights.TARGETS
    assert get_args(Direction) == weights.DIRECTIONS


def test_schema() -> None:
    schema = Compression.model_json_schema()
    assert schema["required"] == ["method", "targets"] and schema["additionalProperties"] is False
    assert all(field.get("description") for field in schema["properties"].values())


@pytest.mark.parametrize(
    ("compression", "name"),
    [
        ({"targets": "all"}, "svd all rank 2"),
        ({"targets": ["recurrent", "input"]}, "svd input+recurrent rank 2"),
        ({"layers": [1, 0], "directions": "forward"}, "svd input layers 0+1 forward rank 2"),
        ({"rank": {"input": 2, "recurrent": 3}, "targets": "recurrent+input"}, "svd input+recurrent rank 2+3"),
        ({"targets": "joint", "granularity": "gate"}, "svd joint by gate rank 2"),
        ({"inputs": "compressed"}, "svd input in order rank 2"),
        ({"rank": None, "budget": {"share": 0.1}}, "svd input budget 10%"),
        ({"rank": None, "budget": {"bytes": 99}}, "svd input budget 99 bytes"),
        ({"rank": None, "budget": {"bytes": 99}, "allocation": "matrices"}, "svd input budget 99 bytes by matrices"),
        ({"rank": None, "budget": {"bytes": 739_840, "dtype": "int8"}}, "svd input budget 0.74 MB in int8"),
        ({"rank": None, "budget": {"bytes": 9}, "highway_rank": "budget"}, "svd input budget 9 bytes with highways"),
        ({"method": "nmf", "settings": {"form": "shift"}}, "nmf(form=shift) input rank 2"),
        ({"distill": {"text": "t.txt", "steps": 9}}, "svd input rank 2 distilled 9"),
        ({"finetune": {"epochs": 2}}, "svd input rank 2 fine-tuned 2"),
        ({"finetune": {"epochs": 2, "learning_rate": 0.01}}, "svd input rank 2 fine-tuned 2 at 0.01"),
        ({"highway_rank": 9}, "svd input rank 2 highways 9"),
        ({"cells": 480}, "480 cells svd input rank 2"),
        ({"rank": None, "budget": {"share": 0.1}, "cells": "budget"}, "cells budget svd input budget 10%"),
    ],
)
def test_labels(compression: dict[str, Any], name: str) -> None:
    assert compression_label(parse_compression(_PLAIN | compression)) == name


def test_only_lstm_factors() -> None:
    assert parse_compression(_PLAIN | {"layers": [0]}).only_lstm_factors
    changes: list[dict[str, Any]] = [{"highway_rank": 2}, {"distill": {"text": "t"}}, {"finetune": {}}, {"cells": 2}]
    for more in changes:
        assert not parse_compression(_PLAIN | more).only_lstm_factors


def test_cells_alone() -> None:
    """Nothing is factorized, or highway layers alone; all else needs targets."""
    one = parse_compression({"cells": 480, "gradients": "g.hdf5"})
    assert one.to_dict() == {"method": "kfac_svd", "targets": [], "cells": 480, "gradients": "g.hdf5"}
    assert compression_label(one) == "480 cells"
    both = parse_compression({"cells": 480, "highway_rank": 64})
    assert (both.method, compression_label(both)) == ("kfac_svd", "480 cells highways 64")
    for keys, message in (
        ({"method": "svd", "targets": []}, "method: found 'svd' without targets, expected kfac_svd, for memory cells"),
        ({"inputs": "compressed"}, "inputs: found 'compressed' without targets"),
        ({"method": "kfac_svd", "targets": [], "rank": 2}, "rank: found 2 without targets"),
        ({"highway_rank": "budget"}, "highway_rank: found 'budget'"),
    ):
        with pytest.raises(InputError, match=rf"^compression\.{message}"):
            parse_compression({"cells": 480} | keys)


def test_a_budget_names_the_types_of_checkpoints() -> None:
    assert set(get_args(StoredType)) == set(DTYPES)
