"""Encoders whose weights are kept in a lower precision only, against those that keep them in float32 too."""

from __future__ import annotations

import copy
import gc
import pickle
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from elmo_mf import Compression
from elmo_mf.bilm import Bilm, read_weights
from elmo_mf.bilm.packing import Packing
from elmo_mf.bilm.runtime import Precision, supports
from elmo_mf.bilm.runtime_settings import use_settings
from elmo_mf.errors import InputError
from tests.bilm.test_checkpoint import numbers_of
from tests.conftest import random_bilm

SENTENCES = [["The", "cat", "sat", "on", "the", "mat"], ["A", "dog"], ["one"], ["The", "dog", "sat"], ["A", "cat"]]
SIZES = {"dim": 32, "projection_dim": 16}
COMPRESSIONS: dict[str, dict[str, Any] | None] = {
    "dense": None,
    "factors": {"method": "svd", "rank": 5, "targets": "all", "highway_rank": 6},
    "joint": {"method": "svd", "rank": 5, "targets": "joint+projection"},
    "gates": {"method": "svd", "rank": 3, "targets": "all", "granularity": "gate"},
    "pruned": {"method": "prune", "rank": 5, "targets": "all"},
    "input": {"method": "svd", "rank": 5, "targets": "input"},
}
# what runs the gates: machine code, PyTorch in int8 where dense, or PyTorch in float32 for few sequences
SETTINGS: dict[str, dict[str, Any]] = {
    "machine code": {},
    "int8": {"quantized_numbers": 1, "packed_multiply_adds": 1},
    "PyTorch": {"machine_code": False, "packed_multiply_adds": 3 * 128 * 16},
}


FORMS = [("bfloat16", "machine code"), *(("int8", settings) for settings in SETTINGS)]


@pytest.fixture(params=["bfloat16", "int8"])
def precision(request: pytest.FixtureRequest) -> Precision:
    _skip_without(request.param)
    return request.param  # type: ignore[no-any-return]


def _skip_without(precision: Precision) -> None:
    if not supports(precision):
        pytest.skip(f"needs a processor with {precision} products")


Saved = Callable[..., Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Write an ELMo in a type, each once; tests read it."""

    @cache
    def folder_of(dtype: str, compression: str = "dense", **changes: Any) -> Path:
        folder, small = tmp_path_factory.mktemp("elmo"), COMPRESSIONS[compression]
        random_bilm(scale=2.0, **(SIZES | changes)).save(folder / "whole")
        compressed = Bilm.from_files(folder / "whole", compression=None if small is None else Compression(**small))
        compressed.save(folder / dtype, dtype)
        return folder / dtype

    return folder_of


def _vectors(bilm: Bilm) -> list[np.ndarray]:
    """The vectors of batches of all numbers of sentences, some of them in a batch that shrinks."""
    return [vectors for batch in (1, 2, 5) for vectors in bilm.embed(SENTENCES, batch)]


def _assert_equal(actual: Bilm, expected: Bilm) -> None:
    for ours, theirs in zip(_vectors(actual), _vectors(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("precision", "settings"), FORMS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_vectors(precision: Precision, compression: str, settings: str, saved: Saved) -> None:
    """They are the same, also after the weights have been converted to float32 and back."""
    _skip_without(precision)
    folder = saved("float32", compression)
    with use_settings(**SETTINGS[settings]):
        both, only = (Bilm.from_files(folder, precision=precision, keep_float32=keep) for keep in (True, False))
        _assert_equal(only, both)
        again = Bilm(only.options, only.weights(), precision=precision, keep_float32=False).eval()
    _assert_equal(again, both)
    assert any(parameter.is_meta for parameter in only.parameters())
    assert not any(parameter.is_meta for parameter in both.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "settings"), FORMS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_a_rounded_checkpoint_is_kept_exactly(
    precision: Precision, compression: str, settings: str, dtype: str, saved: Saved, tmp_path: Path
) -> None:
    _skip_without(precision)
    folder = saved(dtype, compression)
    with use_settings(**SETTINGS[settings]):
        only = Bilm.from_files(folder, precision=precision)
        weights = read_weights(folder / "weights.hdf5", only.options)
        _assert_equal(only, Bilm(only.options, weights, precision=precision))
    only.save(tmp_path / "again", dtype)
    before, after = (numbers_of(path / "weights.hdf5") for path in (folder, tmp_path / "again"))
    assert before.keys() == after.keys()
    for name, numbers in before.items():
        assert numbers.dtype == after[name].dtype
        np.testing.assert_array_equal(numbers, after[name], err_msg=name)
    whole = Bilm.from_files(folder).state_dict()
    assert {name: numbers.shape for name, numbers in only.state_dict().items()} == {
        name: numbers.shape for name, numbers in whole.items()
    }
    assert all(torch.equal(numbers, whole[name]) for name, numbers in only.state_dict().items())


@pytest.mark.parametrize("compression", ["dense", "factors", "joint"])
@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_saved_again(precision: Precision, compression: str, dtype: str, saved: Saved, tmp_path: Path) -> None:
    """From float32, weights are rounded once more when they are saved, and stay."""
    only = Bilm.from_files(saved("float32", compression), precision=precision)
    only.save(tmp_path / "first", dtype)
    Bilm.from_files(tmp_path / "first", precision=precision).save(tmp_path / "second", dtype)
    first, second = (numbers_of(tmp_path / name / "weights.hdf5") for name in ("first", "second"))
    assert all(np.array_equal(numbers, second[name]) for name, numbers in first.items())


@pytest.mark.parametrize(("precision", "settings"), [form for form in FORMS if form[1] != "PyTorch"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_bytes(precision: Precision, compression: str, settings: str, saved: Saved) -> None:
    """All that is missing are the matrices in float32, and no matrix of a product is there in float32."""
    _skip_without(precision)
    _skip_without("bfloat16")
    folder = saved("float32", compression)
    with use_settings(**SETTINGS[settings]):
        both, only = (Bilm.from_files(folder, precision=precision, keep_float32=keep) for keep in (True, False))
    for bilm in (both, only):
        bilm.embed(SENTENCES[:1])
    missing = [tensor for tensor in (*only.parameters(), *only.buffers()) if tensor.is_meta]
    assert _bytes(both) - _bytes(only) == sum(tensor.nbytes for tensor in missing)
    products = {"left", "right", "weight"}
    kept = [name for name, p in only.named_parameters() if name.rpartition(".")[2] in products and not p.is_meta]
    assert all(name.startswith("char_cnn.convolutions.") for name in kept) and missing


def test_bytes_at_a_larger_size(precision: Precision, saved: Saved) -> None:
    folder = saved("int8", dim=512, projection_dim=64)
    with use_settings(**SETTINGS["int8"]):
        small = Bilm.from_files(folder, precision=precision)
    whole = Bilm.from_files(folder)
    small.embed(SENTENCES[:1])
    assert _bytes(small) < {"int8": 0.35, "bfloat16": 0.55}[precision] * _bytes(whole)


def _bytes(root: object) -> int:
    """Bytes of the tensors that are reachable from an object."""
    seen, storages, total, left = set[int](), set[int](), 0, [root]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type | ModuleType):
            continue
        seen.add(id(one))
        if isinstance(one, FunctionType):
            left += one.__closure__ or ()
        elif isinstance(one, Tensor) and one.is_mkldnn:
            total += one.numel() * one.element_size()
        elif isinstance(one, Tensor):
            storage = one.untyped_storage()
            if not one.is_meta and storage.data_ptr() not in storages:
                storages.add(storage.data_ptr())
                total += storage.nbytes()
        else:
            left += gc.get_referents(one)
    return total


@pytest.mark.slow
def test_layers_are_read_one_after_the_other(precision: Precision, saved: Saved) -> None:
    folder = saved("int8", dim=256, projection_dim=64, n_layers=8)
    total = sum(4 * p.numel() for p in Bilm.from_files(folder, precision=precision).layers.parameters())
    peaks = []
    for keep in (True, False):
        tracemalloc.start()  # which counts the arrays of NumPy, also those that tensors share
        Bilm.from_files(folder, precision=precision, keep_float32=keep)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > total > 2 * peaks[1]


def test_gradients_are_refused(precision: Precision, saved: Saved) -> None:
    only = Bilm.from_files(saved("float32"), precision=precision)
    ids = only.token_ids(SENTENCES)
    with pytest.raises(InputError, match=r"found a call that needs gradients.*expected torch.no_grad"):
        only(ids)
    with pytest.raises(InputError, match="needs gradients"):
        only.contextualize(torch.zeros(4, 16), Packing.of(torch.tensor([4])))
    with torch.no_grad():
        expected = only(ids).layers
    assert torch.equal(only.requires_grad_(False).train()(ids).layers, expected)


def test_copied_and_pickled(precision: Precision, saved: Saved) -> None:
    only = Bilm.from_files(saved("float32"), precision=precision)
    for other in (copy.deepcopy(only), pickle.loads(pickle.dumps(only))):
        _assert_equal(other, only)
        assert _bytes(other) == _bytes(only)


@pytest.mark.parametrize("compression", ["dense", "factors"])
def test_moved_and_loaded(precision: Precision, compression: str, saved: Saved) -> None:
    """A move that changes nothing leaves the copies; another one restores the parameters, and loading frees them."""
    only = Bilm.from_files(saved("float32", compression, n_layers=1), precision=precision)
    expected, state, held = _vectors(only), only.state_dict(), _bytes(only)
    dict(only.requires_grad_(False).named_parameters())["layers.0.groups.0.bias"].requires_grad_(True)
    assert only.cpu().float() is only and _bytes(only) == held
    assert only.double().embed(SENTENCES)[0].dtype == np.float64
    trainable = [name for name, parameter in only.float().named_parameters() if parameter.requires_grad]
    assert trainable == ["layers.0.groups.0.bias"] and not any(p.is_meta for p in only.parameters())
    for ours, theirs in zip(_vectors(only), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for _ in range(2):
        assert not any(only.load_state_dict(state))
        assert any(p.is_meta for p in only.parameters())
        for ours, theirs in zip(_vectors(only), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_state_is_kept(precision: Precision, saved: Saved, tmp_path: Path) -> None:
    Bilm.from_files(saved("int8"), precision=precision, state="primed").save(tmp_path / "primed", "int8")
    both, only = (
        Bilm.from_files(tmp_path / "primed", precision=precision, state="primed", keep_float32=keep)
        for keep in (True, False)
    )
    _assert_equal(only, both)
    assert only.state_dict().keys() == both.state_dict().keys()
