"""The file formats of the tasks' data: checked, counted, cut to size."""

from __future__ import annotations

import json
import random
import re
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError, missing
from elmo_mf.io import atomic_path
from elmo_mf.unigram import unigram_perplexity


@dataclass(frozen=True)
class Example:
    """One unit that a limit counts: its label or answer, and what it takes to write it again."""

    label: str
    raw: Any


class DataFormat(ABC):
    """Reads a data file into examples and writes some of them back in the same form."""

    @abstractmethod
    def parse(self, text: str, path: Path) -> list[Example]:
        """All examples; InputError names the file and line of what is wrong."""

    @abstractmethod
    def render(self, examples: list[Example]) -> str:
        """File content with these examples."""

    def read(self, path: Path) -> list[Example]:
        """All examples of a file.

        # Raises
        InputError: the file is missing, unreadable, empty or not of this format.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise missing(path, "data file", "a split of a task") from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: found something unreadable ({error}), expected UTF-8 text") from None
        examples = self.parse(text, path)
        if not examples:
            raise InputError(f"{path}: found no examples, expected at least one")
        return examples

    def cut(self, source: Path, target: Path, limit: int) -> None:
        """Write `limit` examples of `source` to `target`."""
        examples = self.read(source)
        chosen = self.chosen(examples, min(limit, len(examples)))
        with atomic_path(target) as path:
            path.write_text(self.render(chosen), encoding="utf-8")

    def chosen(self, examples: list[Example], count: int) -> list[Example]:
        """Which of them a limit leaves: some evenly spread."""
        return [examples[index * len(examples) // count] for index in range(count)]


class _Lines(DataFormat):
    @abstractmethod
    def label(self, line: str) -> str | None:
        """The label of a line, None where it is not of the format."""

    expected = ""

    def parse(self, text: str, path: Path) -> list[Example]:
        examples = []
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                label = self.label(line)
                if label is None:
                    raise InputError(f"{path}: line {number}: found {line[:40]!r}, expected {self.expected}")
                if label != "-":  # SNLI's mark for pairs without a majority
                    examples.append(Example(label, line))
        return examples

    def render(self, examples: list[Example]) -> str:
        return "".join(f"{example.raw}\n" for example in examples)


class PtbTrees(_Lines):
    """Sentiment trees in brackets, each node labelled 0 to 4."""

    expected = "a tree such as (3 (2 It) (3 works)) with labels 0 to 4"

    def label(self, line: str) -> str | None:
        line = line.strip()
        closed = line.endswith(")") and line.count("(") == line.count(")")
        labelled = len(re.findall(r"\([0-4] ", line)) == line.count("(")
        return line[1] if line.startswith("(") and closed and labelled else None


class SnliJsonl(_Lines):
    """SNLI 1.0's JSON lines."""

    expected = "a JSON object with gold_label, sentence1 and sentence2"

    def label(self, line: str) -> str | None:
        try:
            row = json.loads(line)
            complete = isinstance(row["sentence1"], str) and isinstance(row["sentence2"], str)
            known = row["gold_label"] in ("entailment", "neutral", "contradiction", "-")
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return row["gold_label"] if complete and known else None


class TextLines(DataFormat):
    """Tokenised text for language models, a sentence a line; an empty line is a sentence without words."""

    def parse(self, text: str, path: Path) -> list[Example]:
        lines = text.removesuffix("\n").split("\n")
        if not any(line.split() for line in lines):
            raise InputError(f"{path}: found no words, expected tokenised text, one sentence a line")
        return [Example("", line) for line in lines]

    def render(self, examples: list[Example]) -> str:
        return "".join(f"{example.raw}\n" for example in examples)

    def chosen(self, examples: list[Example], count: int) -> list[Example]:
        """Some on end, from the first one with words on, so that the text stays one."""
        start = next(index for index, example in enumerate(examples) if example.raw.split())
        start = min(start, len(examples) - count)
        return examples[start : start + count]


class SquadJson(DataFormat):
    """SQuAD 1.1's JSON; an example is a question."""

    def parse(self, text: str, path: Path) -> list[Example]:
        try:
            articles = json.loads(text)["data"]
            return [
                Example(
                    qa["answers"][0]["text"], (article.get("title", ""), paragraph["context"], _checked(qa, paragraph))
                )
                for article in articles
                for paragraph in article["paragraphs"]
                for qa in paragraph["qas"]
            ]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            found = f"{type(error).__name__}: {error}"[:100]
            raise InputError(f"{path}: found something else ({found}), expected SQuAD 1.1 JSON") from None

    def render(self, examples: list[Example]) -> str:
        articles: dict[str, dict[str, list[Any]]] = {}
        for example in examples:
            title, context, qa = example.raw
            articles.setdefault(title, {}).setdefault(context, []).append(qa)
        data = [
            {"title": title, "paragraphs": [{"context": context, "qas": qas} for context, qas in paragraphs.items()]}
            for title, paragraphs in articles.items()
        ]
        return json.dumps({"version": "1.1", "data": data}) + "\n"


def _checked(qa: dict[str, Any], paragraph: dict[str, Any]) -> dict[str, Any]:
    answer = qa["answers"][0]
    start = answer["answer_start"]
    if paragraph["context"][start : start + len(answer["text"])] != answer["text"]:
        raise ValueError(f"answer_start of {qa['id']} does not point at its text")
    return qa


FORMATS: dict[str, DataFormat] = {
    "ptb-trees": PtbTrees(),
    "snli-jsonl": SnliJsonl(),
    "squad-json": SquadJson(),
    "text-lines": TextLines(),
}


def majority_accuracy(train: list[Example], scored: list[Example]) -> float:
    """Accuracy on `scored` of always answering the most frequent label of `train`."""
    label = Counter(example.label for example in train).most_common(1)[0][0]
    return sum(example.label == label for example in scored) / len(scored)


def random_span_f1(train: list[Example], scored: list[Example]) -> float:
    """F1 on `scored` of one random span of each passage, as long in words as the mean answer of `train`."""
    from allennlp_models.rc.metrics import SquadEmAndF1

    rng = random.Random(0)
    length = max(1, round(sum(len(example.label.split()) for example in train) / len(train)))
    metric = SquadEmAndF1()
    for example in scored:
        _, context, qa = example.raw
        words = context.split()
        start = rng.randrange(max(1, len(words) - length + 1))
        metric(" ".join(words[start : start + length]), [answer["text"] for answer in qa["answers"]])
    return float(metric.get_metric()[1])


def unigram_chance(train: list[Example], scored: list[Example]) -> float:
    """Perplexity of `scored` when each word and each line's end is predicted by its frequency in `train`, plus one;
    words that `train` lacks count as `<unk>`."""
    words = _words(train)
    known = {*words, "<unk>"}
    return unigram_perplexity(words, (word if word in known else "<unk>" for word in _words(scored)), len(known))


def _words(lines: list[Example]) -> list[str]:
    return [word for line in lines for word in (*line.raw.split(), "<eos>")]
