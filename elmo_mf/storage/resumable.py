"""Checkpoints of long runs: written atomically, and checked before a run with the same identity resumes from them."""

from __future__ import annotations

import contextlib
import math
import os
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from elmo_mf.errors import InputError, one_line
from elmo_mf.io import OutputError, atomic_path, checked_file, open_regular, read_json, remove_folder, write_json

if TYPE_CHECKING:
    import torch

_EXPECTED = "one of this run; remove it to start again"
_MOST_PICKLE = 1 << 24  # bytes of the part that describes the tensors
_MOST_SIDECAR = 1 << 20  # bytes
_KNOWN = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Byte", "Bool")
}
_FREE = frozenset({"lr", "last_epoch", "_step_count", "_last_lr", "step", "scale", "_growth_tracker"})
"""Entries of optimizers' and schedulers' states that change while they run."""


def mark_folder(folder: Path, identity: dict[str, Any]) -> None:
    """Mark an empty folder as this run's, or check that a folder is marked so.

    Args:
        folder: An existing folder.
        identity: What identifies the run, as JSON.

    Raises:
        InputError: The folder belongs to another run or contains unrelated files.
    """
    marker = folder / "run.json"
    if all(path.name.endswith(".tmp") for path in folder.iterdir()):  # left behind by killed writers
        write_json(marker, identity)
    if not is_marked(folder, identity):
        raise InputError(folder, "found files of another run, expected none; remove the folder or choose another name")


@contextlib.contextmanager
def begun(folder: Path, identity: dict[str, Any]) -> Iterator[bool]:
    """Mark a folder as `mark_folder` does, and remove it if the context ends with a mistake of the user's.

    A folder that a former process has marked stays: it may hold hours of work. So it does if a file cannot be written.

    Args:
        folder: An existing folder.
        identity: What identifies the run, as JSON.

    Yields:
        Whether the run is resumed.

    Raises:
        InputError: See `mark_folder`.
    """
    resumed = any(folder.iterdir())
    mark_folder(folder, identity)
    try:
        yield resumed
    except OutputError:
        raise
    except InputError:
        if not resumed:
            remove_folder(folder)
        raise


def is_marked(folder: Path, identity: dict[str, Any]) -> bool:
    """Return whether `mark_folder` has marked a folder as this run's.

    Args:
        folder: The folder.
        identity: What identifies the run, as JSON.
    """
    return bool(read_sidecar(folder / "run.json") == identity)


def read_sidecar(path: Path) -> Any:
    """Read a small JSON file that describes the files of a run; None if it is missing or damaged."""
    try:
        return read_json(path, "file", "JSON", most=_MOST_SIDECAR)
    except InputError:
        return None


def save_state(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: The file.
        identity: The run that it belongs to.
        state: Tensors, numbers and strings, in lists and dictionaries.

    Raises:
        OutputError: The file cannot be written, for example because the disk is full.
    """
    import torch

    with atomic_path(path) as temporary, checked_file(temporary) as file:
        torch.save({"identity": identity, **state}, file)


def load_state(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Read a checkpoint of `save_state`, with tensors on the CPU; None if there is no file.

    Args:
        path: The file.
        identity: The run that it has to belong to.

    Raises:
        InputError: The file is damaged, or belongs to a run with another identity.
    """
    import torch

    if not os.path.lexists(path):
        return None
    try:
        with open_regular(path, "checkpoint", _EXPECTED) as file:
            _check_archive(file)
            file.seek(0)
            state: dict[str, Any] = torch.load(file, "cpu", weights_only=True)
        stored = dict(state["identity"])
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            path, f"found an unreadable checkpoint ({one_line(error, 80)}), expected {_EXPECTED}"
        ) from None
    if stored != identity:
        differing = _difference(stored, identity)
        raise InputError(path, f"found a run with other {differing}; expected the same, or an empty output folder")
    return state


@contextlib.contextmanager
def checkpoint_errors(path: Path) -> Iterator[None]:
    """Convert any exception raised while a checkpoint is checked and loaded.

    Raises:
        InputError: Names the file; in place of the exception.
    """
    try:
        yield
    except Exception as error:
        raise InputError(
            path, f"found a checkpoint with other content ({one_line(error, 200)}), expected {_EXPECTED}"
        ) from None


def check_like(stored: Any, wanted: Any, name: str, free: bool = False) -> None:
    """Check that part of a checkpoint has the keys, types, shapes and settings of the run's own state.

    Args:
        stored: Part of a checkpoint.
        wanted: The same part of the run's state.
        name: Its name, for the message.
        free: Accept any finite number in place of a number.

    Raises:
        ValueError: Names what differs.
    """
    import torch

    same = type(stored) is type(wanted)
    if isinstance(wanted, torch.Tensor):
        if not isinstance(stored, torch.Tensor) or _describe(stored) != _describe(wanted):
            raise ValueError(f"{name}: {_describe(stored)}, not {_describe(wanted)}")
    elif isinstance(wanted, dict):
        if not isinstance(stored, dict) or stored.keys() != wanted.keys():
            raise ValueError(f"{name}: other keys")
        for key, value in wanted.items():
            check_like(stored[key], value, f"{name}.{key}", free or key in _FREE)
    elif isinstance(wanted, list | tuple):
        if not same or len(stored) != len(wanted):
            raise ValueError(f"{name}: another length")
        for index, value in enumerate(wanted):
            check_like(stored[index], value, f"{name}.{index}", free)
    elif isinstance(wanted, int | float) and free:
        if isinstance(stored, bool) or not isinstance(stored, type(wanted) | int) or not math.isfinite(stored):
            raise ValueError(f"{name}: {stored!r}")
    elif not isinstance(wanted, bool) and (not same or stored != wanted):
        raise ValueError(f"{name}: {stored!r}, not {wanted!r}")
    elif not same:
        raise ValueError(f"{name}: {stored!r}")


def check_optimizer(stored: Any, optimizer: torch.optim.Optimizer, name: str = "optimizer") -> None:
    """Check the state of an Adam optimizer as `check_like` does; it is empty before the first step.

    Args:
        stored: The state from a checkpoint.
        optimizer: The optimizer that is to have it.
        name: Name of the state in errors. Defaults to `optimizer`.

    Raises:
        ValueError: Names what differs.
    """
    import torch

    wanted = optimizer.state_dict()
    if isinstance(stored, dict) and stored.get("state"):
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        wanted["state"] = {
            index: {"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter}
            for index, parameter in enumerate(parameters)
        }
    check_like(stored, wanted, name)


def _describe(value: Any) -> str:
    import torch

    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def _check_archive(file: BinaryIO) -> None:
    """Check the checksums of an archive, and that its entries need no more memory than the file has bytes.

    Raises:
        ValueError: Names the entry.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("compressed entries")
        if sum(entry.file_size for entry in entries) > os.fstat(file.fileno()).st_size:
            raise ValueError("entries that overlap")
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} is damaged")
        for entry in entries:
            if entry.filename.endswith("/data.pkl"):
                _check_pickle(archive.read(entry) if entry.file_size <= _MOST_PICKLE else b"")


def _check_pickle(content: bytes) -> None:
    for code, argument, _ in pickletools.genops(content):
        if code.name == "GLOBAL" and argument not in _KNOWN:
            raise ValueError(f"{argument} is neither a tensor, a number nor a string")


def _difference(stored: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name the first setting that differs, with both values, or else the first part of the identity that differs."""
    settings = stored.get("settings")
    for name, value in wanted["settings"].items():
        other = settings.get(name) if isinstance(settings, dict) else None
        if other != value:
            return f"settings ({name} {other}, not {value})"
    return next((name for name in wanted if stored.get(name) != wanted[name]), "settings")
