"""Write the demo paragraphs and questions: `python tasks/squad/demo/generate.py`.

Short lives of invented people, told by a grammar with a hand-written lexicon, one a paragraph, in mixed order;
questions paraphrase the text, each about another sentence.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

SIZES = {"train": 160, "dev": 40}  # paragraphs
PER_ARTICLE = 10
SEED = 13

FIRST = {
    "he": "Thomas Edward Henry George Walter Arthur Robert Philip Hugh Oliver Simon Martin".split(),
    "she": "Mary Alice Emma Helen Clara Julia Agnes Rose Martha Lucy Ruth Edith".split(),
}
LAST = "Holt Marsh Denby Carver Wells Thorne Lacey Frost Barlow Quill Harker Penrose Ashby Crane Dale Morrow".split()
TOWNS = "Denham Oakley Westbury Marlow Kirkby Thornton Ashford Selby Brampton Halton Norwood Langley".split()
TRADES = "miller baker teacher doctor tailor printer sailor weaver painter farmer lawyer carpenter".split()
THINGS = ["a silver watch", "an old violin", "a white horse", "a map of the islands", "a box of letters", "a gold ring",
          "a book of songs", "a small boat", "a painted clock", "a black dog"]  # fmt: skip
RELATIVES = ["his uncle", "his grandmother", "an old friend", "a rich merchant", "the village priest", "a stranger"]
REASONS = ["the harvest had failed", "the river had flooded the town", "the war had begun", "the mill had burned down",
           "the winter was too cold", "the school had been closed"]  # fmt: skip
FEATURES = [
    "its stone bridge",
    "its cattle market",
    "its old church",
    "its red apples",
    "its glass windows",
    "its bells",
]

Fact = tuple[str, list[tuple[str, str]]]  # a sentence, and (question, answer) pairs


class Person:
    """An invented life, told fact by fact."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.pronoun = rng.choice(["he", "she"])
        self.name = f"{rng.choice(FIRST[self.pronoun])} {rng.choice(LAST)}"
        self.born = rng.randint(1720, 1880)
        self.town, self.other_town = rng.sample(TOWNS, 2)
        self.trade = rng.choice(TRADES)

    def facts(self) -> list[Fact]:
        tellers: list[Callable[[], Fact]] = [self.work, self.gift, self.move, self.fame, self.marriage]
        return [teller() for teller in self.rng.sample([self.birth, *tellers], 4)]

    def birth(self) -> Fact:
        questions = [
            (f"In which year was {self.name} born?", str(self.born)),
            (f"Where was {self.name} born?", self.town),
            (f"What is the birthplace of {self.name}?", self.town),
        ]
        return f"{self.name} was born in {self.town} in {self.born}.", questions

    def work(self) -> Fact:
        years = self.rng.randint(3, 40)
        sentence = f"For {years} years {self.name} worked as a {self.trade}."
        return sentence, [
            (f"What was the trade of {self.name}?", self.trade),
            (f"How many years did {self.name} spend as a {self.trade}?", str(years)),
        ]

    def gift(self) -> Fact:
        thing, giver = self.rng.choice(THINGS), self.rng.choice(RELATIVES)
        giver = giver.replace("his", "her") if self.pronoun == "she" else giver
        return f"{self.name} was given {thing} by {giver}.", [
            (f"What did {self.name} receive?", thing),
            (f"Who gave {self.name} {thing}?", giver),
        ]

    def move(self) -> Fact:
        year, reason = self.born + self.rng.randint(15, 40), self.rng.choice(REASONS)
        return f"In {year} {self.name} moved to {self.other_town} because {reason}.", [
            (f"When did {self.name} go to live in {self.other_town}?", str(year)),
            (f"Why did {self.name} leave for {self.other_town}?", reason),
            (f"To which town did {self.name} move?", self.other_town),
        ]

    def fame(self) -> Fact:
        feature = self.rng.choice(FEATURES)
        return f"{self.name} often wrote of {self.town}, which was known for {feature}.", [
            (f"What was {self.town} famous for?", feature),
            (f"Which town did {self.name} write about?", self.town),
        ]

    def marriage(self) -> Fact:
        spouse = f"{self.rng.choice(FIRST['she' if self.pronoun == 'he' else 'he'])} {self.rng.choice(LAST)}"
        year = self.born + self.rng.randint(20, 35)
        return f"The wedding of {self.name} and {spouse} took place in {year}.", [
            (f"Whom did {self.name} marry?", spouse),
            (f"In what year did {self.name} marry?", str(year)),
        ]


def paragraph(rng: random.Random, title: str) -> dict[str, object]:
    """One life, with a question for each sentence in SQuAD's form."""
    facts = Person(rng).facts()
    context = " ".join(sentence for sentence, _ in facts)
    asked = []
    for sentence, questions in facts:
        question, answer = rng.choice(questions)
        start = context.index(sentence) + sentence.index(answer)
        asked.append((question, answer, start))
    rows = [
        {"id": f"{title}-{index}", "question": question, "answers": [{"text": answer, "answer_start": start}]}
        for index, (question, answer, start) in enumerate(asked)
    ]
    return {"context": context, "qas": rows}


def main(folder: Path = Path(__file__).parent) -> None:
    """Write train.json and dev.json."""
    rng = random.Random(SEED)
    for split, size in SIZES.items():
        paragraphs = [paragraph(rng, f"demo-{split}-{index}") for index in range(size)]
        parts = [paragraphs[start : start + PER_ARTICLE] for start in range(0, size, PER_ARTICLE)]
        articles = [{"title": f"demo {split} {number}", "paragraphs": part} for number, part in enumerate(parts)]
        data = {"version": "1.1", "data": articles}
        (folder / f"{split}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
