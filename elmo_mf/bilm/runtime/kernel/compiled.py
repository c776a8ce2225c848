"""Compiles code for this processor, and runs tasks on PyTorch's threads."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import llvmlite.binding as llvm
import torch
from llvmlite import ir

from elmo_mf.bilm.runtime.kernel._emit_recurrence import emit
from elmo_mf.bilm.runtime.kernel._emitter import POINTER, Address, Emitter, Integer
from elmo_mf.bilm.runtime.kernel.kernel_config import KernelConfig
from elmo_mf.bilm.runtime.kernel.task import Job, Task

_WORK = "work"
_Work = Callable[[int], None]  # of a job's address


@cache
def lanes() -> int | None:
    """Return the float32 numbers in a vector of this processor; None if it lacks a fast multiply-add."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    if (features.get("avx2") and features.get("fma")) or features.get("neon"):
        return 8
    return None


@cache
def has_bfloat16() -> bool:
    """Return whether this processor multiplies pairs of bfloat16."""
    return lanes() == 16 and bool(llvm.get_host_cpu_features().get("avx512bf16"))


class Kernel:
    """Machine code for tasks.

    Args:
        module: A module.
        run: Its function of the address of a task.
        kind: The structure of a task.
        lanes: float32 numbers in a vector.
    """

    def __init__(self, module: ir.Module, run: ir.Function, kind: type[ctypes.Structure], lanes: int) -> None:
        emit_work(module, run, kind)
        self._kind = kind
        self._engine = _compile(module, lanes)  # owns the code
        self._work: _Work = _WORK_TYPE(self._engine.get_function_address(_WORK))

    def __call__(self, tasks: Sequence[ctypes.Structure], openmp: bool = True) -> None:
        """Run tasks side by side, on as many threads as PyTorch uses.

        Args:
            tasks: What to run. Their memory must not overlap where they write.
            openmp: Whether to run on the threads of PyTorch's OpenMP where they can be called. Defaults to True.
        """
        array = (self._kind * len(tasks))(*tasks)
        job = Job(next=0, count=len(tasks), tasks=ctypes.addressof(array))
        threads = min(torch.get_num_threads(), len(tasks))
        if threads == 1:
            self._work(ctypes.addressof(job))
        else:
            run_on_threads = _openmp_threads() if openmp else None
            (run_on_threads or _own_threads)(self._work, ctypes.addressof(job), threads)


_WORK_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def kernel(config: KernelConfig) -> Kernel:
    """Return the kernel of a configuration's directions, compiled once for all ranks that need equally many vectors."""
    return _kernel(config.with_padded_ranks)


@cache
def _kernel(config: KernelConfig) -> Kernel:
    module = ir.Module()
    return Kernel(module, emit(module, config), Task, config.lanes)


def _compile(module: ir.Module, lanes: int) -> llvm.ExecutionEngine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    features = llvm.get_host_cpu_features().flatten()
    if lanes == 16:
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


def emit_work(module: ir.Module, run: ir.Function, kind: type[ctypes.Structure]) -> None:
    """Emit the entry point, a function of a `Job`'s address that runs the next task until all are taken.

    Args:
        module: Where to emit it.
        run: The function of a task.
        kind: The structure of a task.
    """
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), _WORK)
    builder = ir.IRBuilder(function.append_basic_block())
    code, job = Emitter(builder, 1), Address(function.args[0])
    count, tasks = code.integer_field(job, Job, "count"), code.address_field(job, Job, "tasks")
    take, go, done = (builder.append_basic_block() for _ in range(3))
    builder.branch(take)
    builder.position_at_end(take)
    number = Integer(builder.atomic_rmw("add", code.field(job, Job, "next"), code.number(1), "monotonic"))
    builder.cbranch(code.compare(number, "<", count), go, done)
    builder.position_at_end(go)
    code.call(run, [code.structure(tasks, number, kind)])
    builder.branch(take)
    builder.position_at_end(done)
    builder.ret_void()


_RunOnThreads = Callable[[_Work, int, int], None]


@cache
def _openmp_threads() -> _RunOnThreads | None:
    """Return what calls a function on several of the threads of PyTorch's OpenMP at once; None where that has no entry.

    These threads wait for their next call without sleeping, and would be in the way of others.
    """
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None

    def run(work: _Work, job: int, threads: int) -> None:
        parallel(ctypes.cast(work, ctypes.c_void_p), job, threads, 0)  # type: ignore[arg-type]

    return run


def _own_threads(work: _Work, job: int, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [job] * threads))
