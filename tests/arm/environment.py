"""Builds a folder with Python and what the encoder needs, built for ARM, and runs Python there on emulated processors.

`python -m tests.arm.environment FOLDER` builds it, on Debian 12, from its packages and from PyPI.
Needs QEMU's emulator of programs (Debian: `qemu-user`), `apt-get` and `dpkg-deb`. Nothing is installed on this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROCESSORS = {
    "cortex-a57": (0xD07, "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"),
    "neoverse-n1": (
        0xD0C,
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs",
    ),
    "max": (
        0xD49,  # Neoverse N2
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 "
        "sm3 sm4 asimddp sha512 sve asimdfhm uscat ilrcpc flagm ssbs dcpodp sve2 sveaes svebitperm svesha3 svesm4 "
        "flagm2 frint svei8mm svebf16 i8mm bf16 rng",
    ),
}
"""Emulated processors: with NEON alone, with dot products, and with all that QEMU knows, such as bfloat16 and SVE.

Each has what Linux shows of it in /proc/cpuinfo, where LLVM looks: the number of the part, and the features.
"""

_PYTHON = "3.11"  # that of Debian 12
# PyPI has the release of requirements.torch for ARM with CUDA only; builds from 2.10 on need more than Cortex-A57 has
_TORCH = ("torch==2.9.1", "sympy", "mpmath", "networkx")
_LOCKED = (
    *("numpy", "h5py", "llvmlite", "pydantic", "pydantic-core", "annotated-types", "typing-inspection"),
    *("typing-extensions", "tqdm", "lazy-loader", "filelock", "jinja2", "markupsafe", "fsspec", "packaging"),
    *("pytest", "iniconfig", "pluggy", "pygments", "hypothesis", "sortedcontainers"),
)


def emulator() -> str | None:
    """The program of QEMU that runs ARM's programs; None if it is not installed."""
    return shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


def build(folder: Path) -> None:
    """Build the folder, unless it is complete."""
    ready = folder / "ready"
    if ready.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    _unpack_debian(folder / "apt", folder / "root")
    _install_packages(folder / "packages")
    for name, (part, features) in PROCESSORS.items():
        seen = folder / name
        (seen / "proc").mkdir(parents=True)
        for part_of_root in ("lib", "usr"):
            (seen / part_of_root).symlink_to(Path("..", "root", part_of_root))
        lines = ("processor: 0", f"Features: {features}", "CPU implementer: 0x41", f"CPU part: {part:#x}")
        text = "".join(line.replace(":", "\t:") + "\n" for line in lines)
        (seen / "proc" / "cpuinfo").write_text(text, encoding="utf-8")
    ready.touch()


def _unpack_debian(apt: Path, root: Path) -> None:
    """Download Python and its libraries from the sources of this machine, in folders of their own, and unpack them."""
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "status").touch()
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",
        "Dir::State": apt,
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
    }
    command = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    subprocess.run([*command, "update"], check=True)
    packages = [f"python{_PYTHON}", "libstdc++6"]
    subprocess.run([*command, "--download-only", "--yes", "install", *packages], check=True)
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    shutil.rmtree(apt)


def _install_packages(target: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    pip += ["--no-deps", "--target", str(target), "--only-binary", ":all:", "--implementation", "cp"]
    pip += ["--python-version", _PYTHON]
    for platform in ("manylinux2014", "manylinux_2_27", "manylinux_2_28"):
        pip += ["--platform", f"{platform}_aarch64"]
    target.mkdir()
    locked = target / "requirements.txt"
    locked.write_text(_locked(), encoding="utf-8")
    subprocess.run([*pip, "--require-hashes", "--requirement", locked], check=True)
    subprocess.run([*pip, *_TORCH], check=True)


def _locked() -> str:
    """The lines of both locks that are about the packages."""
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("requirements.lock", "requirements-dev.lock"))
    entries = {re.match(r"[\w.-]+", entry)[0]: entry for entry in re.split(r"\n(?=\w)", text)}  # type: ignore[index]
    return "\n".join(entries[name] for name in _LOCKED)


def run(folder: Path, processor: str, arguments: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run Python with arguments, in the checkout.

    Args:
        folder: What `build` has built.
        processor: One of `PROCESSORS`.
        arguments: Python's.
    """
    program = emulator()
    assert program is not None
    python = folder / "root" / "usr" / "bin" / f"python{_PYTHON}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": f"{ROOT}:{folder / 'packages'}",
        "ELMO_MF_CACHE": str(folder / "cache" / processor),
        "OMP_NUM_THREADS": "1",
    }
    command = [program, "-cpu", processor, "-L", folder / processor, python, "-s", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


if __name__ == "__main__":
    if emulator() is None:
        sys.exit("qemu-aarch64: not installed; expected Debian's package qemu-user")
    build(Path(sys.argv[1]).resolve())
