"""Write the demo sentiment trees: `python tasks/sst/demo/generate.py`.

A small grammar of opinions about films, books and plays with a hand-written lexicon. Every node has its class from 0
(very negative) to 4 (very positive), composed from its parts: adverbs strengthen, "not" turns, and the clause after
"but" counts. A third of the adjectives and verbs appear in dev and test only, so that a model must know words that it
was not trained on.
"""

from __future__ import annotations

import random
from pathlib import Path

SIZES = {"train": 900, "dev": 300, "test": 300}
SEED = 13

ADJECTIVES = {
    2: "brilliant superb magnificent wonderful splendid glorious exquisite delightful perfect marvellous".split(),
    1: "pleasant charming clever amusing lively graceful honest tender fresh agreeable witty cheerful".split(),
    0: "long quiet short ordinary modern simple strange serious familiar plain".split(),
    -1: "dull slow clumsy tiresome weak confused cold stale foolish gloomy tedious awkward".split(),
    -2: "dreadful horrible wretched miserable terrible hideous disgusting abominable vile shameful".split(),
}
VERBS = {
    1: "delights charms amuses pleases touches comforts enchants".split(),
    0: "follows describes presents examines considers".split(),
    -1: "wearies disappoints annoys offends tires disgusts bores".split(),
}
WORKS = "film book play story comedy tragedy romance novel drama opera".split()
PARTS = "plot music ending dialogue acting beginning hero heroine scenery language".split()
ADVERBS = ["very", "truly", "remarkably", "thoroughly"]
FRAMES = ["I think", "they say", "it seems", "no one doubts that", "my friends believe"]


class Node:
    """A binary tree with a sentiment from -2 to 2 at each node."""

    def __init__(self, value: int, *children: Node | str) -> None:
        self.value, self.children = max(-2, min(2, value)), children

    def __str__(self) -> str:
        return f"({self.value + 2} {' '.join(map(str, self.children))})"


def word(text: str, value: int = 0) -> Node:
    return Node(value, text)


def phrase(text: str) -> Node:
    """Neutral words, branching to the right."""
    first, _, rest = text.partition(" ")
    return Node(0, word(first), phrase(rest)) if rest else word(first)


class Grammar:
    def __init__(self, rng: random.Random, held_out: bool) -> None:
        self.rng = rng
        self.adjectives = {value: self._known(words, held_out) for value, words in ADJECTIVES.items()}
        self.verbs = {value: self._known(words, held_out) for value, words in VERBS.items()}

    @staticmethod
    def _known(words: list[str], held_out: bool) -> list[str]:
        return words if held_out else words[: (2 * len(words) + 2) // 3]

    def sentence(self) -> Node:
        clause = self.clause(self.rng.choice(WORKS))
        choice = self.rng.random()
        if choice < 0.35:
            other = self.clause(self.rng.choice(PARTS))
            clause = Node(other.value, Node(clause.value, clause, word(",")), Node(other.value, word("but"), other))
        elif choice < 0.5:
            other = self.clause(self.rng.choice(PARTS))
            value = clause.value + other.value
            clause = Node(value, clause, Node(other.value, word("and"), other))
        elif choice < 0.65:
            clause = Node(clause.value, phrase(self.rng.choice(FRAMES)), clause)
        return Node(clause.value, clause, word("."))

    def clause(self, subject: str) -> Node:
        noun = phrase(f"{self.rng.choice(['the', 'this'])} {subject}")
        predicate = self.adjective_phrase() if self.rng.random() < 0.7 else self.verb_phrase()
        return Node(predicate.value, noun, predicate)

    def adjective_phrase(self) -> Node:
        value = self.rng.choice([-2, -1, 0, 1, 2])
        part = word(self.rng.choice(self.adjectives[value]), value)
        choice = self.rng.random()
        if choice < 0.25:
            part = Node(2 * value, word(self.rng.choice(ADVERBS)), part)
        elif choice < 0.5:
            part = Node(-1 if value > 0 else 1 if value < 0 else 0, word("not"), part)
        return Node(part.value, word(self.rng.choice(["is", "was"])), part)

    def verb_phrase(self) -> Node:
        value = self.rng.choice([-1, 0, 1])
        verb = Node(
            value, word(self.rng.choice(self.verbs[value]), value), phrase(self.rng.choice(["us", "the reader"]))
        )
        if self.rng.random() < 0.3:
            return Node(-value, word("never"), verb)
        return verb


def main(folder: Path = Path(__file__).parent) -> None:
    """Write train.txt, dev.txt and test.txt, without a sentence twice."""
    rng = random.Random(SEED)
    seen: set[str] = set()
    for split, size in SIZES.items():
        grammar = Grammar(rng, held_out=split != "train")
        lines: list[str] = []
        while len(lines) < size:
            line = str(grammar.sentence())
            if line not in seen:
                seen.add(line)
                lines.append(line)
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
