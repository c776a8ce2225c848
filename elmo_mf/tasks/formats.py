"""The file formats of the tasks' data: checked, counted, cut to size."""

from __future__ import annotations

import json
import random
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from elmo_mf.errors import InputError, shown
from elmo_mf.io import TextLines as LinesOf
from elmo_mf.io import unique_pairs
from elmo_mf.tasks.examples import Contents, DataFormat, Example, encodable
from elmo_mf.tasks.squad import SquadJson
from elmo_mf.unigram import unigram_perplexity

__all__ = ["FORMATS", "DataFormat", "Example", "majority_accuracy", "random_span_f1", "unigram_chance"]


class _Lines(DataFormat):
    """One example a line."""

    @abstractmethod
    def label(self, line: str) -> str:
        """The label of a line; ValueError says what is wrong with it."""

    def foreign(self, line: str) -> str | None:
        """What a file with such a first line is, if that is known."""
        return None

    @staticmethod
    @abstractmethod
    def takes_blank(line: str) -> bool:
        """Whether AllenNLP's reader takes an empty line, or one of white space."""

    def parse(self, path: Path) -> Contents:
        examples, plain, first = [], True, True
        lines = LinesOf(path, self.expected)
        for line in lines:
            if not line.strip():
                plain = plain and self.takes_blank(line)
                continue
            try:
                label = self.label(line)
            except (ValueError, RecursionError) as error:
                other = self.foreign(line) if first else None
                if other is not None:
                    raise InputError(f"{path}: found {other}, expected {self.expected}") from None
                raise InputError(
                    f"{path}: line {lines.lines}: found {line[:40]!r}, expected {self.expected} ({error})"
                ) from None
            first = False
            if label != "-":  # SNLI's mark for pairs without a majority
                examples.append(Example(label, line))
        return Contents(examples, plain)

    def render(self, examples: Sequence[Example]) -> str:
        return "".join(f"{example.raw}\n" for example in examples)


class PtbTrees(_Lines):
    """Sentiment trees in brackets, each node labelled 0 to 4."""

    expected = "a tree such as (3 (2 It) (3 works)) with labels 0 to 4; elmo-mf fetch data sst gets them"

    def label(self, line: str) -> str:
        from nltk.tree import Tree  # by which AllenNLP reads them

        tree = Tree.fromstring(line)
        for node in tree.subtrees():
            if node.label() not in _SENTIMENTS:
                raise ValueError(f"a node is labelled {node.label()[:20]!r}")
            if not len(node):
                raise ValueError("a node has no words")
        return str(tree.label())

    def foreign(self, line: str) -> str | None:
        if line.startswith(("{", "[")) and '"label"' in line:
            return "Hugging Face's form, sentences with labels in JSON"
        return "a table of sentences and labels" if re.search(r"[,\t][\"']?([0-4]|[a-z]+)[\"']?\s*$", line) else None

    @staticmethod
    def takes_blank(line: str) -> bool:
        return not line


class SnliJsonl(_Lines):
    """SNLI 1.0's JSON lines."""

    expected = "a JSON object with gold_label, sentence1 and sentence2; elmo-mf fetch data snli gets them"

    def label(self, line: str) -> str:
        row = json.loads(line, object_pairs_hook=unique_pairs)
        if not isinstance(row, dict):
            raise ValueError("it is no object")
        for name in ("sentence1", "sentence2"):
            text = row.get(name)
            if not isinstance(text, str) or not text.split() or not encodable(text):
                raise ValueError(f"{name} is {shown(text)[:40]}, not a sentence")
        label = row.get("gold_label")
        if label not in _INFERENCES:
            raise ValueError(f"gold_label is {shown(label)[:40]}, not one of {', '.join(_INFERENCES)}")
        return str(label)

    def foreign(self, line: str) -> str | None:
        if line.startswith(("gold_label\t", "gold_label,")):
            return "SNLI as a table"
        if '"premise"' in line and '"hypothesis"' in line:
            return "Hugging Face's form, with premise, hypothesis and a number as label"
        return None

    @staticmethod
    def takes_blank(line: str) -> bool:
        return False


_SENTIMENTS = ("0", "1", "2", "3", "4")
_INFERENCES = ("entailment", "neutral", "contradiction", "-")


class TextLines(DataFormat):
    """Tokenised text for language models, a sentence a line; an empty line is a sentence without words."""

    expected = "tokenised text, one sentence a line"

    def parse(self, path: Path) -> Contents:
        lines = list(LinesOf(path, self.expected))
        if not any(line.split() for line in lines):
            raise InputError(f"{path}: found no words, expected {self.expected}")
        return Contents([Example("", line) for line in lines], plain=True)

    def render(self, examples: Sequence[Example]) -> str:
        return "".join(f"{example.raw}\n" for example in examples)

    def chosen(self, examples: Sequence[Example], count: int) -> list[Example]:
        """Some on end, from the first one with words on, so that the text stays one."""
        start = next(index for index, example in enumerate(examples) if example.raw.split())
        start = min(start, len(examples) - count)
        return list(examples[start : start + count])


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
