"""Train the models of `docs/acceleration/`: AllenNLP's own classes with its own ELMo, as their owners have them.

From the project's root: `python -m docs.acceleration.train DATA GLOVE OUT [MODEL ...]`, where DATA has folders `sst`,
`snli`, `squad` and `wikitext2` in their published formats. OUT gets the models and their data.
With `--random original`, a model is trained on one batch with an ELMo of random weights of the original size, for its
times.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from allennlp.commands.train import train_model
from allennlp.common import Params
from allennlp.common.plugins import import_plugins

from elmo_mf.bench import published_options
from elmo_mf.bilm import Bilm
from elmo_mf.bilm.initialization import random_weights
from elmo_mf.tasks import load_task
from elmo_mf.tasks._jsonnet import evaluate_jsonnet

ROOT = Path(__file__).parents[2]
EXAMPLES = {"sst": 8544, "snli": 8000, "squad": 1500, "tagger": 8000}
EPOCHS = {"sst": 3, "snli": 2, "squad": 2, "tagger": 3}
_EVALUATED = 1500  # examples of development and test data at most
_TAGGED = {"train": "train.txt", "dev": "valid.txt", "test": "test.txt"}  # our file, that of WikiText-2


def main() -> None:
    """Train the models that are named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("glove", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="*", choices=[*EXAMPLES, []])
    parser.add_argument("--random", metavar="SIZE", help="random weights of this size, as in elmo-mf bench")
    options = parser.parse_args()
    import_plugins()
    for model in options.models or EXAMPLES:
        out = options.out / model
        arguments = {"data": str(out / "data"), "glove_file": str(options.glove)}
        if options.random:
            arguments |= _random_elmo(options.random, out / "elmo")
        _cut(model, options.data, out / "data", *((32, 32) if options.random else (EXAMPLES[model], _EVALUATED)))
        values = {name: json.dumps(value) for name, value in arguments.items()}
        config = evaluate_jsonnet(ROOT / "jsonnet" / "stock" / f"{model}.jsonnet", values)
        config["trainer"]["num_epochs"] = 1 if options.random else EPOCHS[model]
        train_model(Params(config), str(out / "model"), force=True)


def _random_elmo(size: str, folder: Path) -> dict[str, Any]:
    options = published_options(size)
    Bilm(options, random_weights(options, 0)).save(folder)
    files = {"options_file": str(folder / "options.json"), "weight_file": str(folder / "weights.hdf5")}
    return files | {"elmo_dim": options.output_dim}


def _cut(model: str, data: Path, out: Path, examples: int, evaluated: int) -> None:
    """Write a model's data: at most so many examples to train on, and in each other split."""
    out.mkdir(parents=True, exist_ok=True)
    if model == "tagger":
        for ours, theirs in _TAGGED.items():
            lines = itertools.islice(
                tagged_sentences(data / "wikitext2" / theirs), examples if ours == "train" else evaluated
            )
            (out / f"{ours}.txt").write_text("".join(lines), encoding="utf-8")
    else:
        task = load_task(model)
        for split, file in task.files.items():
            task.format.cut(data / model / file, out / file, examples if split == "train" else evaluated)


def tagged_sentences(path: Path) -> Iterator[str]:
    """Yield sentences without capital letters, in which the runs of words that had one are tagged as names."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" = "):  # a heading
            continue
        for sentence in line.split(" . "):
            words = sentence.split()
            names = [word[0].isupper() and word.isalpha() for word in words]
            if 5 <= len(words) <= 60:
                names[0] &= names[1]  # the first word has a capital letter anyway
                tags = [
                    "O" if not name else "I-NAME" if i and names[i - 1] else "B-NAME" for i, name in enumerate(names)
                ]
                pairs = (f"{word.lower()}###{tag}" for word, tag in zip(words, tags, strict=True))
                yield " ".join(pairs) + "\n"


if __name__ == "__main__":
    main()
