"""Write the demo business news: `python tasks/ptb/demo/generate.py`.

Short stories of a few sentences, each about one company of one trade, in lower case and without punctuation, with
numbers as `N` and names as `<unk>`. A language model gains by remembering the story, whose trade has words of its own,
and whose profits rise or fall.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

SENTENCES = {"train": 1800, "valid": 250, "test": 250}
SEED = 13

TRADES = {
    "bank": ("loans deposits branches mortgages accounts", "lent borrowed insured refinanced"),
    "mill": ("looms cotton yarn bales cloth", "wove dyed shipped exported"),
    "railway": ("trains bridges tunnels stations carriages", "carried repaired extended electrified"),
    "brewery": ("barrels hops bottles taverns barley", "brewed bottled delivered tasted"),
    "foundry": ("furnaces iron boilers castings rails", "cast forged melted polished"),
    "shipyard": ("hulls cranes docks steamers anchors", "launched painted towed insured"),
}
PLACES = "boston london ohio texas ontario lisbon hamburg genoa".split()
PEOPLE = "president chairman treasurer director founder".split()
FALLS, RISES = "fell dropped slid declined".split(), "rose climbed jumped gained".split()
MEASURES = "shares profits sales earnings orders".split()
REASONS = {
    "rose": ["demand for {things} was strong", "costs of {things} came down", "{place} bought more {things}"],
    "fell": ["demand for {things} was weak", "{things} became dearer", "a strike in {place} stopped the {things}"],
}


class Story:
    """One company's."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.trade = rng.choice(sorted(TRADES))
        things, deeds = TRADES[self.trade]
        self.things, self.deeds = things.split(), deeds.split()
        self.place = rng.choice(PLACES)
        self.rising = rng.random() < 0.5

    def sentences(self) -> Iterator[str]:
        kinds = [self.moved, self.did, self.said, self.plans]
        yield f"the <unk> {self.trade} of {self.place} is one of the oldest in the country"
        for kind in self.rng.sample(kinds, self.rng.randint(2, 4)):
            yield kind()

    def thing(self) -> str:
        return self.rng.choice(self.things)

    def moved(self) -> str:
        verb = self.rng.choice(RISES if self.rising else FALLS)
        reason = self.rng.choice(REASONS["rose" if self.rising else "fell"])
        why = reason.format(things=self.thing(), place=self.place)
        period = self.rng.choice(["last year", "in the third quarter", "since january"])
        return f"its {self.rng.choice(MEASURES)} {verb} N N {period} because {why}"

    def did(self) -> str:
        first, second = self.rng.sample(self.deeds, 2)
        return f"the {self.trade} {first} N {self.thing()} and {second} N more"

    def said(self) -> str:
        mood = "pleased with" if self.rising else "worried about"
        return f"mr. <unk> the {self.trade} 's {self.rng.choice(PEOPLE)} said he was {mood} the {self.thing()}"

    def plans(self) -> str:
        new = self.rng.choice([place for place in PLACES if place != self.place])
        act = "build" if self.rising else "sell"
        return f"next year the company plans to {act} N {self.thing()} in {new} for $ N million"


def main(folder: Path = Path(__file__).parent) -> None:
    for offset, (split, count) in enumerate(SENTENCES.items()):
        rng = random.Random(SEED + offset)
        lines: list[str] = []
        while len(lines) < count:
            lines.extend(Story(rng).sentences())
        text = "".join(f" {line} \n" for line in lines[:count])
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
