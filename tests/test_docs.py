"""What README and docs tell people to type: Python runs, configs evaluate, and commands are such as there are."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from elmo_mf.cli.main import command_line, main
from elmo_mf.compression import read_compression
from elmo_mf.pretrain.word_softmax import word_softmax, write_softmax
from elmo_mf.tasks import TaskConfig, task_names
from elmo_mf.tasks._jsonnet import evaluate_jsonnet, override
from tests.conftest import ROOT, documented_method, random_bilm, write_reviews

PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def _blocks(language: str) -> list[tuple[str, str]]:
    """Page and content of each code block."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        (page, block) for page in sorted(PAGES) for block in fence.findall((ROOT / page).read_text(encoding="utf-8"))
    ]


_FOLDERS = ("docs", "elmo_mf", "jsonnet", "leaderboard", "tasks", "tests", "weights")


def _project_files() -> list[tuple[str, str]]:
    """Page and path of each file or folder of this project that a page names in backticks."""
    names = []
    for page in sorted(PAGES):
        text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for name in re.findall(r"`([\w./-]+)`", text):
            in_folder = name.startswith(tuple(f"{folder}/" for folder in _FOLDERS)) and "NAME" not in name
            is_readers = name.startswith("my_")  # of the reader
            if in_folder or (name.endswith(".py") and not is_readers) or name.startswith("requirements"):
                names.append((page, name))
        modules = re.findall(r"`python -m ([\w.]+)", text)
        names += [(page, f"{module.replace('.', '/')}.py") for module in modules]
    return names


def _exists(name: str) -> bool:
    """Whether a path below the project's folder exists; one of a Python file may be given by its end."""
    if (ROOT / name).exists():
        return True
    return name.endswith(".py") and any(any((ROOT / folder).rglob(name)) for folder in ("elmo_mf", "tests"))


def _commands(program: str) -> list[tuple[str, list[str]]]:
    """Page and words of each call of a program, in blocks and in the text."""
    commands = []
    for page in sorted(PAGES):
        text = (ROOT / page).read_text(encoding="utf-8")
        lines = [
            line
            for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
            for line in block.splitlines()
        ]
        for line in lines:
            for part in re.split(r"&&|;", line):
                words = shlex.split(part, comments=True)
                if words and words[0] == program:
                    commands.append((page, words[1:]))
    return commands


def _examples() -> list[tuple[str, list[str]]]:
    """Name and words of each example in the help of a command."""
    return [
        (f"{name} --help", shlex.split(line)[1:])
        for name, command in command_line().commands.items()
        for line in map(str.strip, command.help.splitlines())
        if line.startswith("elmo-mf ")
    ]


def _id(value: object) -> str:
    return " ".join(value)[:60] if isinstance(value, list) else str(value)[:40]


@pytest.mark.parametrize(("page", "words"), [*_commands("elmo-mf"), *_examples()], ids=_id)
def test_commands_are_such_as_there_are(page: str, words: list[str]) -> None:
    """Subcommand, options and kinds of values."""
    group = command_line()
    context = group.make_context("elmo-mf", list(words), resilient_parsing=False)
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None, name
    command.make_context(str(name), rest, parent=context)


def test_commands_that_are_not() -> None:
    """So that the test above can fail, and looks at something."""
    assert len(_commands("elmo-mf")) > 15 and len(_examples()) > 50
    for line in ("sweeep", "sweep --rank 4", "pretrain --out x", "compress a b --out c --dense yes no"):
        with pytest.raises(Exception, match=r"(?i)no such|missing|unexpected"):
            test_commands_are_such_as_there_are("", line.split())


@pytest.mark.parametrize(("page", "name"), _project_files(), ids=_id)
def test_files_that_pages_name_exist(page: str, name: str) -> None:
    assert _exists(name), f"{page} names {name}"


def test_files_that_do_not_exist() -> None:
    assert len(_project_files()) > 40
    for name in ("elmo_mf/bilm/graphs.py", "bilm/cell.py", "missing.py", "docs/missing.py", "tests/missing"):
        assert not _exists(name)


_NEEDS_MORE = {
    "--serve": "goes on until it is stopped",
    "--fetch": "the network",
    "fetch": "the network",
    "--ray": "a cluster",
    "accelerate": "a trained model; its own tests run it",
    "convert": "models of other programs; its own tests run it",
    "elmo/options.json": "what convert would have written",
    "dutch": "what convert would have written",
    "hf://user/small-elmo": "the network",
    "hf://user/small-elmo@rank-64": "the network",
    "bench": "minutes",
    "paper": "the published weights",
}
_HELP = "compare compress embed explain gradients inspect leaderboard perplexity recommend sweep tasks"
_RUN = [
    *(f"docs/{name}.md" for name in ("how-to", "encoder", "factorization", "language-models", "sweeps")),
    *(f"{name} --help" for name in _HELP.split()),
]
_PUBLISHED = ("leaderboard leaderboard", "explain leaderboard", "recommend leaderboard")
"""Commands that have a test, and write where they read."""


def _runnable(page: str) -> list[list[str]]:
    """What a page has to type, sweeps as far as what they would run."""
    commands = []
    for words in (words for place, words in [*_commands("elmo-mf"), *_examples()] if place == page):
        if _NEEDS_MORE.keys() & set(words) or " ".join(words).startswith(_PUBLISHED):
            continue
        if words[0] == "sweep" and not {"--dry-run", "--status", "--retime"} & set(words):
            words = [*words, "--dry-run"]
        if words[0] == "upload" and "--dry-run" not in words:
            words = [*words, "--dry-run"]
        if "--distill" in words:
            words = [*words, "--distill-steps", "2"]
        if words[0] == "gradients":
            words = [*words, "--limit", "8"]
        if words[0] == "pretrain":
            words = [*words, "--epochs", "1"]
        commands.append([word.replace("$name", "probes") for word in words])
    return commands


def _write_language_model(folder: Path) -> None:
    """Write an ELMo with a softmax, smaller than those of a clone, of which the pages ask for 320 cells at most."""
    random_bilm(dim=352, projection_dim=64).save(folder)
    words = ["<S>", "</S>", "<UNK>", "a", "few", "words"]
    (folder / "vocabulary.txt").write_text("\n".join(words) + "\n")
    softmax = word_softmax("full", 64, len(words))
    write_softmax(folder / "softmax.hdf5", softmax, "full", 64, len(words), "float32")


@pytest.fixture
def place(tmp_path: Path, elmo_files: Callable[..., tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the pages assume it: an ELMo, texts, data and sweeps."""
    # accepts no rank that weights/base would reject: narrower, with fewer cells
    files = elmo_files(dim=136, projection_dim=72, filters=[[1, 60], [2, 60]])
    shutil.make_archive(str(tmp_path / "norwegian"), "zip", files[0].parent)
    for file in files:
        file.rename(tmp_path / file.name)
    for name in ("jsonnet", "tasks"):
        (tmp_path / name).symlink_to(ROOT / name)
    _write_language_model(tmp_path / "weights" / "base")
    (tmp_path / "data").mkdir()
    for task in task_names():
        (tmp_path / "data" / task).symlink_to(ROOT / "tasks" / task / "demo")
    (tmp_path / "data" / "words").mkdir()
    with gzip.open(tmp_path / "data" / "words" / "glove.6B.100d.txt.gz", "wt") as vectors:
        vectors.write(f"a{' 0.5' * 100}\n")
    (tmp_path / "seqvec").symlink_to(tmp_path / "weights" / "base")
    for name in ("sentences", "text", "train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_text("a few words that come again\nand again and again\n" * 40)
    write_reviews(tmp_path / "my-reviews")
    (tmp_path / "my_methods.py").write_text(documented_method())
    (tmp_path / "vocab.txt").write_text("<S>\n</S>\n<UNK>\na\nfew\nwords\n")
    (tmp_path / "proteins.fasta").write_text(">one\nMKV\n>two\nSEQ\n")
    for name, seed in {"mine": 1, "other": 2, "demo": 3, "before": 1, "after": 2, "why": 3}.items():
        (tmp_path / "runs" / name / "records").mkdir(parents=True)
        for method in ("dense", "svd"):
            for path in (ROOT / "leaderboard" / "records").glob(f"ptb-{method}-*seed-{seed}-*.json"):
                shutil.copy(path, tmp_path / "runs" / name / "records")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_included", "few_calibration_words")
@pytest.mark.parametrize("page", _RUN)
def test_commands_run(page: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One after the other: some need what others wrote. The tutorial's have a test of their own."""
    if page in ("gradients --help", "perplexity --help"):  # which need a softmax; docs/encoder.md pretrains it
        (place / "my-elmo").symlink_to(place / "weights" / "base")
        for file in (place / "weights" / "base").iterdir():
            (place / file.name).unlink(missing_ok=True)
            (place / file.name).symlink_to(file)
    for words in _runnable(page):
        if words[-2:] == ["--out", "small"]:
            shutil.rmtree(place / "small", ignore_errors=True)
        (place / "vectors.hdf5").unlink(missing_ok=True)
        assert main(words) == 0, (words, capfd.readouterr().err)


@pytest.mark.parametrize(("page", "words"), _commands("allennlp"), ids=_id)
def test_configs_that_are_trained(page: str, words: list[str]) -> None:
    assert words[0] == "train"
    config = evaluate_jsonnet(ROOT / words[1])
    if "-o" in words:
        changes = json.loads(words[words.index("-o") + 1])
        changed = override(config, changes, page)
        assert changed != config
        for key, value in changes.items():
            if key.endswith("compression"):
                read_compression(value)


_STANDALONE = [(page, block) for page, block in _blocks("python") if page != "docs/tutorial.md"]  # which has its test


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), _STANDALONE, ids=_id)
def test_python_runs(
    page: str, block: str, elmo_files: Callable[..., tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside an ELMo in options.json and weights.hdf5."""
    options, _ = elmo_files(dim=160, projection_dim=128)  # rank 64 is below break-even
    monkeypatch.chdir(options.parent)
    if "@register" in block:  # in a process of its own, where no other test meets the new name
        subprocess.run([sys.executable, "-c", block], check=True)
    else:
        exec(block, {})


_CARDS = [(page, block) for page, block in _blocks("toml") if "entry-points" not in block]


@pytest.mark.parametrize(("page", "block"), _CARDS, ids=_id)
def test_cards_are_cards(page: str, block: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks" / "mine" / "task.toml"
    path.parent.mkdir(parents=True)
    path.write_text(block)
    assert TaskConfig.from_file(path).name == "mine" and len(block.splitlines()) < 20


def _after(diff: str) -> str:
    """Return what a diff makes of a file."""
    return "".join(line[1:] for line in diff.splitlines(keepends=True) if not line.startswith("-"))


@pytest.mark.parametrize(
    ("page", "block"), [*_blocks("jsonnet"), *((page, _after(block)) for page, block in _blocks("diff"))], ids=_id
)
def test_jsonnet_evaluates(page: str, block: str, tmp_path: Path) -> None:
    (tmp_path / "block.jsonnet").write_text(block if block.lstrip().startswith("{") else f"{{ {block} }}")
    value = evaluate_jsonnet(tmp_path / "block.jsonnet")
    for embedder in value.get("token_embedders", {}).values():
        read_compression(embedder["compression"])
