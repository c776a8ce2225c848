"""Stored activations equal the encoder's and are computed once per sentence."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.encoder import Activations, Bilm
from elmo_mf.errors import InputError
from elmo_mf.plugin.activation_cache import ActivationCache, sentence_key, split_sentences
from elmo_mf.tasks._stored_activations import StoredActivations, write_activations
from tests.conftest import random_bilm
from tests.fuzz import mutated_bytes

SENTENCES = [["one"], ["a", "longer", "one", "here"], [], ["one"], ["two", "words"]]


class _Counting:
    """A biLM that records its inputs."""

    def __init__(self, bilm: Bilm) -> None:
        self.bilm, self.options, self.output_dim, self.device = bilm, bilm.options, bilm.output_dim, bilm.device
        self.check_ids = bilm.check_ids
        self.ran: list[bytes] = []

    def __call__(self, ids: torch.Tensor) -> Activations:
        self.ran += [sentence_key(sentence) for sentence in split_sentences(ids)]
        return self.bilm(ids)  # type: ignore[no-any-return]


def _batches() -> list[torch.Tensor]:
    return [batch_to_ids(SENTENCES[:3]), batch_to_ids(SENTENCES[3:])]


@pytest.mark.parametrize("chunk", [1, 1000])
def test_written_once_and_read(chunk: int, tmp_path: Path) -> None:
    bilm = random_bilm()
    counting = _Counting(bilm)
    write_activations(tmp_path, counting, _batches(), lambda _: True, chunk_size=chunk)  # type: ignore[arg-type]
    assert len(counting.ran) == len(set(counting.ran)) == 4
    stored = StoredActivations(tmp_path, 3, bilm.output_dim)
    assert set(stored) == set(counting.ran)

    counting.ran.clear()
    cache = ActivationCache(0, stored)
    for ids in _batches():
        actual, expected = cache(counting, ids), bilm(ids)  # type: ignore[arg-type]
        assert torch.equal(actual.mask, expected.mask)
        torch.testing.assert_close(actual.layers, expected.layers, rtol=0, atol=1e-6)
    assert counting.ran == []


@pytest.mark.parametrize("room", [0, 1])
def test_what_does_not_fit_is_computed(room: int, tmp_path: Path) -> None:
    bilm, asked = random_bilm(), list[int]()

    def has_room(needed: int) -> bool:
        asked.append(needed)
        return len(asked) <= room

    write_activations(tmp_path, bilm, _batches(), has_room, chunk_size=1)
    stored = StoredActivations(tmp_path, 3, bilm.output_dim)
    assert len(stored) == (3 if room else 0) and asked[0] == (3 + 6 + 2) * 3 * bilm.output_dim * 4
    assert (tmp_path / "vectors").stat().st_size == (asked[0] if room else 0)
    ids = _batches()[1]
    torch.testing.assert_close(ActivationCache(0, stored)(bilm, ids).layers, bilm(ids).layers, rtol=0, atol=1e-6)


def test_it_rests_between_batches(tmp_path: Path) -> None:
    rests: list[int] = []
    write_activations(tmp_path, random_bilm(), _batches(), lambda _: True, lambda: rests.append(1))
    assert rests


def test_mutated_files_read_or_are_refused(tmp_path: Path) -> None:
    """Damage is detected or harmless even if the folder's list has the hashes of the damaged files."""
    bilm, chance, counts = random_bilm(), random.Random(0), Counter[str]()
    write_activations(tmp_path, bilm, _batches(), lambda _: True)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path in list(before) * 150:
        for other, content in before.items():
            other.write_bytes(mutated_bytes(content, chance) if other == path else content)
        try:
            for vectors in StoredActivations(tmp_path, 3, bilm.output_dim).values():
                assert vectors.shape[0] == 3 and vectors.shape[2] == bilm.output_dim
            counts["read"] += 1
        except InputError as error:
            assert "\n" not in str(error)
            counts["refused"] += 1
    assert min(counts["read"], counts["refused"]) > 30
