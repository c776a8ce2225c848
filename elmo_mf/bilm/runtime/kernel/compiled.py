"""Compiles code for this processor, and runs tasks on PyTorch's threads."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import llvmlite.binding as llvm
import torch
from llvmlite import ir

from elmo_mf.bilm.runtime.kernel._code_cache import cached_code
from elmo_mf.bilm.runtime.kernel._emit_recurrence import emit
from elmo_mf.bilm.runtime.kernel._emitter import POINTER, Address, Emitter, Integer
from elmo_mf.bilm.runtime.kernel._processor import feature_string, features
from elmo_mf.bilm.runtime.kernel.kernel_config import KernelConfig
from elmo_mf.bilm.runtime.kernel.task import Job, Task

_WORK = "work"
_Work = Callable[[int], None]  # of a job's address


@cache
def lanes() -> int | None:
    """Return the float32 numbers in a vector of this processor; None if it lacks a fast multiply-add."""
    if "avx512f" in features():
        return 16
    return 8 if {"avx2", "fma"} <= features() or "neon" in features() else None


@cache
def has_bfloat16() -> bool:
    """Return whether this processor multiplies pairs of bfloat16, in vectors of its own size."""
    return {16: "avx512bf16", 8: "bf16"}.get(lanes() or 0) in features()


class Kernel:
    """Machine code for tasks.

    Args:
        emit: Emits a function of the address of a task.
        config: What the emitted code depends on; equal text means equal code.
        kind: The structure of a task.
        lanes: float32 numbers in a vector.
    """

    def __init__(
        self, emit: Callable[[ir.Module], ir.Function], config: str, kind: type[ctypes.Structure], lanes: int
    ) -> None:
        def compile_code() -> bytes:
            module = ir.Module()
            emit_work(module, emit(module), kind)
            return target.compile(module)

        target = _Target(lanes)
        self._kind = kind
        self._engine = target.load(cached_code(f"{kind.__name__} {config}", str(target), compile_code))  # owns the code
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
    return Kernel(lambda module: emit(module, config), repr(config), Task, config.lanes)


class _Target:
    """This processor, for code with vectors of a size.

    Args:
        lanes: float32 numbers in a vector.
    """

    def __init__(self, lanes: int) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._cpu, self._features = llvm.get_host_cpu_name(), feature_string()
        if lanes == 16:
            self._features += ",-prefer-256-bit"
        self._machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=self._cpu, features=self._features, opt=3
        )

    def __str__(self) -> str:
        return f"{self._machine.triple} {self._cpu} {self._features}"

    def compile(self, module: ir.Module) -> bytes:
        """Return a module's code, as an object file."""
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
        passes = llvm.create_pass_builder(self._machine, options)
        passes.getModulePassManager().run(parsed, passes)
        return bytes(self._machine.emit_object(parsed))

    def load(self, code: bytes) -> llvm.ExecutionEngine:
        """Return what owns the functions of an object file."""
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
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
