"""Vectors in the file are those of `Bilm.embed`, whatever the windows, batches, pieces and interruptions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elmo_mf.bilm import Bilm
from elmo_mf.cli.main import main
from elmo_mf.embed import KEEP, EmbedSettings, TextFile, embed_file
from elmo_mf.embed._embed_settings import Keep
from elmo_mf.embed._index import SentenceIndex
from elmo_mf.embed._text import LazyWords, split, windows
from elmo_mf.errors import InputError
from elmo_mf.io.sentences import SPLIT_AT_ONCE, words_of
from tests.conftest import pipe_of, random_bilm, stages_call

Files = Callable[..., tuple[Path, Path]]
LINES = ["a bb ccc", "", "dd", "a bb ccc", "e " * 30, "é ü"]


def _text(folder: Path, lines: list[str]) -> TextFile:
    path = folder / "in.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return TextFile.scan(path)


def _check(path: Path, lines: list[str], bilm: Bilm, keep: Keep) -> None:
    with h5py.File(path) as file:
        assert set(file) == {str(number) for number in range(len(lines))} | {"sentence_to_index"}
        for number, line in enumerate(lines):
            layers = bilm.embed([line.split()])[0]
            expected = {"all": layers, "top": layers[-1], "average": layers.mean(axis=0)}[keep]
            vectors = file[str(number)][()]
            assert vectors.dtype == np.float32 and vectors.shape == expected.shape
            np.testing.assert_allclose(vectors, expected, atol=1e-5)
        index = json.loads(file["sentence_to_index"][0])
    assert index == {line.strip(): str(number) for number, line in enumerate(lines)}


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("chunk", [4, 1024])
def test_layout_and_values(keep: Keep, chunk: int, tmp_path: Path) -> None:
    bilm = random_bilm()
    embed_file(bilm, {}, _text(tmp_path, LINES), tmp_path / "out.hdf5", EmbedSettings(keep, batch=2, chunk=chunk))
    _check(tmp_path / "out.hdf5", LINES, bilm, keep)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.hdf5"]


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text("ab ", max_size=12), min_size=1, max_size=8),
    batch=st.integers(1, 3),
    chunk=st.integers(2, 9),
    window=st.integers(1, 20),
)
def test_any_windows(
    lines: list[str], batch: int, chunk: int, window: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, bilm = tmp_path_factory.mktemp("embed"), random_bilm()
    settings = EmbedSettings("all", batch, chunk, window_tokens=window)
    embed_file(bilm, {}, _text(folder, lines), folder / "o.hdf5", settings)
    _check(folder / "o.hdf5", lines, bilm, "all")


class _Cut(Exception):
    pass


def _raise(*_: object) -> None:
    raise _Cut


def _cut_before(patch: pytest.MonkeyPatch, method: Literal["rename", "replace"], old: str, new: str) -> None:
    """Interrupt what renames a path whose name ends in `old` to one that ends in `new`."""
    real = getattr(Path, method)

    def renamed(path: Path, target: Path) -> Path:
        if path.name.endswith(old) and target.name.endswith(new):
            raise _Cut
        result: Path = real(path, target)
        return result

    patch.setattr(Path, method, renamed)


def test_an_interrupted_run_is_resumed(tmp_path: Path) -> None:
    bilm, text, output = random_bilm(), _text(tmp_path, LINES), tmp_path / "out.hdf5"
    settings = EmbedSettings(window_tokens=1)

    times: list[int] = []

    def cut(done: float) -> None:
        if done == 3:
            raise _Cut

    with pytest.raises(_Cut), stages_call(cut):
        embed_file(bilm, {"x": 1}, text, output, settings)
    assert not output.exists()
    with pytest.raises(InputError, match=r"out\.hdf5\.parts: "):
        embed_file(bilm, {"x": 2}, text, output, settings)
    first = min((tmp_path / "out.hdf5.parts").glob("*.hdf5"))
    written = first.stat().st_mtime_ns
    with stages_call(lambda _: times.append(first.stat().st_mtime_ns)):
        embed_file(bilm, {"x": 1}, text, output, settings)
    assert set(times[:-1]) == {written}
    _check(output, LINES, bilm, "all")


def _lines(count: int) -> list[str]:
    return [f"w{number} a b" for number in range(count)]


def _cut_run(text: TextFile, output: Path, settings: EmbedSettings, at: int) -> None:
    def cut(done: float) -> None:
        if done >= at:
            raise _Cut

    with pytest.raises(_Cut), stages_call(cut):
        embed_file(random_bilm(), {}, text, output, settings)


def test_a_run_is_resumed_with_another_batch(tmp_path: Path) -> None:
    text, output = _text(tmp_path, _lines(60)), tmp_path / "out.hdf5"
    _cut_run(text, output, EmbedSettings(batch=2, window_lines=8), at=20)
    there = embed_file(random_bilm(), {}, text, output, EmbedSettings(batch=7, window_lines=8))
    assert there == 24
    _check(output, _lines(60), random_bilm(), "all")


@pytest.mark.slow
@pytest.mark.parametrize("lines", [3, 16])
def test_parts_of_other_windows_are_replaced(lines: int, tmp_path: Path) -> None:
    """A later version may choose other windows."""
    text, output = _text(tmp_path, _lines(60)), tmp_path / "out.hdf5"
    _cut_run(text, output, EmbedSettings(window_lines=8), at=20)
    embed_file(random_bilm(), {}, text, output, EmbedSettings(window_lines=lines))
    _check(output, _lines(60), random_bilm(), "all")


@pytest.mark.parametrize(
    "damage", [lambda data: bytes(len(data)), lambda data: data[: len(data) // 2], lambda data: data[:-9] + b"x" * 9]
)
def test_damaged_parts_are_replaced(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Zeros, as a power cut leaves them, a cut-off file, and changed bytes."""
    settings = EmbedSettings(window_lines=8)
    text, output = _text(tmp_path, _lines(30)), tmp_path / "out.hdf5"
    _cut_run(text, output, settings, at=24)
    first, second, _ = sorted((tmp_path / "out.hdf5.parts").glob("*.hdf5"))
    first.write_bytes(damage(first.read_bytes()))
    second.with_suffix(".json").write_bytes(damage(second.with_suffix(".json").read_bytes()))
    assert embed_file(random_bilm(), {}, text, output, settings) == 8
    _check(output, _lines(30), random_bilm(), "all")


def test_a_folder_without_its_note(tmp_path: Path) -> None:
    """Empty, as a run that was killed at its start leaves it; or somebody else's."""
    folder, output = tmp_path / "out.hdf5.parts", tmp_path / "out.hdf5"
    (folder / ".run.json.0.tmp").mkdir(parents=True)
    embed_file(random_bilm(), {}, _text(tmp_path, LINES), output, EmbedSettings())
    assert not folder.exists()
    output.unlink()
    folder.mkdir()
    (folder / "letters.txt").write_text("precious")
    with pytest.raises(InputError, match=r"out\.hdf5\.parts: "):
        embed_file(random_bilm(), {}, _text(tmp_path, LINES), output, EmbedSettings())
    assert (folder / "letters.txt").read_text() == "precious"


def test_two_at_once(tmp_path: Path) -> None:
    """The second is refused, and the first ends as if it were alone."""
    text, output, refused = _text(tmp_path, LINES), tmp_path / "out.hdf5", []

    def second(_: float) -> None:
        with pytest.raises(InputError, match="another process") as error:
            embed_file(random_bilm(), {}, text, output, EmbedSettings())
        refused.append(error)

    with stages_call(second):
        embed_file(random_bilm(), {}, text, output, EmbedSettings())
    assert refused
    _check(output, LINES, random_bilm(), "all")


def test_a_result_whose_parts_are_left(
    elmo_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a run leaves it that is killed at its very end: the same command is done, and others overwrite nothing."""
    options, weights = elmo_files()
    text, output = _text(tmp_path, LINES).path, tmp_path / "out.hdf5"
    command = ["embed", str(text), str(output), "--options", str(options), "--weights", str(weights)]
    with monkeypatch.context() as patch:
        _cut_before(patch, "rename", ".parts", ".tmp")
        with pytest.raises(_Cut):
            main(command)
    written = output.read_bytes()
    assert main([*command, "--top"]) == 2
    assert "out.hdf5: " in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("elmo_mf.bilm.encoder.Bilm.embed", _raise)
        assert main(command) == 0
    assert capsys.readouterr().out == f"wrote {output}: 6 sentences, 6 of them from an earlier run\n"
    assert output.read_bytes() == written and not (tmp_path / "out.hdf5.parts").exists()


def test_a_file_beside_the_parts_of_a_run(tmp_path: Path) -> None:
    """Whenever it came there, it is not overwritten, and the parts are kept."""
    text, output = _text(tmp_path, LINES), tmp_path / "out.hdf5"
    with stages_call(lambda done: output.write_text("precious")):
        for _ in range(2):
            with pytest.raises(InputError, match=r"out\.hdf5: .*exists"):
                embed_file(random_bilm(), {}, text, output, EmbedSettings())
            assert output.read_text() == "precious"
    output.unlink()
    assert embed_file(random_bilm(), {}, text, output, EmbedSettings()) == 6


def test_a_text_that_changes_meanwhile(tmp_path: Path) -> None:
    text, output, settings = _text(tmp_path, LINES), tmp_path / "out.hdf5", EmbedSettings(window_lines=2)
    text.path.write_text(text.path.read_text().replace("dd", "xx"))
    with pytest.raises(InputError, match=r"in\.txt: "):
        embed_file(random_bilm(), {}, text, output, settings)
    assert not output.exists()
    _text(tmp_path, LINES)
    assert embed_file(random_bilm(), {}, text, output, settings) == 4
    _check(output, LINES, random_bilm(), "all")


def test_lines_that_were_lost_are_noticed(tmp_path: Path) -> None:
    output = tmp_path / "out.hdf5"

    def lose_two_lines(done: float) -> None:
        if done == len(LINES):
            with h5py.File(min((tmp_path / "out.hdf5.parts").glob("*.hdf5")), "r+") as part:
                for name in list(part):
                    del part[name]

    with stages_call(lose_two_lines), pytest.raises(InputError, match=r"out\.hdf5: .*4 lines"):
        embed_file(random_bilm(), {}, _text(tmp_path, LINES), output, EmbedSettings(window_lines=2))
    assert not (tmp_path / "out.hdf5").exists()


def test_an_index_of_several_texts(tmp_path: Path) -> None:
    """HDF5 cannot store a string of 2 GiB; together they map every sentence, repeated ones to their last line."""
    lines = [*LINES, *_lines(20), "dd"]
    with SentenceIndex(tmp_path, characters=40) as index, h5py.File(tmp_path / "out.hdf5", "w") as file:
        for number, line in enumerate(lines):
            index.add(line.strip(), number)
        index.write(file)
        texts = list(file["sentence_to_index"])
    assert len(texts) > 5 and sorted(map(len, texts))[-2] <= 40  # one sentence alone has more
    places = {sentence: number for text in texts for sentence, number in json.loads(text).items()}
    assert places == {line.strip(): str(number) for number, line in enumerate(lines)}


def test_windows_of_long_words(tmp_path: Path) -> None:
    """End before they fill the memory."""
    text = _text(tmp_path, ["a" * 9, "b", "c" * 30, "d"])
    sizes = [len(window.sentences) for window in windows(text, 100, 100, characters=10)]
    assert sizes == [2, 1, 1]


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = sum(len(line.split()) for line in LINES)
    usage = shutil.disk_usage(tmp_path)._replace(free=2 * words * 3 * 12 * 4 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"OUTPUT: found 0\.0 MB"):
        embed_file(random_bilm(), {}, _text(tmp_path, LINES), tmp_path / "out.hdf5", EmbedSettings())


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["a", "é\u2028", " \x1c", "\t", "w" * 9, "  "]), max_size=60), st.data())
def test_words_of_a_long_line(pieces: list[str], data: st.DataObject) -> None:
    line = "".join(pieces)
    expected, long = line.split(), line.ljust(SPLIT_AT_ONCE + 1)
    assert isinstance(split(long), LazyWords) and list(split(long)) == list(words_of(long)) == expected
    actual = LazyWords(line, step=4)
    assert len(actual) == len(expected) and list(actual) == expected
    start, stop = data.draw(st.integers(0, 30)), data.draw(st.integers(0, 30))
    assert actual[start:stop] == expected[start:stop]


def _allennlp_lines(path: Path) -> list[str]:
    """As the command of AllenNLP 0.9 reads them."""
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file]


@pytest.mark.parametrize(
    "content", ["a b\r\nc\r\n", "a b\rc", "a b\n\n \nc", "a\u2028b\x0cc\x85d\n", "a b", "\n"], ids=repr
)
def test_lines(content: str, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(content.encode())
    embed_file(random_bilm(), {}, TextFile.scan(tmp_path / "in.txt"), tmp_path / "out.hdf5", EmbedSettings())
    _check(tmp_path / "out.hdf5", _allennlp_lines(tmp_path / "in.txt"), random_bilm(), "all")


def test_a_byte_order_mark_is_no_word(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"\xef\xbb\xbfa b\n")
    embed_file(random_bilm(), {}, TextFile.scan(tmp_path / "in.txt"), tmp_path / "out.hdf5", EmbedSettings())
    _check(tmp_path / "out.hdf5", ["a b"], random_bilm(), "all")


def test_from_a_pipe(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same vectors as from a file, and nothing is left beside them; a run can be resumed from either."""
    options, weights = elmo_files()
    command = ["--options", str(options), "--weights", str(weights)]
    content, output = "".join(f"{line}\r\n" for line in LINES).encode(), tmp_path / "v" / "out.hdf5"
    (tmp_path / "in.txt").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch, pipe_of(content) as pipe:
        _cut_before(patch, "replace", "out.hdf5", "out.hdf5")
        with pytest.raises(_Cut):
            main(["embed", str(tmp_path / "in.txt"), str(output), *command])
        patch.undo()
        assert main(["embed", str(pipe), str(output), *command]) == 0
    printed = capsys.readouterr().out
    assert f"resuming with the parts in {output}.parts" in printed
    assert printed.endswith(f"wrote {output}: 6 sentences, 6 of them from an earlier run\n")
    _check(output, LINES, Bilm.from_files(options, weights), "all")
    assert [path.name for path in output.parent.iterdir()] == ["out.hdf5"]


def test_outputs_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = str(_text(tmp_path, LINES).path)
    for output in (f"{text}/out.hdf5", "/proc/none/out.hdf5", str(tmp_path)):
        assert main(["embed", text, output]) == 2
        error = capsys.readouterr().err
        assert "OUTPUT: found" in error and error.count("\n") == 1


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.hdf5").write_text("precious")
    with pytest.raises(InputError, match=r"out\.hdf5: .*exists"):
        embed_file(random_bilm(), {}, _text(tmp_path, LINES), tmp_path / "out.hdf5", EmbedSettings())
    assert (tmp_path / "out.hdf5").read_text() == "precious"


@pytest.mark.slow
def test_command(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, weights = elmo_files()
    text, out = _text(tmp_path, LINES).path, tmp_path / "v.hdf5"
    elmo = ["--options", str(options), "--weights", str(weights), "--rank", "2"]
    assert main(["embed", str(text), str(out), "--top", *elmo]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {out}: 6 sentences"
    from elmo_mf.records import Compression

    _check(out, LINES, Bilm.from_files(options, weights, Compression(method="svd", rank=2, targets="all")), "top")
    within = Compression(method="svd", targets="input", budget={"parameters": 2500}, highway_rank=3)
    elmo[-2:] = ["--budget", "2500", "--targets", "input", "--highway-rank", "3"]
    assert main(["embed", str(text), str(tmp_path / "w.hdf5"), "--top", *elmo]) == 0
    _check(tmp_path / "w.hdf5", LINES, Bilm.from_files(options, weights, within), "top")


def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes("ok\nfr\xfcher\n".encode("latin-1"))
    (tmp_path / "t.txt").write_text("a b\n")
    out = str(tmp_path / "v.hdf5")
    for arguments, message in (
        (["gone.txt", out], "gone.txt: "),
        ([str(tmp_path / "empty.txt"), out], "empty.txt: "),
        ([str(tmp_path / "latin.txt"), out], "latin.txt: line 2: "),
        ([str(tmp_path / "t.txt"), out, "--top", "--average"], "--top and --average"),
        ([str(tmp_path / "t.txt"), out, "--rank", "999"], "--rank: found 999"),
        (
            [str(tmp_path / "t.txt"), out, "--options", "o.json"],
            "o.json: ",
        ),
        ([str(tmp_path / "t.txt"), out, "--weights", "w.hdf5"], "--weights requires"),
        ([str(tmp_path / "t.txt"), out, "--state", "carried"], "--state: found 'carried'"),
        ([str(tmp_path / "t.txt"), out, "--precision", "half"], "precision: found 'half'"),
    ):
        assert main(["embed", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not Path(out).exists()


@pytest.mark.slow
def test_primed_state(elmo_files: Files, tmp_path: Path) -> None:
    """In long lines as in short ones."""
    options, weights = elmo_files()
    bilm = Bilm.from_files(options, weights, state="primed")
    embed_file(bilm, {}, _text(tmp_path, LINES), tmp_path / "out.hdf5", EmbedSettings("top", chunk=4))
    _check(tmp_path / "out.hdf5", LINES, bilm, "top")
    elmo = ["--options", str(options), "--weights", str(weights), "--state", "primed", "--top"]
    assert main(["embed", str(tmp_path / "in.txt"), str(tmp_path / "cli.hdf5"), *elmo]) == 0
    _check(tmp_path / "cli.hdf5", LINES, bilm, "top")


MEMORY = """
import resource, sys
from elmo_mf.cli.main import main
for words in ("2000", "20000"):
    assert main(["embed", words + ".txt", words + ".hdf5", *sys.argv[1:]]) == 0
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_a_line(elmo_files: Files, tmp_path: Path) -> None:
    """The longer line's vectors are 31 MB, and more than once that without pieces."""
    options, weights = elmo_files(projection_dim=64)
    for words in (2_000, 20_000):
        (tmp_path / f"{words}.txt").write_text("word " * words)
    command = [sys.executable, "-c", MEMORY, "--options", str(options), "--weights", str(weights)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    shorter, longer = (int(line) for line in done.stdout.splitlines() if line.isdecimal())
    assert longer - shorter < 15_000  # kilobytes
