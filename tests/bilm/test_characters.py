"""Character ids against AllenNLP's."""

from __future__ import annotations

import torch
from allennlp.modules.elmo import batch_to_ids as theirs
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.bilm.characters import batch_to_ids

word = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(st.lists(st.lists(word, min_size=1, max_size=4), min_size=1, max_size=4))
def test_ids(sentences: list[list[str]]) -> None:
    assert torch.equal(batch_to_ids(sentences), theirs(sentences))


def test_no_sentences() -> None:
    assert batch_to_ids([]).shape == (0, 0, 50)
