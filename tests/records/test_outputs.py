"""The file of what each example contributes to a run's scores."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elmo_mf.errors import InputError
from elmo_mf.records import Outputs, RecordStore, SplitOutputs
from elmo_mf.records.outputs import SUFFIX, parse_outputs
from elmo_mf.tasks import SweepSpec, expand
from tests.records.samples import measurements, record

OUTPUTS = Outputs(
    {
        "test": SplitOutputs(np.array([1, 0, 0.5]), np.array([-0.25, -2, -1]), np.array([0, 0, 1])),
        "validation": SplitOutputs(np.array([1.0, 1.0])),
    }
)


def _parsed(raw: bytes) -> Outputs:
    return parse_outputs(raw, hashlib.sha256(raw).hexdigest(), "x.npz")


def _archive(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_outputs_are_read_as_they_were_written() -> None:
    raw = OUTPUTS.to_bytes()
    assert raw == OUTPUTS.to_bytes()
    outputs = _parsed(raw)
    assert outputs.splits.keys() == {"test", "validation"}
    for split, expected in OUTPUTS.splits.items():
        for name in ("score", "log_likelihood", "cluster"):
            one, other = getattr(outputs.splits[split], name), getattr(expected, name)
            assert (one is None) == (other is None) and (one is None or np.array_equal(one, other))


def test_the_store_keeps_outputs_beside_the_record(tmp_path: Path) -> None:
    run = expand(SweepSpec.from_file(None, tasks=["sst"], methods=[]))[0]
    store = RecordStore(tmp_path)
    written = store.write(run, measurements(record(None, 0.4)).with_outputs(OUTPUTS))
    outputs = store.outputs(written)
    assert outputs is not None and np.array_equal(outputs.splits["test"].score, [1, 0, 0.5])
    path = store.path(run).with_suffix(SUFFIX)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"found SHA-256 \w+"):
        store.outputs(written)
    path.unlink()
    assert store.outputs(written) is None and len(store.records()) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"PK\3\4",
        OUTPUTS.to_bytes()[:-30],
        _archive(score=np.ones(2, np.float32)),
        _archive(**{"test/other": np.ones(2, np.float32)}),
        _archive(**{"exam/score": np.ones(2, np.float32)}),
        _archive(**{"test/score": np.ones((2, 2), np.float32)}),
        _archive(**{"test/score": np.ones(2, np.int64)}),
        _archive(**{"test/score": np.array([np.nan], np.float32)}),
        _archive(**{"test/log_likelihood": np.ones(2, np.float32)}),
        _archive(**{"test/score": np.ones(2, np.float32), "test/cluster": np.ones(3, np.float32)}),
    ],
)
def test_other_files_are_rejected_in_one_line(raw: bytes) -> None:
    with pytest.raises(InputError, match=r"x\.npz: "):
        _parsed(raw)


def test_pickled_objects_and_huge_members_are_rejected() -> None:
    buffer, objects = io.BytesIO(), dict[str, Any]({"test/score": np.array([OUTPUTS], object)})
    np.savez(buffer, allow_pickle=True, **objects)
    with pytest.raises(InputError):
        _parsed(buffer.getvalue())
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("test/score.npy", bytes(60_000_000))
    with pytest.raises(InputError, match="too large"):
        _parsed(bomb.getvalue())
