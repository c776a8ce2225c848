"""A device called `gpu` whose tensors lie in the processor's memory, so that what runs on a GPU runs on any machine.

It is as strict as CUDA in this: an operation whose tensors are on two devices fails, nothing but a copy reads what is
there, a graph repeats its operations on the memory that they had without asking Python, and an LSTM has gradients
in training only. It counts what would be launched. PyTorch can have one such device in a process and keeps it, hence a
process of its own.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

aten = torch.ops.aten
GPU = "gpu:0"
_CPU = torch.device("cpu")
_AUTOCAST = torch._C._dispatch_key_parse("AutocastPrivateUse1")
_CROSSES = {aten.copy_.default, aten._to_copy.default}
_INDICES_ANYWHERE = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._pack_padded_sequence.default,
}
# what PyTorch's autocast does in lower precision on CUDA, and of what it does in float32 that which is used here
_LOWER = ("mm", "bmm", "addmm", "baddbmm", "linear", "matmul", "conv1d", "_convolution")
_FLOAT32 = ("exp", "log", "log_softmax.int", "nll_loss", "logsumexp", "norm.Scalar", "cumsum")

_libraries: list[torch.library.Library] = []  # what they register goes when they do


class OnGpu(Tensor):
    """A tensor of the emulated device; `held` is what it has, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        with torch.inference_mode(False):
            made: OnGpu = torch.Tensor._make_wrapper_subclass(
                cls,
                held.shape,
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=torch.device(GPU),
            )
        made.held = held
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"on the GPU: {self.held!r}"

    def __deepcopy__(self, memo: dict[int, object]) -> Tensor:
        made: Tensor = OnGpu(self.held.detach().clone())
        if isinstance(self, torch.nn.Parameter):
            made = torch.nn.Parameter(made, self.requires_grad)
        memo[id(self)] = made
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise RuntimeError(f"{func} outside of the emulated device")


class EmulatedGpu(TorchDispatchMode):
    """Where it is entered, `gpu:0` can be used.

    `launches` counts kernels and graphs, `waits` how often Python waits for them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.waits = 0
        self._captured: list[tuple[Callable[[], Any], Any]] | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _is_composite(func):
            with self:
                found = func.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        tensors = [leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        reads = any(isinstance(tensor, OnGpu) for tensor in tensors)
        device = kwargs.get("device")
        makes = reads if device is None else torch.device(device).type == "gpu"
        if not reads and not makes:
            return func(*args, **kwargs)
        self._check(func, tensors, makes)
        on_cpu = kwargs | ({"device": _CPU} if device is not None else {})
        run = partial(_KERNELS.get(func, func), *_mapped(_held, args), **_mapped(_held, on_cpu))
        found = run()
        self._count(func, makes, run, found)
        if not makes:
            return found
        if func is aten._pack_padded_sequence.default:
            return _outer(found[0]), found[1]  # batch sizes stay where Python reads them
        return return_and_correct_aliasing(func, args, kwargs, _mapped(_outer, found))

    def _check(self, func: Any, tensors: Sequence[Tensor], makes: bool) -> None:
        elsewhere = [tensor for tensor in tensors if tensor.dim() and not isinstance(tensor, OnGpu)]
        here = [tensor for tensor in tensors if isinstance(tensor, OnGpu)]
        if here and elsewhere and func not in _CROSSES | _INDICES_ANYWHERE:
            raise RuntimeError(f"{func}: tensors on two devices")
        if self._captured is not None and (elsewhere or not makes or func is aten._local_scalar_dense.default):
            raise RuntimeError(f"{func}: Python would have to wait, and cannot while a graph is captured")

    def _count(self, func: Any, makes: bool, run: Callable[[], Any], found: Any) -> None:
        if self._captured is not None:
            self._captured.append((run, found if _makes_memory(func) else None))
        elif not makes or func is aten._local_scalar_dense.default:
            self.waits += 1
        elif _makes_memory(func) or func._schema.is_mutable:
            self.launches += 1

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        """As `elmo_mf.bilm.runtime_settings.capture_cuda_graph`."""
        self._captured = []
        run()
        captured, self._captured = self._captured, None

        def replay() -> None:
            self.launches += 1
            for again, made in captured:
                found = again()
                if made is not None:
                    for old, new in zip(_leaves(made), _leaves(found), strict=True):
                        old.copy_(new)

        return replay


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what tuples, lists and dictionaries contain, in a third of the time that PyTorch's pytree takes."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        yield value
        return
    for inner in value:
        yield from _leaves(inner)


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to what tuples, lists and dictionaries contain."""
    if isinstance(value, (tuple, list)):
        return type(value)([_mapped(change, inner) for inner in value])
    if isinstance(value, dict):
        return {key: _mapped(change, inner) for key, inner in value.items()}
    return change(value)


@cache
def _is_composite(func: Any) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))


@cache
def _makes_memory(func: Any) -> bool:
    """Neither a view nor a change of what is there."""
    return not any(argument.alias_info for argument in func._schema.arguments)


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def get_device_name(self, device: object = None) -> str:
        return "an emulated GPU"

    def synchronize(self, device: object = None) -> None: ...


def register() -> EmulatedGpu:
    """The device, for the rest of this process; its operations work where what this returns is entered."""
    backend_registration._setup_privateuseone_for_python_backend("gpu", backend_module=_Module())
    torch.lstm = torch._VF.lstm = _with_gradients_in_training_only(torch.lstm)
    torch.accelerator.synchronize = lambda device=None: None
    torch._C._set_only_lift_cpu_tensors(True)
    torch.__future__.set_swap_module_params_on_conversion(True)  # tied parameters stay tied
    everything = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
    everything.fallback(torch.library.fallthrough_kernel)
    casts = torch.library.Library("aten", "IMPL", "AutocastPrivateUse1")
    for name in _LOWER:
        casts.impl(name, _cast(name, torch.get_autocast_dtype))
    for name in _FLOAT32:
        casts.impl(name, _cast(name, lambda _: torch.float32))
    _libraries.extend([everything, casts])
    return EmulatedGpu()


def _with_gradients_in_training_only(lstm: Callable[..., Any]) -> Callable[..., Any]:
    """cuDNN's otherwise fails in the backward pass; here at once."""

    def run(*arguments: Any) -> Any:
        found = lstm(*arguments)
        packed = isinstance(arguments[1], Tensor)  # then it has the batch sizes, before all else but the data
        training = arguments[7 if packed else 6]
        if isinstance(found[0], OnGpu) and found[0].requires_grad and not training and torch.backends.cudnn.enabled:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        return found

    return run


def _cast(name: str, dtype: Callable[[str], torch.dtype]) -> Callable[..., Any]:
    packet, _, overload = name.partition(".")
    operation = getattr(getattr(aten, packet), overload or "default")

    def run(*args: Any, **kwargs: Any) -> Any:
        wanted = dtype("gpu")
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(_AUTOCAST)):
            cast = _mapped(lambda leaf: leaf.to(wanted) if _floats(leaf) else leaf, (args, kwargs))
            return operation(*cast[0], **cast[1])

    return run


def _floats(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.dtype in (torch.float32, torch.float16, torch.bfloat16)


def _held(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, OnGpu) else leaf


def _outer(leaf: Any) -> Any:
    return OnGpu(leaf) if isinstance(leaf, Tensor) else leaf


def _lstm_cell(
    input_gates: Tensor, hidden_gates: Tensor, c: Tensor, b_x: Tensor | None = None, b_h: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """What only GPUs have, in the formulas of `torch.nn.LSTM`; the gates are kept for the gradients."""
    gates = input_gates + hidden_gates + (0 if b_x is None else b_x) + (0 if b_h is None else b_h)
    i, f, g, o = gates.chunk(4, dim=1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    c = f * c + i * g
    return o * c.tanh(), c, torch.cat([i, f, g, o], dim=1)


def _lstm_cell_backward(
    grad_h: Tensor | None, grad_c: Tensor | None, c_before: Tensor, c: Tensor, gates: Tensor, has_bias: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    i, f, g, o = gates.chunk(4, dim=1)
    grad_h = torch.zeros_like(c) if grad_h is None else grad_h
    inner = grad_h * o * (1 - c.tanh().square()) + (0 if grad_c is None else grad_c)
    parts = (
        inner * g * i * (1 - i),
        inner * c_before * f * (1 - f),
        inner * i * (1 - g * g),
        grad_h * c.tanh() * o * (1 - o),
    )
    grad = torch.cat(parts, dim=1)
    return grad, inner * f, grad.sum(dim=0) if has_bias else None


_KERNELS = {
    aten._thnn_fused_lstm_cell.default: _lstm_cell,
    aten._thnn_fused_lstm_cell_backward_impl.default: _lstm_cell_backward,
}
