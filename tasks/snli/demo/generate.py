"""Write the demo sentence pairs: `python tasks/snli/demo/generate.py`.

Scenes of who does what to what and where, with a hand-written lexicon. The hypothesis changes one part of the scene:
to something wider (entailment), to something that excludes it (contradiction), or it adds what the premise does not say
(neutral). A third of the actors, things and places appear in dev and test only.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

SIZES = {"train": 1200, "dev": 300, "test": 300}
SEED = 13

ACTORS = {
    "man": "soldier farmer king sailor priest gentleman uncle duke".split(),
    "woman": "queen nurse lady widow princess aunt countess maid".split(),
    "child": "boy girl baby pupil orphan schoolboy".split(),
    "animal": "dog horse cat lion wolf sheep fox cow".split(),
}
THINGS = {
    "food": "bread soup meat cheese fruit cake".split(),
    "drink": "wine water tea milk coffee beer".split(),
    "garment": "coat hat dress cloak shirt gown".split(),
    "weapon": "sword gun knife pistol rifle spear".split(),
}
VERBS = {
    "food": ["eating", "carrying", "buying"],
    "drink": ["drinking", "carrying", "selling"],
    "garment": ["wearing", "washing", "buying"],
    "weapon": ["holding", "cleaning", "hiding"],
}
PLACES = {
    "building": "house church castle hotel palace school".split(),
    "water": "river lake sea pond harbour ocean".split(),
    "open land": "field forest garden meadow valley desert".split(),
}
MANNERS = ["slowly", "quietly", "with a smile", "in silence", "with great care"]
ADDITIONS = [
    "for the first time", "because of the rain", "for a friend", "before breakfast", "to please a stranger",
    "after a long journey", "out of habit", "on the advice of a doctor",
]  # fmt: skip
VAGUE = {"building": "indoors", "water": "near water", "open land": "outdoors"}
IDLE = ["sleeping", "dead", "alone in an empty room", "far from here"]


class Scene:
    """One situation; `held_out` allows the words that training does not have."""

    def __init__(self, rng: random.Random, held_out: bool) -> None:
        self.rng, self.held_out = rng, held_out
        self.actor_kind, self.actor = self._pick(ACTORS)
        self.thing_kind, self.thing = self._pick(THINGS)
        self.place_kind, self.place = self._pick(PLACES)
        self.verb = rng.choice(VERBS[self.thing_kind])
        self.manner = rng.choice(["", *MANNERS])

    def _pick(self, lexicon: dict[str, list[str]]) -> tuple[str, str]:
        kind = self.rng.choice(list(lexicon))
        words = lexicon[kind]
        return kind, self.rng.choice(words if self.held_out else words[: (2 * len(words) + 2) // 3])

    def premise(self) -> str:
        return self._sentence(self.actor, self.verb, self.thing, f"near the {self.place}", self.manner)

    @staticmethod
    def _sentence(actor: str, verb: str, thing: str, *rest: str) -> str:
        article = "An" if actor[0] in "aeiou" else "A"
        return " ".join([article, actor, "is", verb, "the", thing, *(part for part in rest if part)]) + " ."

    def entailed(self) -> str:
        actor = self.rng.choice([self.actor, self.actor_kind, "creature"])
        thing = self.rng.choice([self.thing, self.thing_kind])
        where = self.rng.choice(["", "", VAGUE[self.place_kind], f"near the {self.place}"])
        if actor == self.actor and thing == self.thing and where == f"near the {self.place}":
            actor = self.actor_kind
        return self._sentence(actor, self.verb, thing, where)

    def neutral(self) -> str:
        actor = self.rng.choice([self.actor, self.actor_kind])
        return self._sentence(
            actor, self.verb, self.rng.choice([self.thing, self.thing_kind]), self.rng.choice(ADDITIONS)
        )

    def contradicted(self) -> str:
        part = self.rng.randrange(4)
        if part == 0:
            kind = self.rng.choice([kind for kind in ACTORS if kind != self.actor_kind])
            return self._sentence(self.rng.choice([kind, ACTORS[kind][0]]), self.verb, self.thing)
        if part == 1:
            other = self.rng.choice([kind for kind in THINGS if kind != self.thing_kind])
            return self._sentence(self.actor, self.rng.choice(["carrying", self.verb]), THINGS[other][0])
        if part == 2:
            kind = self.rng.choice([kind for kind in PLACES if kind != self.place_kind])
            return self._sentence(self.actor, self.verb, self.thing, f"in the {PLACES[kind][0]}, {VAGUE[kind]}")
        article = "An" if self.actor[0] in "aeiou" else "A"
        return f"{article} {self.rng.choice([self.actor, self.actor_kind])} is {self.rng.choice(IDLE)} ."


def main(folder: Path = Path(__file__).parent) -> None:
    """Write train.jsonl, dev.jsonl and test.jsonl with the three labels in equal parts."""
    rng = random.Random(SEED)
    seen: set[tuple[str, str]] = set()
    for split, size in SIZES.items():
        rows: list[dict[str, object]] = []
        while len(rows) < size:
            label = ("entailment", "neutral", "contradiction")[len(rows) % 3]
            scene = Scene(rng, held_out=split != "train")
            pair = (
                scene.premise(),
                getattr(scene, {"entailment": "entailed", "contradiction": "contradicted"}.get(label, label))(),
            )
            if pair in seen or pair[0] == pair[1]:
                continue
            seen.add(pair)
            name = f"demo-{split}-{len(rows)}"
            rows.append(
                {
                    "gold_label": label,
                    "annotator_labels": [label],
                    "pairID": name,
                    "sentence1": pair[0],
                    "sentence2": pair[1],
                }
            )
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
