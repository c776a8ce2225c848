"""What is emitted for ARM, compiled for its processors on any machine; `make test-arm` runs it on emulated ones."""

from __future__ import annotations

import ctypes
import re
from functools import cache
from types import SimpleNamespace

import pytest

pytest.importorskip("llvmlite")
import llvmlite.binding as llvm
from llvmlite import ir

from elmo_mf.bilm.runtime.kernel import _processor
from elmo_mf.bilm.runtime.kernel._emit_recurrence import emit
from elmo_mf.bilm.runtime.kernel.emit_integer_product import emit as emit_integer_product
from elmo_mf.bilm.runtime.kernel.kernel_config import KernelConfig

SVE = "+neon,+dotprod,+bf16,+sve"


def compiled_for(cpu: str, features: str, module: ir.Module) -> str:
    """The assembly of a module."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("aarch64-unknown-linux-gnu")
    parsed = llvm.parse_assembly(str(module))
    return str(target.create_target_machine(cpu=cpu, features=features, opt=3).emit_assembly(parsed))


@cache
def recurrence(cpu: str, features: str, bf16: bool) -> str:
    module = ir.Module()
    emit(module, KernelConfig(16, 8, None, None, None, 3.0, 3.0, lanes=8, bf16=bf16))
    return compiled_for(cpu, features, module)


def integer_product(cpu: str, features: str) -> str:
    module = ir.Module()
    emit_integer_product(module, "dotprod" in features)
    return compiled_for(cpu, features, module)


def test_products_take_the_instructions_of_arm() -> None:
    assert re.search(r"\bfmla\s+v\d+\.4s", recurrence("cortex-a57", "+neon", False))
    assert re.search(r"\bbfdot\s+v\d+\.4s", recurrence("neoverse-v1", SVE, True))
    assert re.search(r"\bsdot\s+v\d+\.4s", integer_product("neoverse-n1", "+neon,+dotprod"))
    assert "sdot" not in integer_product("cortex-a57", "+neon")


@pytest.mark.parametrize("cpu", ["neoverse-v1", "neoverse-n2", "a64fx"])
def test_no_code_depends_on_the_length_of_vectors(cpu: str) -> None:
    """SVE's registers, z0 to z31, have another length on each of these processors."""
    for code in (*(recurrence(cpu, SVE, bf16) for bf16 in (False, True)), integer_product(cpu, SVE)):
        assert not re.search(r"\bz\d+\.[bhsd]", code)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({}, {"neon"}),
        ({16: 1 << 20}, {"neon", "dotprod"}),
        ({16: ~(1 << 20), 26: 1 << 14}, {"neon", "bf16"}),
        (None, {"neon"}),  # as on macOS
    ],
)
def test_linux_says_what_an_arm_processor_has(
    entries: dict[int, int] | None, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Function:
        def __call__(self, entry: int) -> int:
            assert entries is not None
            return entries.get(entry, 0)

    library = SimpleNamespace() if entries is None else SimpleNamespace(getauxval=Function())
    monkeypatch.setattr(llvm, "get_process_triple", lambda: "aarch64-unknown-linux-gnu")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert set(_processor._arm_features.__wrapped__()) == expected
