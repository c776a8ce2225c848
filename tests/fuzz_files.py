"""Targets of the fuzzer: texts, word lists, archives, caches, and what long runs and sweeps keep of themselves."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from elmo_mf.bilm import Bilm, BilmOptions
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.compression import licence_on_card
from elmo_mf.compression._model_card import CARD_FILE
from elmo_mf.embed import TextFile
from elmo_mf.embed._parts import Parts, window_digest
from elmo_mf.embed._text import Window, windows
from elmo_mf.errors import InputError
from elmo_mf.experiments import Failures, Heartbeat, Leases
from elmo_mf.experiments._cache import Cache
from elmo_mf.experiments._machine_lock import MachineLock
from elmo_mf.fetch._fetch import Lock
from elmo_mf.io.locks import holding
from elmo_mf.io.sentences import read_sentences
from elmo_mf.io.zip_archive import extract
from elmo_mf.pretrain import PretrainSettings, Trainer, read_softmax, write_softmax
from elmo_mf.pretrain.word_softmax import word_softmax
from elmo_mf.tasks._word_vector_file import check_word_vectors
from tests.conftest import random_bilm, raw_options

if TYPE_CHECKING:
    from tests.fuzz import Target

MutateBytes = Callable[[bytes, random.Random], bytes]
MutateJson = Callable[[Any, random.Random], Any]
WINDOW, PART, CACHED = Window(0, ["a b"]), b"vectors", b"0123456789" * 50
PART_NOTE = {"lines": window_digest(WINDOW), "sha256": hashlib.sha256(PART).hexdigest()}
TEXT = "The cat sat .\nOn the mat , of course .\n\nÉté 1914 .\n" * 5


def file_targets(folder: Path, mutated: MutateBytes, mutated_json: MutateJson) -> dict[str, Target]:
    """Targets by name; `folder` is for what they begin with."""
    from tests.fuzz import Target, signed_bytes

    def of_bytes(content: bytes) -> Callable[[Path, random.Random], None]:
        return lambda path, chance: (path.write_bytes(mutated(content, chance)), None)[1]

    def of_json(value: Any) -> Callable[[Path, random.Random], None]:
        def make(path: Path, chance: random.Random) -> None:
            content = json.dumps(mutated_json(value, chance)).encode()
            path.write_bytes(mutated(content, chance) if chance.random() < 0.3 else content)

        return make

    words = "".join(f"word{index} 0.1 -0.2 3e-1\n" for index in range(20)).encode()
    vocabulary = "".join(f"{word}\n" for word in ("</S>", "<S>", "<UNK>", "the", "cat", "été")).encode()
    softmax = folder / "softmax.hdf5"
    write_softmax(softmax, word_softmax("full", 6, 9), "full", 6, 9, "float32")
    hashes = {"https://example.org/a.zip": "0" * 64, "a.txt": "1" * 64}
    return {
        "text": Target("txt", of_bytes(TEXT.encode()), lambda path: read_sentences(path, 10)),
        "lines": Target("txt", of_bytes(TEXT.encode()), _read_lines),
        "vocabulary": Target("txt", of_bytes(vocabulary), Vocabulary.from_file),
        "words": Target("txt", of_bytes(words), lambda path: check_word_vectors(path, 3)),
        "packed-words": Target("gz", of_bytes(gzip.compress(words, mtime=0)), lambda path: check_word_vectors(path, 3)),
        "softmax": Target("hdf5", signed_bytes(softmax.read_bytes()), lambda path: read_softmax(path, 6, 9)),
        "zip": Target("zip", of_bytes(_archive()), lambda path: extract(path, "a.txt", path.with_suffix(".out"))),
        "fetch-lock": Target("lock", of_json(hashes), Lock),
        "model-card": Target("md", of_bytes(b'---\nlicense: other\nlicense_text: "MIT"\n---\n# A card\n'), _licence),
        "part-note": Target("json", of_json(PART_NOTE), _part),
        "lease": Target("json", of_json({"host": "a", "pid": 1, "time": 1.0, "phase": "training"}), _lease),
        "failure": Target("json", of_json({"id": "0" * 64, "error": "it failed"}), _failure),
        "cache": Target("bin", of_bytes(CACHED), _cached),
        "cache-list": Target("json", of_json({"content": hashlib.sha256(CACHED).hexdigest()}), _cached_list),
        "shapes": _shapes(of_json),
        "training-state": _training_state(folder, mutated, mutated_json),
    }


def _archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", TEXT * 20)
        archive.writestr("b/c.txt", b"other")
    return content.getvalue()


def _read_lines(path: Path) -> None:
    for window in windows(TextFile.scan(path), 8, 50):
        assert window.sentences


def _licence(path: Path) -> None:
    path.replace(path.with_name(CARD_FILE))
    assert len(licence_on_card(path.parent).splitlines()) == 1


def _part(path: Path) -> None:
    """A part is taken if its note has both hashes, and made again otherwise."""
    folder = path.parent / "parts"
    folder.mkdir(exist_ok=True)
    parts = Parts(folder, {"input": "x"})
    parts.path(WINDOW).write_bytes(PART)
    path.replace(note := parts.path(WINDOW).with_suffix(".json"))
    if not parts.have(WINDOW):
        raise InputError("made again")
    content = json.loads(note.read_bytes())
    assert {name: content[name] for name in PART_NOTE} == PART_NOTE


def _lease(path: Path) -> None:
    leases = Leases(path.parent)
    leases.folder.mkdir(exist_ok=True)
    held = leases.folder / "sst dense seed 1.lock"
    path.replace(held)
    with holding(held):
        notes = leases.all()
    if notes[held.stem] == Heartbeat():
        raise InputError("no note")
    json.dumps(notes[held.stem].model_dump(), allow_nan=False)


def _failure(path: Path) -> None:
    failures = Failures(path.parent)
    note = failures.folder / "sst dense seed 1" / "error.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    path.replace(note)
    if not failures.all():
        raise InputError("no note")


def _cached(path: Path) -> None:
    """The content of a cached file is what was written, or it is made again."""
    _from_cache(path, "content")


def _cached_list(path: Path) -> None:
    _from_cache(path, "contents.json")


def _from_cache(path: Path, name: str) -> None:
    outputs: list[Path] = []

    def make(folder: Path) -> None:
        (folder / "content").write_bytes(CACHED)
        outputs.append(folder)

    def read(folder: Path) -> bytes:
        return (folder / "content").read_bytes()

    with MachineLock(path.parent) as machine:
        cache = Cache(path.parent, 0, machine)
        try:
            cache.load("facts", "x", make, read)
            outputs.clear()
            path.replace(cache.folder / "facts" / "x" / name)
            assert cache.load("facts", "x", make, read) == CACHED
        finally:
            cache.close()
    if outputs:
        raise InputError("made again")


def _shapes(of_json: Callable[[Any], Callable[[Path, random.Random], None]]) -> Target:
    """The shapes of an encoder in a trained model's archive."""
    from elmo_mf.plugin.stored_shapes import EncoderShapes, shapes_of
    from tests.fuzz import Target

    def read(path: Path) -> None:
        shapes = shapes_of(torch.tensor(list(path.read_bytes()), dtype=torch.float32), "weights")
        if shapes.numbers > 1 << 20:
            raise InputError("found more numbers than bytes")
        options = BilmOptions.from_dict(shapes.options)
        shapes.built(lambda weights: Bilm(options, weights))

    bilm = random_bilm()
    source = {"files": ["options.json", "weights.hdf5"], "compression": {"method": "svd", "rank": 2}}
    shapes = EncoderShapes.of(bilm.weights(), options=bilm.options.to_dict(), **source)
    return Target("json", of_json(shapes.model_dump(mode="json")), read)


def _training_state(folder: Path, mutated: MutateBytes, mutated_json: MutateJson) -> Target:
    """The state of `pretrain`: bytes of the file mutated, or one thing in it missing, odd or of another shape."""
    from tests.fuzz import Target

    text, run = folder / "t.txt", folder / "run"
    text.write_text("a b c d\ne f g\n" * 10)
    settings = PretrainSettings(epochs=1, batch_tokens=32, min_count=1, architecture=raw_options())
    Trainer([text], [text], run, settings).save_checkpoint()
    state = run / "checkpoint.pt"
    content = state.read_bytes()

    def make(path: Path, chance: random.Random) -> None:
        if chance.random() < 0.3:
            path.write_bytes(mutated(content, chance))
        else:
            torch.save(_odd(torch.load(io.BytesIO(content), weights_only=True), chance, mutated_json), path)

    def read(path: Path) -> None:
        path.replace(state)
        Trainer([text], [text], run, settings)

    return Target("pt", make, read)


def _odd(state: Any, chance: random.Random, mutated_json: MutateJson) -> Any:
    """A state in which one part is missing, another type, another shape, or not finite."""
    parents = [state]
    while isinstance(child := parents[-1][key := chance.choice(list(parents[-1]))], dict) and child:
        if chance.random() < 0.3:
            break
        parents.append(child)
    kind = chance.randrange(5)
    value = parents[-1][key]
    if kind == 0:
        del parents[-1][key]
    elif kind == 1:
        parents[-1][key] = mutated_json([0], chance)
    elif kind == 2 and isinstance(value, torch.Tensor):
        parents[-1][key] = value.flatten()[:1] if chance.random() < 0.5 else value.double() * float("nan")
    elif kind == 3:
        parents[-1][key] = torch.from_numpy(np.zeros((2, 3)))
    else:
        parents[-1]["x"] = value
    return state
