"""The machine code on emulated ARM processors; `make test-arm` builds what these tests need."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from elmo_mf import Compression
from elmo_mf.bilm import Bilm
from tests.arm import vectors
from tests.arm.environment import PROCESSORS, emulator, run
from tests.conftest import random_bilm

FOLDER = Path(os.environ.get("ELMO_MF_ARM", "")).resolve()
pytestmark = [
    pytest.mark.skipif(emulator() is None, reason="needs QEMU: qemu-user"),
    pytest.mark.skipif("ELMO_MF_ARM" not in os.environ, reason="takes long: make test-arm"),
    pytest.mark.timeout(3600),
    pytest.mark.parametrize("processor", PROCESSORS),
]
PRECISIONS = {
    "cortex-a57": {"float32", "int8"},
    "neoverse-n1": {"float32", "int8"},
    "max": {"float32", "bfloat16", "int8"},
}
KERNEL = [f"tests/bilm/runtime/test_{name}.py" for name in ("machine_code", "whole_batch", "integer_product")]
# of the largest number: bfloat16 sums in another order are rounded to other states
TOLERANCES = {"float32": 1e-5, "bfloat16": 0.02, "int8": 0.02}


@pytest.fixture(scope="module")
def elmos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ELMo, dense and factorized, in each type that a checkpoint has."""
    folder, small = tmp_path_factory.mktemp("elmos"), tmp_path_factory.mktemp("small")
    random_bilm(scale=2.0, dim=32, projection_dim=16).save(small)
    for name, compression in (("dense", None), ("factorized", Compression(method="svd", rank=5, targets="all"))):
        bilm = Bilm.from_files(small, compression=compression)
        for dtype in ("float32", "int8", "int4"):
            bilm.save(folder / f"{name} {dtype}", dtype)
    return folder


def test_the_tests_of_the_machine_code_pass(processor: str) -> None:
    options = ["-m", "pytest", "--noconftest", "-p", "no:cacheprovider", "-o", "addopts=", "-qrs", "-m", "not slow"]
    patient = "--hypothesis-profile=ci"  # no test is too slow for it
    tests = run(FOLDER, processor, [*options, patient, *KERNEL])
    print(tests.stdout[-1500:])
    assert tests.returncode == 0, tests.stdout[-8000:] + tests.stderr[-2000:]


def test_the_vectors_are_those_of_pytorch_and_of_this_machine(processor: str, elmos: Path, tmp_path: Path) -> None:
    done = run(FOLDER, processor, ["-m", "tests.arm.vectors", elmos, tmp_path / "vectors.npz"])
    assert done.returncode == 0, done.stderr[-4000:]
    computed = dict(np.load(tmp_path / "vectors.npz"))
    here = {elmo.name: vectors.vectors(elmo, "float32", machine_code=True) for elmo in sorted(elmos.iterdir())}
    assert {name.split(", ")[1] for name in computed} == PRECISIONS[processor]
    for precision in PRECISIONS[processor]:
        ours, theirs = (
            {elmo: computed[f"{elmo}, {precision}, {form}"] for elmo in here} for form in ("machine code", "PyTorch")
        )
        from_theirs, from_here = _difference(ours, theirs), _difference(ours, here)
        print(f"{precision}: {from_theirs:.1e} from PyTorch, {from_here:.1e} from float32 on this machine")
        assert max(from_theirs, from_here) < TOLERANCES[precision]


def _difference(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """The largest difference of any ELMo's vectors, relative to their largest number."""
    return max(float(np.abs(actual[name] - expected[name]).max() / np.abs(expected[name]).max()) for name in expected)
