"""Write the demo encyclopedia: `python tasks/wikitext2/demo/generate.py`.

Articles with a heading, sections and paragraphs between empty lines, tokenised, with names as `<unk>`. An article is
about one animal, whose name, home and habits come again, so that a language model gains by remembering what it read.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

ARTICLES = {"train": 150, "valid": 20, "test": 20}
SEED = 13

ANIMALS = "heron badger otter lizard falcon tortoise beetle salmon squirrel raven".split()
COLOURS = "grey spotted golden striped crested northern".split()
HOMES = {
    "rivers": ("fish and frogs", "reeds", "banks"),
    "forests": ("nuts and berries", "moss", "trees"),
    "deserts": ("seeds and insects", "sand", "dunes"),
    "mountains": ("roots and mice", "stones", "cliffs"),
    "meadows": ("worms and grain", "grass", "hedges"),
}
SEASONS = "spring summer autumn winter".split()
NUMBERS = "two three four five six".split()


class Article:
    """About one animal."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.name = f"{rng.choice(COLOURS)} {rng.choice(ANIMALS)}"
        self.home = rng.choice(sorted(HOMES))
        self.food, self.bed, self.place = HOMES[self.home]
        self.season = rng.choice(SEASONS)

    def lines(self) -> Iterator[str]:
        yield from ("", f"= {self.name.title()} =", "", self.introduction(), "")
        for heading, paragraph in (("Description", self.description), ("Habits", self.habits), ("Young", self.young)):
            if self.rng.random() < 0.8:
                yield from (f"= = {heading} = =", "", paragraph(), "")

    def introduction(self) -> str:
        return (
            f"The {self.name} is an animal of the {self.home} . It was first described by <unk> in the year "
            f"{self.rng.randint(1758, 1765)} , and lives among the {self.place} ."
        )

    def description(self) -> str:
        part = self.rng.choice(["head", "back", "tail"])
        return (
            f"The {self.name} is about {self.rng.choice(NUMBERS)} <unk> long . Its {part} is darker than the rest of "
            f"its body , so that it is hard to see among the {self.place} ."
        )

    def habits(self) -> str:
        more = f"In {self.season} it eats more than in any other season ." if self.rng.random() < 0.5 else ""
        return f"It feeds on {self.food} , which it finds near the {self.place} of the {self.home} . {more}".strip()

    def young(self) -> str:
        return (
            f"In {self.season} the female builds a nest of {self.bed} among the {self.place} and raises "
            f"{self.rng.choice(NUMBERS)} young , which both parents feed with {self.food} ."
        )


def main(folder: Path = Path(__file__).parent) -> None:
    for offset, (split, count) in enumerate(ARTICLES.items()):
        rng = random.Random(SEED + offset)
        lines = [f" {line} \n" if line else " \n" for _ in range(count) for line in Article(rng).lines()]
        (folder / f"{split}.txt").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
