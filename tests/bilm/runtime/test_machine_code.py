"""The recurrence as machine code, against the plain formula."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from elmo_mf.bilm import runtime_settings
from elmo_mf.bilm.lstm import BiLstmLayer
from elmo_mf.bilm.packing import State
from elmo_mf.bilm.runtime import PRECISIONS, Precision
from elmo_mf.bilm.runtime._machine_code import MachineCodeLstm
from elmo_mf.bilm.runtime_settings import RuntimeSettings
from tests.bilm.layers import DENSE, FACTORED, STRUCTURES, Layer, Ranks, assert_equal, plain_layer, runtime
from tests.bilm.reference import PlainWeights

pytest.importorskip("llvmlite")
from llvmlite import ir

from elmo_mf.bilm.runtime.kernel import compiled
from elmo_mf.bilm.runtime.kernel._emit_recurrence import emit
from elmo_mf.bilm.runtime.kernel._emitter import POINTER, Address, Emitter
from elmo_mf.bilm.runtime.kernel.kernel_config import KernelConfig
from elmo_mf.bilm.runtime.kernel.task import Task

pytestmark = pytest.mark.skipif(compiled.lanes() is None, reason="needs a processor with fast multiply-adds of vectors")
needs_bfloat16 = pytest.mark.skipif(not compiled.has_bfloat16(), reason="needs a processor with bfloat16 products")

# few configs, because each is compiled
ranks = st.tuples(st.sampled_from([None, 17]), st.sampled_from([None, 5, 33]), st.sampled_from([None, 2]))
layers = st.builds(
    Layer,
    n=st.just(48),
    p=st.just(32),
    ranks=st.tuples(ranks, ranks) | ranks.map(lambda own: (own, own)),
    clips=st.sampled_from([(None, None), (0.3, 0.1)]),
    scale=st.sampled_from([0.5, 1.0, 2.0]),
    **STRUCTURES,
)
batches = st.lists(st.integers(1, 7), min_size=1, max_size=9)
WHOLE = Layer(48, 32, FACTORED, (3.0, 3.0), 1.0)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _outcome(module: BiLstmLayer, batch: tuple[Tensor, list[int], State]) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        output, (h, c) = module(*batch)
    return output, h, c


def _uses_machine_code(layer: Layer, lengths: list[int], precision: Precision = "float32", **changes: Any) -> bool:
    module, batch = layer.build(precision, RuntimeSettings(**changes)), layer.batch(lengths)
    with torch.no_grad():
        return isinstance(runtime(module, batch), MachineCodeLstm)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(layers, batches, st.sampled_from([1, 3, 1000]), st.integers(1, 10_000))
def test_equals_the_plain_formula(layer: Layer, lengths: list[int], rank: int, cache: int) -> None:
    """With any batch size from which the input's factor is applied in steps, and any number of steps at once."""
    with torch.inference_mode():
        assert_equal(layer, lengths, RuntimeSettings(machine_code_ranks_per_sequence=rank, cache_bytes=cache))


@pytest.mark.slow
@pytest.mark.parametrize("p", [8, 56])
@pytest.mark.parametrize("kind", [{}, {"joint": True}, {"blocks": 4}])
@pytest.mark.parametrize("ranks", [FACTORED, DENSE])
def test_eight_lanes(ranks: tuple[Ranks, Ranks], kind: dict[str, Any], p: int) -> None:
    """As on processors without AVX-512, with every number of rows in a block; sizes are multiples of 8, not of 16."""
    layer = Layer(24, p, ranks, (3.0, 3.0), 1.0, **kind)
    for lengths in ([1], [5, 5, 2, 1], [6, 6, 6, 5, 5, 5, 4, 4, 4, 3, 2, 2, 1]):
        assert _uses_machine_code(layer, lengths, machine_code_lanes=8)
        with torch.no_grad():
            assert_equal(layer, lengths, RuntimeSettings(machine_code_lanes=8))


def test_a_ragged_batch_goes_through_both_forms() -> None:
    """The tests above do test both."""
    thresholds = RuntimeSettings(machine_code_ranks_per_sequence=(compiled.lanes() or 0) / 3)
    batch = WHOLE.batch([9, 9, 4, 3, 1])
    with torch.no_grad():
        assert_equal(WHOLE, [9, 9, 4, 3, 1], thresholds)
        machine_code = runtime(WHOLE.build(settings=thresholds), batch)
    assert isinstance(machine_code, MachineCodeLstm)
    assert {machine_code.is_joint(size) for size in batch[1]} == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("kind", [{}, {"input_rank": 17}, {"blocks": 4}, {"shared": True}])
def test_ranks_of_as_many_vectors_have_one_code(kind: dict[str, Any], bf16: bool, lanes: int) -> None:
    def config(rank: int) -> KernelConfig:
        sizes: dict[str, Any] = {"n": 48, "p": 32, "input_rank": None, "recurrent_rank": rank, "projection_rank": rank}
        return KernelConfig(**sizes | kind, cell_clip=3.0, proj_clip=None, lanes=lanes, bf16=bf16)

    def code(config: KernelConfig) -> str:
        module = ir.Module()
        emit(module, config)
        return str(module)

    assert (
        code(config(33)) == code(config(33).with_padded_ranks) == code(config(40).with_padded_ranks) != code(config(49))
    )
    assert config(33).with_padded_ranks == config(40).with_padded_ranks != config(49).with_padded_ranks
    assert KernelConfig(48, 32, None, None, None, None, None, lanes).with_padded_ranks.recurrent_rank is None


def test_code_is_made_once() -> None:
    configs = [KernelConfig(48, 32, None, rank, 2, None, None, compiled.lanes() or 0) for rank in (17, 24, 50)]
    first, again, other = map(compiled.kernel, configs)
    assert first is again is not other


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3, 4, 16])
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
@pytest.mark.usefixtures("threads")
def test_threads_change_nothing(count: int, precision: Precision) -> None:
    batch = WHOLE.batch([7, 7, 6, 3, 3, 2, 1])
    torch.set_num_threads(1)
    expected = _outcome(WHOLE.build(precision), batch)
    torch.set_num_threads(count)
    assert all(map(torch.equal, _outcome(WHOLE.build(precision), batch), expected))


@pytest.mark.usefixtures("threads")
def test_threads_of_its_own() -> None:
    """As where PyTorch's OpenMP cannot be called."""
    torch.set_num_threads(4)
    batch = WHOLE.batch([7, 7, 6, 3, 3, 2, 1])
    expected = _outcome(WHOLE.build(), batch)
    own_threads = WHOLE.build(settings=RuntimeSettings(openmp=False))
    assert all(map(torch.equal, _outcome(own_threads, batch), expected))


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
@pytest.mark.parametrize("ranks", [FACTORED, DENSE])
def test_neighbours_change_nothing(ranks: tuple[Ranks, Ranks], precision: Precision) -> None:
    layer = Layer(48, 32, ranks, (3.0, 3.0), 1.0)
    inputs, sizes, (h, c) = layer.batch([5] * 7)
    inputs[:, 1::7] *= 100
    module = layer.build(precision)
    together, alone = _outcome(module, (inputs, sizes, (h, c)))[0], torch.empty(2, 5, 32)
    alone = _outcome(module, (inputs[:, ::7], [1] * 5, (h[:, :1], c[:, :1])))[0]
    torch.testing.assert_close(together[:, ::7], alone, atol=1e-6 if precision == "float32" else 1e-3, rtol=0)


def test_the_state_given_stays_as_it_was() -> None:
    inputs, sizes, state = WHOLE.batch([4, 4, 2])
    before = [part.clone() for part in state]
    _outcome(WHOLE.build(), (inputs, sizes, state))
    assert all(map(torch.equal, state, before))


@pytest.mark.parametrize("gate", [-200.0, -30.0, -1.0, -1e-3, -1e-6, 0.0, 1e-6, 1e-3, 0.5, 9.0, 30.0, 200.0])
@pytest.mark.parametrize("cell", [-50.0, -1e-4, 0.0, 1e-4, 2.0, 1000.0])
def test_activations_from_the_tiny_to_the_huge(gate: float, cell: float) -> None:
    """All gates the same; a matrix of zeros before them, and one of ones behind, so that h is what a cell gives."""
    layer = Layer(16, 16, ((None, None, None), (None, None, None)), (None, None), 0.0)
    weights = layer.weights()
    for direction in weights:
        direction.bias[:] = gate
        direction.matrices["projection"][:, :] = torch.eye(16).numpy()  # type: ignore[index]
    module = BiLstmLayer(weights[0], weights[1], None, None)
    inputs, sizes, state = torch.zeros(2, 1, 16), [1], (torch.zeros(2, 1, 16), torch.full((2, 1, 16), cell))
    expected = plain_layer(layer, inputs, sizes, state, [PlainWeights.of(direction) for direction in weights])
    actual = _outcome(module, (inputs, sizes, state))
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=2e-6, atol=1e-9)


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_number_stays_visible(place: int) -> None:
    """And does not reach the neighbours."""
    inputs, sizes, state = WHOLE.batch([4, 4])
    inputs[:, place, 3] = torch.nan
    output = _outcome(WHOLE.build(), (inputs, sizes, state))[0]
    assert output[:, place::2].isnan().all() and output[:, 1 - place :: 2].isfinite().all()


@pytest.mark.slow
@needs_bfloat16
@settings(max_examples=30, deadline=None)
@given(layer=layers, lengths=batches, rank=st.sampled_from([1, 1000]))
def test_bfloat16_is_close(layer: Layer, lengths: list[int], rank: int) -> None:
    batch = layer.batch(lengths)
    thresholds = RuntimeSettings(machine_code_ranks_per_sequence=rank)
    exact, close = (_outcome(layer.build(precision, thresholds), batch)[0] for precision in PRECISIONS[:2])
    assume(not layer.all_clipped(exact))  # else nothing of the weights is left to see
    assert not torch.equal(exact, close)
    assert (close - exact).norm() / exact.norm() < 0.1


@needs_bfloat16
@pytest.mark.parametrize(("ranks", "quantized_numbers"), [(WHOLE.ranks[0], 0), (DENSE[0], 4 * 48 * 32 + 1)])
def test_int8_runs_in_machine_code_unless_quantized(ranks: Ranks, quantized_numbers: int) -> None:
    """With int8, factored and small matrices of the gates are bfloat16; others are integers, in PyTorch."""
    layer, thresholds = (
        Layer(48, 32, (ranks, ranks), (3.0, 3.0), 1.0),
        RuntimeSettings(quantized_numbers=quantized_numbers),
    )
    batch = layer.batch([4, 3])
    assert all(map(torch.equal, *(_outcome(layer.build(p, thresholds), batch) for p in PRECISIONS[1:])))
    assert _uses_machine_code(layer, [4, 3], "int8", quantized_numbers=quantized_numbers)
    dense = Layer(48, 32, DENSE, (3.0, 3.0), 1.0)
    assert not _uses_machine_code(dense, [4, 3], "int8", quantized_numbers=4 * 48 * 32)


def _without_llvmlite(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(runtime_settings, "find_spec", lambda name: None)
    patch.setitem(sys.modules, "llvmlite", None)


def _switched_off(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("ELMO_MF_NATIVE", "0")


def _without_instructions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compiled, "lanes", lambda: None)


@pytest.mark.parametrize("change", [_without_llvmlite, _switched_off, _without_instructions])
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
def test_pytorch_runs_without_machine_code(
    change: Callable[[pytest.MonkeyPatch], None], precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = WHOLE.batch([5, 4, 2])
    expected = _outcome(WHOLE.build(precision), batch)
    assert _uses_machine_code(WHOLE, [5, 4, 2], precision)
    change(monkeypatch)
    outcome = _outcome(WHOLE.build(precision), batch)
    assert not _uses_machine_code(WHOLE, [5, 4, 2], precision)
    for one, other in zip(outcome, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5 if precision == "float32" else 0.02, rtol=0)


def test_the_settings_forbid_machine_code() -> None:
    assert not _uses_machine_code(WHOLE, [5, 4, 2], machine_code=False)


@needs_bfloat16
def test_bfloat16_takes_vectors_of_the_processor_alone() -> None:
    """LLVM would end the process, because the instructions for others are another processor's."""
    lanes = compiled.lanes() or 0
    used = [_uses_machine_code(WHOLE, [3], "bfloat16", machine_code_lanes=count) for count in (lanes, lanes // 2)]
    assert used == [True, False]


def test_sizes_of_partial_vectors() -> None:
    layer = Layer(20, 6, FACTORED, (3.0, 3.0), 1.0)
    with torch.no_grad():
        assert_equal(layer, [3, 2])
    assert not _uses_machine_code(layer, [3, 2])


@pytest.mark.usefixtures("threads")
def test_many_threads_share_a_dense_product() -> None:
    """Two threads cannot read a large matrix as fast as many do, each a part of it."""
    torch.set_num_threads(16)
    dense = Layer(48, 32, DENSE, (3.0, 3.0), 1.0)
    assert not _uses_machine_code(dense, [1]) and _uses_machine_code(dense, [1] * 8)
    assert _uses_machine_code(WHOLE, [1])


def test_a_task_is_addressed_by_name() -> None:
    """The emitted code reads each field where ctypes has it, and rejects fields of another name or type."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "run")
    code, task = Emitter(ir.IRBuilder(function.append_basic_block()), 16), Address(function.args[0])
    code.address_field(task, Task, "scratch")
    assert f"i64 {Task.scratch.offset // 8}" in str(function)  # type: ignore[attr-defined]
    for read, name in ((code.integer_field, "scratch"), (code.address_field, "steps"), (code.address_field, "Scratch")):
        with pytest.raises(TypeError, match=f"Task.{name}"):
            read(task, Task, name)
