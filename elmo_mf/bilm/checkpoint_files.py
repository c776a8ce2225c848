"""Find the files of a checkpoint: given one by one, or as a folder or zip as NLPL and simple_elmo publish them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from elmo_mf.addresses import local_path
from elmo_mf.errors import InputError, instead_of, missing
from elmo_mf.io import content_kind
from elmo_mf.io.zip_archive import extract, is_zip, names

OPTIONS = "options.json"
WEIGHTS = ("model.hdf5", "weights.hdf5")
"""Usual names of weights: those of NLPL, and of this project."""
VOCABULARY, SOFTMAX = "vocabulary.txt", "softmax.hdf5"
VOCABULARIES = ("vocab.txt.gz", "vocab.txt", VOCABULARY)
"""Names of vocabularies: those that simple_elmo looks for, and that of this project."""
_OTHERS = (SOFTMAX, "elmo_token_embeddings.hdf5")  # HDF5, but no weights of an encoder
_BESIDE = (SOFTMAX, "MODEL_CARD.md")  # what is looked for beside weights
_MOST_FILES = 10_000


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of a checkpoint.

    Attributes:
        options: `options.json`.
        weights: The HDF5 file of the weights.
        vocabulary: The vocabulary in the same folder, if there is one.
    """

    options: Path
    weights: Path
    vocabulary: Path | None = None

    @property
    def inputs(self) -> tuple[Path | None, ...]:
        """All files, for checks that no output replaces them."""
        return self.options, self.weights, self.vocabulary


@contextmanager
def checkpoint_files(
    options: str | Path, weights: str | Path | None = None, vocabulary: str | Path | None = None
) -> Iterator[CheckpointFiles]:
    """Find the files of a checkpoint; what a zip contains is extracted and deleted when the context ends.

    In a folder or zip the options are `options.json`, or the only file whose name ends so. The weights are
    `model.hdf5` or `weights.hdf5`, or the only HDF5 file; the vocabulary is `vocab.txt.gz`, `vocab.txt` or
    `vocabulary.txt`. The files of a zip may lie in one folder of it.

    Args:
        options: `options.json`; or, without `weights`, a folder, a zip, or a repository of the Hugging Face Hub as
            `hf://USER/NAME`. A path or a URL (`https`, `s3`, `gs`, `hf`).
        weights: The HDF5 file, likewise.
        vocabulary: The vocabulary, likewise. Defaults to the one in the folder of the weights or of the options.

    Yields:
        The files, which exist until the context ends.

    Raises:
        InputError: A URL cannot be read; a file is missing or may be one of several; or the zip is damaged, or has
            more bytes than it can have.
    """
    first = Path(local_path(options))
    given = None if vocabulary is None else Path(local_path(vocabulary))
    if weights is not None:
        if first.is_dir() or is_zip(first):
            kind = "a folder" if first.is_dir() else "a zip"
            raise InputError(options, f"found {kind} and the weights {weights}, expected options.json with weights")
        second = Path(local_path(weights))
        if (content_kind(first), content_kind(second)) == ("HDF5", "JSON"):
            mixed = f"found HDF5, and JSON in {weights}"
            raise InputError(options, f"{mixed}, expected options.json, then weights; they seem to be swapped")
        yield CheckpointFiles(first, second, given or vocabulary_beside(second) or vocabulary_beside(first))
    elif first.is_dir():
        files = files_in_folder(first)
        yield files if given is None else replace(files, vocabulary=given)
    elif is_zip(first):
        with tempfile.TemporaryDirectory(prefix="elmo-mf-") as temporary:
            folder = Path(temporary) / (Path(options).stem.strip(".") or "elmo")  # reports name an encoder by it
            folder.mkdir()
            try:
                _extract(options, first, folder)
                files = files_in_folder(folder)
                yield files if given is None else replace(files, vocabulary=given)
            except InputError as error:  # names the zip, not a folder that is gone
                raise error.renamed(folder, options) from None
    else:
        raise _not_alone(options, first)


def files_in_folder(folder: Path) -> CheckpointFiles:
    """Find the files of a checkpoint in a folder, as `checkpoint_files` does.

    Returns:
        The files, with the vocabulary if there is one of a usual name.

    Raises:
        InputError: See `checkpoint_files`.
    """
    files = (file.name for file in islice(folder.iterdir(), _MOST_FILES) if file.is_file())
    chosen = _chosen(folder, sorted(files))
    vocabulary = None if chosen.vocabulary is None else folder / chosen.vocabulary
    return CheckpointFiles(folder / chosen.options, folder / chosen.weights, vocabulary)


def _not_alone(options: str | Path, first: Path) -> InputError:
    expected = "options.json with weights, or a folder or zip with both"
    if not first.exists():
        return missing(first, "file or folder", expected)
    return InputError(options, f"found a file without weights, expected {expected}")


def vocabulary_beside(path: Path) -> Path | None:
    """Return the vocabulary in the folder of a file, if there is one of a usual name."""
    return next((path.parent / name for name in VOCABULARIES if (path.parent / name).is_file()), None)


@dataclass(frozen=True)
class _Chosen:
    options: str
    weights: str
    vocabulary: str | None


def _chosen(where: str | Path, files: list[str]) -> _Chosen:
    """Choose the files of a checkpoint among all names of a folder; hidden ones are those of an operating system."""
    files = [name for name in files if not name.startswith(".")]
    options = [OPTIONS] if OPTIONS in files else [name for name in files if name.endswith(OPTIONS)]
    weights = [name for name in files if name.endswith((".hdf5", ".h5")) and name not in _OTHERS]
    weights = [name for name in weights if name in WEIGHTS] or weights
    vocabulary = next((name for name in VOCABULARIES if name in files), None)
    return _Chosen(
        _only(where, "options", options, f"{OPTIONS}, or one file whose name ends in it"),
        _only(where, "weights", weights, f"one HDF5 file, or one that is called {' or '.join(WEIGHTS)}"),
        vocabulary,
    )


def _only(where: str | Path, kind: str, names: list[str], expected: str) -> str:
    if len(names) == 1:
        return names[0]
    listed = " and ".join([*names[:4], *(["more"] if len(names) > 4 else [])])
    raise InputError(where, kind, instead_of(expected, listed or None))


def _extract(where: str | Path, archive: Path, folder: Path) -> None:
    """Extract what belongs to a checkpoint, and only that, into a folder."""
    members = _members(where, names(archive))
    chosen = _chosen(where, sorted(members))
    for name in (chosen.options, chosen.weights, *VOCABULARIES, *_BESIDE):
        if name in members:
            extract(archive, members[name], folder / name)


def _members(where: str | Path, members: list[str]) -> dict[str, str]:
    """Return the members of one folder, the one in which the options are, by their names in it."""
    paths = [PurePosixPath(member) for member in members]
    folders = {path.parent for path in paths if path.name.endswith(OPTIONS) and not path.name.startswith(".")}
    if len(folders) > 1:
        listed = ", ".join(sorted(map(str, folders))[:5])
        raise InputError(where, f"found options in several folders of the zip ({listed}), expected one")
    return {path.name: member for path, member in zip(paths, members, strict=True) if path.parent in folders}
