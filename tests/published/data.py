"""A few examples in each format that AllenNLP's published configs with ELMo read, made up for these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SENTENCES = (
    [("John", "NNP", "(TOP(S(NP*)", "(PERSON)", "(ARG0*)", "(0)"),
     ("saw", "VBD", "(VP*", "*", "(V*)", "-"),
     ("Mary", "NNP", "(NP*))", "(PERSON)", "(ARG1*)", "(1)"),
     (".", ".", "*))", "*", "*", "-")],
    [("She", "PRP", "(TOP(S(NP*)", "*", "(ARG0*)", "(1)"),
     ("likes", "VBZ", "(VP*", "*", "(V*)", "-"),
     ("New", "NNP", "(NP*", "(GPE*", "(ARG1*", "-"),
     ("York", "NNP", "*))", "*)", "*)", "-"),
     (".", ".", "*))", "*", "*", "-")],
    [("He", "PRP", "(TOP(S(NP*)", "*", "(ARG0*)", "(0)"),
     ("sat", "VBD", "(VP*)", "*", "(V*)", "-"),
     (".", ".", "*))", "*", "*", "-")],
)  # fmt: skip
PAIRS = (("A cat sat .", "A cat moved .", "neutral"), ("John sat .", "Nobody sat .", "contradiction"))
CONTEXT = "John saw Mary in New York . She likes it . CANNOTANSWER"
VERBS = ["saw", "likes", "sat"]


def write(folder: Path) -> None:
    """All files."""
    (folder / "ontonotes").mkdir(parents=True)
    (folder / "ontonotes" / "a.gold_conll").write_text(_ontonotes(), encoding="utf-8")
    files = {
        "conll2003.txt": _conll2003(), "trees.txt": _trees(), "sst.txt": _sst(), "snli.jsonl": _snli(),
        "squad.json": _squad(), "quac.json": quac(), "dependencies.conllu": _dependencies(),
        "vectors.txt": "".join(f"{word} 0.1 0.2 -0.3 0.4\n" for word in ("john", "John", "saw", "film", ".")),
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _ontonotes() -> str:
    rows = ["#begin document (made/up); part 000"]
    for sentence in SENTENCES:
        for index, (word, tag, parse, entity, argument, mention) in enumerate(sentence):
            verb = [word, "01"] if argument == "(V*)" else ["-", "-"]
            columns = ["made/up", "0", index, word, tag, parse, *verb, "-", "speaker", entity, argument, mention]
            rows.append("   ".join(map(str, columns)))
        rows.append("")
    return "\n".join([*rows, "#end document", ""])


def _conll2003() -> str:
    entities = {"(PERSON)": "I-PER", "(GPE*": "I-LOC", "*)": "I-LOC"}
    sentences = [
        "\n".join(f"{word} {tag} I-NP {entities.get(entity, 'O')}" for word, tag, _, entity, *_ in sentence)
        for sentence in SENTENCES
    ]
    return "-DOCSTART- -X- O O\n\n" + "\n\n".join(sentences) + "\n"


def _trees() -> str:
    lines = []
    for sentence in SENTENCES:
        parts = (parse.replace("*", f"({tag} {word})") for word, tag, parse, *_ in sentence)
        lines.append(" ".join(parts))
    return "\n".join(lines) + "\n"


def _sst() -> str:
    return "(3 (2 A) (4 (3 good) (2 film)))\n(0 (1 (2 A) (0 bad)) (2 film))\n(2 (1 Not) (3 (4 very) (2 new)))\n"


def _snli() -> str:
    rows = ({"sentence1": a, "sentence2": b, "gold_label": label} for a, b, label in PAIRS)
    return "".join(
        json.dumps(row) + "\n" for row in (*rows, {"sentence1": "A .", "sentence2": "A .", "gold_label": "entailment"})
    )


def _answer(text: str) -> dict[str, Any]:
    return {"text": text, "answer_start": CONTEXT.index(text)}


def _squad() -> str:
    questions = [
        {"id": f"q{index}", "question": question, "answers": [_answer(answer)] * 3}
        for index, (question, answer) in enumerate([("Who saw Mary ?", "John"), ("Where ?", "New York")])
    ]
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": questions}]}]})


def quac() -> str:
    """One dialogue."""
    sentences = [
        ("Who saw Mary ?", "John", "x", "m"),
        ("Does she like it ?", "She likes it", "y", "n"),
        ("Is it new ?", "New York", "n", "y"),
        ("Why ?", "CANNOTANSWER", "x", "y"),
    ]
    questions = [
        {"id": f"d_q#{index}", "question": question, "yesno": yesno, "followup": followup,
         "answers": [_answer(answer)], "orig_answer": _answer(answer)}
        for index, (question, answer, yesno, followup) in enumerate(sentences)
    ]  # fmt: skip
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "id": "d", "qas": questions}]}]})


def _dependencies() -> str:
    sentences = []
    for sentence in SENTENCES:
        rows = []
        for index, (word, tag, *_) in enumerate(sentence, 1):
            head, relation = (0, "root") if word in VERBS else (2, "punct" if word == "." else "nsubj")
            rows.append("\t".join(map(str, [index, word, word, tag, tag, "_", head, relation, "_", "_"])))
        sentences.append("\n".join(rows) + "\n")
    return "\n".join(sentences) + "\n"
