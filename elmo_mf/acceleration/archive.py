"""Model archives of AllenNLP: `model.tar.gz`, or the folder of a training."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from elmo_mf.errors import InputError, instead_of, one_line
from elmo_mf.io import atomic_path, open_regular, output_errors, read_json

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS, META, VOCABULARY = "config.json", "weights.th", "meta.json", "vocabulary"
_BEST = "best.th"  # the weights in the folder of a training
_PACKED = "model.tar.gz"  # the archive that AllenNLP writes at the end of one
_EXPECTED = "a model archive of AllenNLP"
_MOST_CONFIG = 10_000_000  # bytes
_MOST_MEMBERS = 10_000
_MOST_GROWTH = 200  # ratio of the files' bytes to the archive's; trained weights hardly shrink
_LEAST_BOUND = 100_000_000  # bytes that any archive may expand to
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, OSError, ValueError)
_UNKNOWN = "file could not be opened successfully"  # and, in tarfile, why each compression does not fit


@dataclass(frozen=True)
class ModelArchive:
    """An archive that was opened.

    Attributes:
        source: The archive or the folder, for errors.
        folder: Folder of its files.
        config: The training's config.
        weights: The file of the model's parameters.
    """

    source: Path
    folder: Path
    config: dict[str, Any]
    weights: Path

    def state_dict(self) -> dict[str, Tensor]:
        """Read the model's parameters, as numbers alone: pickled code is rejected.

        Raises:
            InputError: The file is damaged, or holds something else.
        """
        from torch import Tensor

        from elmo_mf.storage.state_dict import read_state_dict

        state = read_state_dict(self.weights, f"{self.source}: {self.weights.name}")
        for name, value in state.items():
            if not isinstance(name, str) or not isinstance(value, Tensor):
                found = f"{type(value).__name__} under {name!r:.60}"
                raise InputError(self.source, self.weights.name, f"found {found}, expected named parameters")
        return state


def files_of_archive(source: Path) -> list[Path]:
    """List the files of an archive, which no result may replace; of a training, with the archive next to its weights.

    Args:
        source: `model.tar.gz`, or the folder of a training. It need not exist.
    """
    if not source.is_dir():
        return [source]
    names = (CONFIG, WEIGHTS, _BEST, META, _PACKED)
    return [*(source / name for name in names), *(source / VOCABULARY).glob("*")]


@contextmanager
def open_archive(source: Path) -> Iterator[ModelArchive]:
    """Open an archive, which is extracted into a temporary folder, or the folder of a training.

    Args:
        source: `model.tar.gz`, or the folder of a training.

    Yields:
        The archive, whose files exist until the context ends.

    Raises:
        InputError: It is missing, damaged or not an archive of AllenNLP; it has members other than files and folders,
            members outside its folder, or members of more bytes than an archive of its size can have; or another major
            version of AllenNLP wrote it.
    """
    if source.is_dir():
        yield _opened(source, source)
        return
    with tempfile.TemporaryDirectory(prefix="elmo-mf-") as folder:
        _extract(source, Path(folder))
        yield _opened(source, Path(folder))


def _opened(source: Path, folder: Path) -> ModelArchive:
    config_file, weights = _files(source, folder)
    try:
        config = read_json(config_file, "config", _EXPECTED, most=_MOST_CONFIG)
    except InputError as error:
        raise error.renamed(folder, source) from None
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise InputError(source, CONFIG, "model", "found no JSON object, expected the config of a model")
    _check_version(source, folder / META)
    return ModelArchive(source, folder, config, weights)


def _files(source: Path, folder: Path) -> tuple[Path, Path]:
    """Return the config and the weights in the folder of an archive, which also needs a vocabulary."""
    config_file = folder / CONFIG
    weights = folder / (WEIGHTS if (folder / WEIGHTS).exists() else _BEST)
    for path in (config_file, weights, folder / VOCABULARY):
        if not path.exists():
            raise InputError(source, f"found no {path.name}, expected {_EXPECTED}")
    return config_file, weights


def _check_version(source: Path, path: Path) -> None:
    """Check the version of AllenNLP that wrote an archive; archives before 2.1 do not say."""
    if not path.exists():
        return
    from allennlp.version import VERSION

    try:
        version = read_json(path, "metadata", _EXPECTED, most=_MOST_CONFIG).get("version")
    except (InputError, AttributeError):
        version = None
    major = str(version).partition(".")[0]
    if not isinstance(version, str) or not major.isdecimal() or int(major) > int(VERSION.partition(".")[0]):
        found = f"{version!r:.40}" if version is not None else None
        raise InputError(source, META, "version", instead_of(f"a version of AllenNLP up to {VERSION}", found))


def check_archive(source: Path) -> None:
    """Check that an archive has a config and weights, which AllenNLP writes first; `open_archive` checks the rest.

    Args:
        source: `model.tar.gz`, or the folder of a training.

    Raises:
        InputError: The file cannot be read, is not an archive, or lacks a config or weights; or the folder does.
    """
    if source.is_dir():
        _files(source, source)
        return
    left = [CONFIG, WEIGHTS]
    with _tar(source) as archive:
        for member in _members(source, archive, Path(tempfile.gettempdir())):
            name = str(PurePosixPath(member.name))
            left = [other for other in left if other != (WEIGHTS if name == _BEST else name)]
            if not left:
                return
    raise InputError(source, f"found no {' and no '.join(left)}, expected {_EXPECTED}")


def _extract(source: Path, folder: Path) -> None:
    """Extract an untrusted archive."""
    with _tar(source) as archive:
        for member in _members(source, archive, folder):
            _extract_member(archive, member, folder)


def _members(source: Path, archive: tarfile.TarFile, folder: Path) -> Iterator[tarfile.TarInfo]:
    """List the members of an untrusted archive, each checked before it is extracted to a folder."""
    most = max(_LEAST_BOUND, source.stat().st_size * _MOST_GROWTH)
    for number, member in enumerate(archive):
        most -= member.size
        _check_member(source, member, number, most, folder)
        yield member


@contextmanager
def _tar(source: Path) -> Iterator[tarfile.TarFile]:
    with open_regular(source, "model archive", _EXPECTED) as raw:
        try:
            with tarfile.open(fileobj=raw, mode="r:*") as archive:
                yield archive
        except InputError:
            raise
        except _DAMAGE as error:
            reason = "no tar file" if str(error).startswith(_UNKNOWN) else one_line(error)
            raise InputError(source, f"found a damaged archive ({reason}), expected {_EXPECTED}") from None


def _check_member(source: Path, member: tarfile.TarInfo, number: int, left: int, folder: Path) -> None:
    path = PurePosixPath(member.name)
    found = None
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        found = "a place outside the archive's folder"
    elif not (member.isreg() or member.isdir()):
        found = "a link or a special file"
    elif left < 0 or number >= _MOST_MEMBERS:
        found = "more than an archive of this size can hold"
    elif member.size > shutil.disk_usage(folder).free:
        raise InputError(
            source, f"{member.name:.80}", f"found {member.size:,} bytes, more than the free space in {folder}"
        )
    if found:
        raise InputError(source, f"{member.name:.80}", f"found {found}, expected {_EXPECTED}")


def _extract_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    target = folder / member.name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    content = archive.extractfile(member)
    assert content is not None  # it is a regular file
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


def write_archive(path: Path, archive: ModelArchive, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write an archive with another config and other parameters atomically; equal contents give equal bytes.

    Args:
        path: The `model.tar.gz`.
        archive: The archive whose other files are kept.
        config: The new config.
        state: The new parameters.

    Raises:
        OutputError: The file cannot be written.
    """
    with output_errors(path), atomic_path(path) as temporary:
        folder = temporary.parent / "members"
        folder.mkdir()
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        import torch

        torch.save(dict(state), folder / WEIGHTS)
        files = {CONFIG: folder / CONFIG, WEIGHTS: folder / WEIGHTS, **_others(archive)}
        with (
            open(temporary, "wb") as raw,
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as tar,
        ):
            for name, file in files.items():
                tar.add(file, name, recursive=False, filter=_anonymous)


def _others(archive: ModelArchive) -> dict[str, Path]:
    """Return the files other than config and weights: those of an archive, or those that belong in one."""
    if archive.folder != archive.source:
        kept = [path for path in archive.folder.rglob("*") if path.is_file()]
    else:
        kept = [*(archive.folder / VOCABULARY).iterdir(), *archive.folder.glob(META)]
    names = {str(path.relative_to(archive.folder)): path for path in sorted(kept)}
    return {name: path for name, path in names.items() if name not in (CONFIG, archive.weights.name)}


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out what differs between machines and users."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime, member.mode = 0, 0o644
    return member
