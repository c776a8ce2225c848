"""Provenance of a result: versions, machine, number of threads, and hashes of files."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from elmo_mf.io import open_regular
from elmo_mf.records.record import Machine, Provenance

if TYPE_CHECKING:
    import torch

PACKAGES = (
    "elmo-mf",
    "torch",
    "allennlp",
    "allennlp-models",
    "numpy",
    "h5py",
    "scipy",
    "scikit-learn",
    "spacy",
    "pandas",
    "llvmlite",
)
SWITCHES = ("ELMO_MF_NATIVE", "ELMO_MF_CUDA_GRAPHS")
"""Environment variables that change how the encoder runs."""


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            error.filename = str(path)  # set by open() but not by read()
            raise


def regular_hash(path: str | Path, kind: str, expected: str) -> str:
    """Return the SHA-256 of an untrusted file.

    Args:
        path: The file.
        kind: Kind of file for the message.
        expected: Expected content for the message.

    Raises:
        InputError: As in `open_regular`.
    """
    with open_regular(path, kind, expected) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(device: torch.device | None = None) -> Provenance:
    """Return the versions of the packages that compute, and the machine, with its GPU if `device` is one."""
    import torch

    versions = {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}
    name = gpu_name(device)
    switches = {switch: os.environ[switch] for switch in SWITCHES if switch in os.environ}
    machine = Machine(
        cpu=_cpu_name(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        system=f"{platform.system()} {platform.machine()}",
        gpu=name,
        environment=switches or None,
    )
    return Provenance(versions=versions if name is None else versions | {"cuda": torch.version.cuda}, machine=machine)


def gpu_name(device: torch.device | None) -> str | None:
    """Return the name of a GPU, or None for a CPU."""
    import torch

    if device is None or device.type == "cpu":
        return None
    name: str = torch.get_device_module(device).get_device_name(device)
    return name


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the name of the processor; on ARM, whose Linux knows none, the numbers of who made it and of the model."""
    try:
        lines = [line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines()]
    except OSError:
        lines = []
    known = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    if "CPU part" in known:
        return f"ARM {known.get('CPU implementer', '?')}:{known['CPU part']}"
    return known.get("model name") or platform.processor() or "unknown"
