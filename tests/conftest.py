"""Small random ELMos, and the real data where it lies beside the checkout."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import settings

os.environ.setdefault("TQDM_DISABLE", "1")
# tests run beside each other, on tensors so small that threads would wait for one another most of the time
os.environ.setdefault("OMP_NUM_THREADS", "1")

from elmo_mf.bench import _benchmark
from elmo_mf.bench._limits import measure_limits
from elmo_mf.bilm import Bilm, BilmOptions
from elmo_mf.bilm.initialization import random_weights
from elmo_mf.bilm.runtime import PackedLinear, supports
from elmo_mf.compression.calibration import _encoder_probe, calibration_sentences
from elmo_mf.compression.methods.base import forget_included_methods
from elmo_mf.errors import InputError
from elmo_mf.extensions import separate_inclusions
from elmo_mf.progress import Advance, reported_to
from elmo_mf.tasks import load_task

# the same examples in every run; others with `pytest --hypothesis-profile=explore`
settings.register_profile("explore", deadline=None)
settings.register_profile("repeatable", settings.get_profile("explore"), derandomize=True)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


def raw_options(**changes: Any) -> dict[str, Any]:
    """The parsed options.json of a tiny ELMo; keys of `lstm` and `char_cnn` can be changed."""
    lstm = {"dim": 12, "projection_dim": 6, "n_layers": 2, "cell_clip": 3, "proj_clip": 3, "use_skip_connections": True}
    cnn = {
        "embedding": {"dim": 4},
        "filters": [[1, 4], [2, 8], [3, 5]],
        "n_highway": 2,
        "activation": "relu",
        "n_characters": 262,
        "max_characters_per_token": 50,
    }
    for key, value in changes.items():
        (lstm if key in lstm else cnn)[key] = value
    return {"lstm": lstm, "char_cnn": cnn}


def random_bilm(seed: int = 0, scale: float = 1.0, **changes: Any) -> Bilm:
    """A tiny random biLM; with a large `scale` both clips are hit."""
    options = BilmOptions.from_dict(raw_options(**changes))
    weights = random_weights(options, seed)
    for lstm in weights.lstms.values():
        for matrix in lstm.matrices.values():
            assert isinstance(matrix, np.ndarray)
            matrix *= scale
        lstm.bias[:] = 0.1
    return Bilm(options, weights).eval()


@pytest.fixture
def elmo_files(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write a tiny random ELMo; returns its options and weights."""

    def write(name: str = "elmo", **changes: Any) -> tuple[Path, Path]:
        random_bilm(**changes).save(tmp_path / name)
        return tmp_path / name / "options.json", tmp_path / name / "weights.hdf5"

    return write


@contextmanager
def rejected(place: str, words: str = "") -> Iterator[None]:
    """Expect an `InputError` at a place, whose problem there contains some words."""
    with pytest.raises(InputError) as error:
        yield
    assert error.value.place == place and words in error.value.problem and "\n" not in str(error.value)


def documented_method() -> str:
    """The file with a method of one's own that the documentation shows."""
    page = (ROOT / "docs" / "how-to.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n([^`]*@register\(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return str(block)


def write_reviews(folder: Path) -> Path:
    """Write the task with texts of one's own that the documentation shows, and its data."""
    page = (ROOT / "docs" / "how-to.md").read_text(encoding="utf-8")
    (config,) = re.findall(r'^```toml\n([^`]*format = "labelled-texts".*?)^```', page, re.MULTILINE | re.DOTALL)
    folder.mkdir(parents=True)
    (folder / "task.toml").write_text(config)
    rng = np.random.default_rng(0)
    for name, count in {"train": 60, "dev": 20, "test": 20}.items():
        kinds = rng.integers(2, size=count)
        words = [rng.choice([["dull", "poor", "weak"], ["fine", "great", "clever"]][kind]) for kind in kinds]
        texts = [f'A {word} film, "really",\nif not the best. Number {number}.' for number, word in enumerate(words)]
        table = pd.DataFrame({"id": range(count), "review": texts, "stars": 1 + 4 * kinds})
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.fixture
def nothing_included() -> Iterator[None]:
    """Let no other test meet the methods and tasks that a test includes."""
    modules = set(sys.modules)
    with separate_inclusions():
        yield
    forget_included_methods()
    for name in set(sys.modules) - modules:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.fixture
def nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let matplotlib compose figures and write empty files, because drawing them takes seconds."""
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "draw_without_rendering", lambda _: None)
    monkeypatch.setattr(Figure, "savefig", lambda _, path, **settings: Path(path).touch())


@pytest.fixture
def few_calibration_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let compressions read the first words of texts only, for tests of something else than their numbers."""
    monkeypatch.setattr(calibration_sentences, "__defaults__", (300,))
    monkeypatch.setattr(_encoder_probe, "_LOSS_TOKENS", 300)
    monkeypatch.setattr(_encoder_probe, "_PAIRED_TOKENS", 300)


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `bench` measure the limits of the machine by small arrays, whose numbers are no limits, in milliseconds."""
    monkeypatch.setattr(_benchmark, "measure_limits", partial(measure_limits, copy_bytes=2**14, square_size=8))


@contextmanager
def without_onednn() -> Iterator[None]:
    """Run as with a PyTorch that was built without oneDNN, and fail where its products are called."""
    supports.cache_clear()
    called = AssertionError("a product of oneDNN")
    with (
        patch.object(torch.backends.mkldnn, "is_available", return_value=False),
        patch.object(PackedLinear, "__call__", side_effect=called),
    ):
        yield
    supports.cache_clear()


@contextmanager
def pipe_of(content: bytes) -> Iterator[Path]:
    """The name of a pipe from which a short text can be read, once."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    try:
        yield Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)


@contextmanager
def stages_call(
    advanced: Callable[[float], object] = lambda done: None, begun: Callable[[str], object] = lambda name: None
) -> Iterator[None]:
    """Call functions at the beginning of each stage of a computation, and with the steps done after each of its steps.

    Args:
        advanced: Called with the number of steps that a stage has done.
        begun: Called with the name of a stage.
    """

    @contextmanager
    def reporter(name: str, steps: float, unit: str) -> Iterator[Advance]:
        done = 0.0

        def advance(steps: float = 1, note: str = "") -> None:
            nonlocal done
            done += steps
            advanced(done)

        begun(name)
        yield advance

    with reported_to(reporter):
        yield


def small_data(task: str, folder: Path, examples: int = 24) -> Path:
    """The first steps of a task: its demo data, cut to `examples` a split."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _cut_demo_data(task, examples).items():
        (folder / name).write_bytes(content)
    return folder


@cache
def _cut_demo_data(task: str, examples: int) -> dict[str, bytes]:
    """The content of the files, whose originals take half a second to parse."""
    task_config = load_task(task)
    with TemporaryDirectory() as folder:
        for file in task_config.files.values():
            task_config.format.cut(task_config.demo_data / file, Path(folder, file), examples)
        return {file: Path(folder, file).read_bytes() for file in task_config.files.values()}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data; tests that need it are skipped elsewhere."""
    if not SHARED.is_dir():
        pytest.skip("needs the real data in ../shared/data")
    return SHARED


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking through all that is imported, again and again while tests run."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they ask for, and run the longest first, so that no process waits for another at the end."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for fixture, marker in (("chromium", "browser"), ("shared_data", "data")):
            if fixture in fixtures:
                item.add_marker(marker)
    items.sort(key=lambda item: item.path.parent != ROOT / "tests")  # files there test whole programs
