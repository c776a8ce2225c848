"""Compiles the recurrence for this processor, and runs tasks on PyTorch's threads."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import torch
from llvmlite import ir
from torch import Tensor

from elmo_mf.bilm.runtime.kernel.config import FIELDS, KernelConfig
from elmo_mf.bilm.runtime.kernel.emitter import INT, POINTER, Emitter
from elmo_mf.bilm.runtime.kernel.recurrence import emit

_WORK = "work"


@cache
def lanes() -> int | None:
    """Float32 numbers in a vector of this processor; None where it lacks a fast multiply-add."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    if (features.get("avx2") and features.get("fma")) or features.get("neon"):
        return 8
    return None


@cache
def has_bfloat16() -> bool:
    """Whether this processor multiplies pairs of bfloat16."""
    return lanes() == 16 and bool(llvm.get_host_cpu_features().get("avx512bf16"))


class Kernel:
    """Machine code for directions of one config."""

    def __init__(self, config: KernelConfig) -> None:
        self._engine = _compiled(config)
        self._work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._engine.get_function_address(_WORK))

    def __call__(self, tasks: Tensor) -> None:
        """Run tasks (tasks, `FIELDS`), int64, side by side on as many threads as PyTorch uses."""
        job = torch.tensor([0, len(tasks), tasks.data_ptr()])
        threads = min(torch.get_num_threads(), len(tasks))
        if threads == 1:
            self._work(job.data_ptr())
        else:
            _on_threads()(self._work, job.data_ptr(), threads)


def kernel(config: KernelConfig) -> Kernel:
    """The kernel of that config, compiled once for all ranks that come to the same numbers of vectors."""
    return _kernel(config.with_padded_ranks)


@cache
def _kernel(config: KernelConfig) -> Kernel:
    return Kernel(config)


def _compiled(config: KernelConfig) -> llvm.ExecutionEngine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = ir.Module()
    _emit_work(module, emit(module, config))
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    features = llvm.get_host_cpu_features().flatten()
    if config.lanes == 16:
        features += ",-prefer-256-bit"
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3
    )
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    return engine


def _emit_work(module: ir.Module, run: ir.Function) -> None:
    """`work(job)`: take the next task that no other thread has, until there is none. A job is its next task's number,
    the number of tasks, and their address."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), _WORK)
    builder = ir.IRBuilder(function.append_basic_block())
    code, job = Emitter(builder, 1), function.args[0]
    count = builder.load(builder.gep(job, [code.number(1)], source_etype=INT), typ=INT)
    tasks = builder.load(builder.gep(job, [code.number(2)], source_etype=INT), typ=POINTER)
    take, go, done = (builder.append_basic_block() for _ in range(3))
    builder.branch(take)
    builder.position_at_end(take)
    number = builder.atomic_rmw("add", job, code.number(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", number, count), go, done)
    builder.position_at_end(go)
    builder.call(run, [builder.gep(tasks, [builder.mul(number, code.number(len(FIELDS)))], source_etype=INT)])
    builder.branch(take)
    builder.position_at_end(done)
    builder.ret_void()


@cache
def _on_threads() -> Callable[[Any, int, int], None]:
    """A call of a function on several threads at once: PyTorch's own OpenMP threads, which wait for their next call
    without sleeping and would be in the way of others; others where its OpenMP has no such entry."""
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return _on_other_threads
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return lambda work, job, threads: parallel(ctypes.cast(work, ctypes.c_void_p), job, threads, 0)


def _on_other_threads(work: Any, job: int, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [job] * threads))
