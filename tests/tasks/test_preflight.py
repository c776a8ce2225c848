"""A sweep's files and disk space are checked before its first run starts."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import shutil
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from elmo_mf.experiments import workspace
from elmo_mf.records.store import RecordStore
from elmo_mf.tasks import SweepSpec, check_needs, expand, load_task
from elmo_mf.tasks._run_data import limited_data
from elmo_mf.tasks._word_vector_file import check_word_vectors
from elmo_mf.tasks.formats import Contents, SnliJsonl
from tests.conftest import small_data
from tests.records.samples import measurements, record
from tests.sweeps import TinySweep

WRONG = {"sst": "(3 (2 It) (3 works)", "snli": '{"gold_label": 1}', "squad": "", "ptb": "bad \0"}


@pytest.mark.parametrize("task", sorted(WRONG))
def test_a_wrong_line_of_any_split_ends_a_sweep_before_its_work(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_data(task, tmp_path / "data" / task)
    *_, last = load_task(task).files.values()
    path = tmp_path / "data" / task / last
    if task == "squad":
        path.write_text(path.read_text().replace('"answer_start": ', '"answer_start": 1', 1))
    else:
        path.write_text(path.read_text() + WRONG[task])
    line = path.read_text().count("\n") + 1
    command = ["sweep", "--tasks", task, "--data", str(tmp_path / "data"), "--output", str(tmp_path / "out")]
    assert main([*command, "--methods", "svd", "--ranks", "2"]) == 2
    error = capsys.readouterr().err
    where = "data[0].paragraphs[0].qas[0]: answer_start of" if task == "squad" else f"line {line}: found"
    assert f"elmo-mf: error: {path}: {where}" in error and error.count("\n") == 1
    assert not list((tmp_path / "out").rglob("records/*")) and not list((tmp_path / "out").rglob("failed/*"))


@pytest.mark.slow
def test_files_that_the_reader_does_not_take_are_written_anew(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep(tasks=["snli"])
    source = tmp_path / "data" / "snli"
    before = [example for _, example in sorted(_examples(source).items())]
    (source / "dev.jsonl").write_text("\ufeff" + (source / "dev.jsonl").read_text().replace("\n", "\n\n"))
    with workspace(tmp_path / "out") as work:
        folder = limited_data(spec, expand(spec)[0], work)
    assert folder != source and [example for _, example in sorted(_examples(folder).items())] == before
    assert all(json.loads(line) for line in (folder / "dev.jsonl").read_text().splitlines())


def _examples(folder: Path) -> dict[str, object]:
    task = load_task("snli")
    return {split: task.format.read(folder / name) for split, name in task.files.items()}


@pytest.mark.slow
def test_a_file_is_checked_once(tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    contents = SnliJsonl.contents

    def counted(self: SnliJsonl, path: Path) -> Contents:
        read.append(path)
        return contents(self, path)

    monkeypatch.setattr(SnliJsonl, "contents", counted)
    spec = tiny_sweep(tasks=["snli"], seeds=[1, 2])
    for _ in range(3):
        check_needs(spec, expand(spec), tmp_path / "out", 1)
    assert [path.name for path in read] == ["train.jsonl", "dev.jsonl", "test.jsonl"]
    (tmp_path / "data" / "snli" / "dev.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"dev\.jsonl: line 1: found '{}'"):
        check_needs(spec, expand(spec), tmp_path / "out", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "texts",
    [
        {"method": "whitened_svd", "calibration": "{text}"},
        {"method": "svd", "distill": {"text": "{text}", "steps": 1}},
    ],
)
def test_texts(texts: dict[str, object], tiny_sweep: TinySweep, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    keys = json.loads(json.dumps({"rank": 2, "targets": "input"} | texts).replace("{text}", str(text)))
    text.write_bytes(b"a b\n" * 9 + b"\xff\n")
    spec = tiny_sweep(methods=[], compressions=[keys])
    with pytest.raises(InputError, match=r"text\.txt: line 10: "):
        check_needs(spec, expand(spec), tmp_path / "out", 1)
    text.write_bytes(b" \n")
    with pytest.raises(InputError, match=r"text\.txt: "):
        check_needs(spec, expand(spec), tmp_path / "out", 1)


@pytest.mark.slow
def test_room_on_the_disk(tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny_sweep()
    size = Path(spec.weights).stat().st_size
    for free, workers, right in ((3 * size + 300_000, 1, True), (3 * size + 300_000, 2, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        try:
            check_needs(spec, expand(spec), tmp_path / "out", workers)
        except InputError as error:
            assert not right and str(error).startswith("output: found") and "free on the disk of" in str(error)
        else:
            assert right


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "right"), [(0, True), (1, False)])
def test_no_room_is_needed_where_nothing_is_trained(
    workers: int, right: bool, tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room is needed on a Ray cluster, whose machines store the checkpoints, or for timing alone."""
    spec = tiny_sweep()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=250_000))
    with contextlib.nullcontext() if right else pytest.raises(InputError, match="free on the disk of"):
        check_needs(spec, expand(spec), tmp_path / "out", workers)


@pytest.mark.slow
def test_a_wrong_line_ends_a_retiming_before_its_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record of invalid data may come from an older version with fewer checks."""
    path = small_data("sst", tmp_path / "data" / "sst") / "dev.txt"
    path.write_text(path.read_text() + WRONG["sst"])
    dense = expand(SweepSpec.from_file(None, tasks=["sst"], methods=[], data=str(tmp_path / "data")))[0]
    store = RecordStore(tmp_path / "out")
    store.write(dense, measurements(record(None, 0.4)))
    before = store.path(dense).read_bytes()
    command = ["sweep", "--tasks", "sst", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "out")]
    assert main([*command, "--retime", "all"]) == 2
    assert f"elmo-mf: error: {path}: line " in capsys.readouterr().err
    assert store.path(dense).read_bytes() == before and not (tmp_path / "out" / "failed").exists()


GLOVE = "the 0.5 -1e-3\n, 1 2\nat name@domain 3 4\nit 5 6\n"


def _zip(content: bytes) -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        archive.writestr("words.txt", content)
    return packed.getvalue()


def _tar(content: bytes) -> bytes:
    with tarfile.open(fileobj=(packed := io.BytesIO()), mode="w:gz") as archive:
        member = tarfile.TarInfo("words.txt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".txt": bytes,
    ".vec": bytes,
    ".GZ": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": _zip,
    ".tar.gz": _tar,
}


@pytest.mark.parametrize("text", [GLOVE, "2 2\n" + GLOVE, GLOVE.replace("\n", "\r\n"), GLOVE + "\n", GLOVE.rstrip()])
@pytest.mark.parametrize("suffix", PACKED)
def test_word_vectors_that_allennlp_reads(text: str, suffix: str, tmp_path: Path) -> None:
    from allennlp.data import Vocabulary
    from allennlp.modules.token_embedders.embedding import _read_embeddings_from_text_file

    path = tmp_path / f"words{suffix}"
    path.write_bytes(PACKED[suffix](text.encode()))
    check_word_vectors(path, 2)
    vocabulary = Vocabulary({"tokens": {"the": 1, ",": 1, "it": 1}})
    read = _read_embeddings_from_text_file(str(path), 2, vocabulary)
    rows = [read[vocabulary.get_token_index(word)].tolist() for word in ("the", ",", "it")]
    assert rows == [[0.5, pytest.approx(-0.001)], [1, 2], [5, 6]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GLOVE.encode() + b"cut 0.5", "line 5: found 'cut 0.5'"),
        (b"the 0.5 x\n", "line 1: found 'the 0.5 x'"),
        (b"the nan 1\n", "line 1: found 'the nan 1'"),
        (b"the\t1\t2\n", "line 1: found"),
        (b"the 1 2 3\n", "at most 3"),
        (b"\xef\xbb\xbfthe 1 2\n", "line 1: "),
        ("café 1 2\n".encode("latin-1"), "UnicodeDecodeError"),
        (b"", "at most 0"),
        (b"the 1 2\n" + b"1" * 1_100_000, "line 2: "),
        (gzip.compress(GLOVE.encode() * 99, mtime=0)[:-20], "word vectors"),
    ],
)
def test_wrong_word_vectors(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / ("words.gz" if content.startswith(b"\x1f") else "words.txt")
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        check_word_vectors(path, 2)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


@pytest.mark.slow
def test_word_vectors_are_read_in_bounded_memory(tmp_path: Path) -> None:
    """Memory is bounded even if a small compressed file contains a very long line."""
    path = tmp_path / "words.gz"
    path.write_bytes(gzip.compress(b"1" * 200_000_000, 1))
    tracemalloc.start()
    with pytest.raises(InputError, match="line 1: "):
        check_word_vectors(path, 2)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_word_vectors_that_unpack_to_too_much(tmp_path: Path) -> None:
    (tmp_path / "words.gz").write_bytes(gzip.compress(b"\n" * 20_000))
    with pytest.raises(InputError, match="line 10001: "):
        check_word_vectors(tmp_path / "words.gz", 2, max_text=10_000)


def test_a_pipe_holds_no_word_vectors(tmp_path: Path) -> None:
    """A pipe is rejected without blocking."""
    os.mkfifo(tmp_path / "words.txt")
    with pytest.raises(InputError, match=r"words\.txt: "):
        check_word_vectors(tmp_path / "words.txt", 2)


def test_the_real_word_vectors(shared_data: Path) -> None:
    check_word_vectors(shared_data / "words" / "glove.6B.100d.txt.gz", 100)


@pytest.mark.slow
def test_word_vectors_of_a_sweep(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the 1 2\n")
    spec = tiny_sweep(tasks=["squad"], preset="paper", glove=str(tmp_path / "words.txt"))
    with pytest.raises(InputError, match=r"words\.txt: line 1: found 'the 1 2'"):
        check_needs(spec, expand(spec), tmp_path / "out", 1)
