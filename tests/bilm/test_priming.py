"""The state policy `primed`: one fixed state, the same after saving and loading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from elmo_mf import Bilm, Compression
from elmo_mf.bilm import _priming
from elmo_mf.bilm.checkpoint import read_weights, write_weights
from elmo_mf.bilm.chunks import embed_in_chunks
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.errors import InputError
from tests.conftest import random_bilm

SENTENCES = [["The", "cat", "sat", "on", "it", "."], ["Yes"], ["A", "dog"]]
Files = Callable[..., tuple[Path, Path]]


def _primed(**changes: object) -> Bilm:
    plain = random_bilm(**changes)  # type: ignore[arg-type]
    return Bilm(plain.options, plain.weights(), "primed").eval()


def test_equals_a_carried_state_that_read_the_text() -> None:
    primed, carried = _primed(), random_bilm()
    carried = Bilm(carried.options, carried.weights(), "carried")
    for sentence in _priming.priming_sentences():
        carried.embed([sentence])
    np.testing.assert_allclose(primed.embed(SENTENCES[:1])[0], carried.embed(SENTENCES[:1])[0], atol=1e-6)


def test_is_not_zero_and_depends_on_no_neighbour() -> None:
    primed, zero = _primed(), random_bilm()
    together = primed.embed(SENTENCES)
    for sentence, vectors in zip(SENTENCES, together, strict=True):
        np.testing.assert_allclose(primed.embed([sentence])[0], vectors, atol=1e-6)
        assert np.abs(vectors[1:] - zero.embed([sentence])[0][1:]).max() > 1e-3


def test_is_stored_and_read_back(tmp_path: Path) -> None:
    bilm = _primed()
    for key, value in bilm.state_dict().items():
        if "primed" in key:
            value.mul_(0.5)  # not what reading the text again would give
    bilm.save(tmp_path)
    files = tmp_path / "options.json", tmp_path / "weights.hdf5"
    again = Bilm.from_files(*files, state="primed")
    for key, value in bilm.state_dict().items():
        if "primed" in key:
            assert torch.equal(again.state_dict()[key], value)
    np.testing.assert_allclose(again.embed(SENTENCES)[0], bilm.embed(SENTENCES)[0], atol=1e-6)
    plain = Bilm.from_files(*files).embed(SENTENCES)[0]
    np.testing.assert_allclose(plain, random_bilm().embed(SENTENCES)[0], atol=1e-6)


def test_allennlp_reads_a_checkpoint_that_has_it(tmp_path: Path) -> None:
    from allennlp.modules.elmo import _ElmoBiLm

    _primed().save(tmp_path)
    _ElmoBiLm(str(tmp_path / "options.json"), str(tmp_path / "weights.hdf5"))


@pytest.mark.slow
def test_other_weights_reach_another_state(elmo_files: Files, tmp_path: Path) -> None:
    Bilm.from_files(*elmo_files(), state="primed").save(tmp_path / "primed")
    files = tmp_path / "primed" / "options.json", tmp_path / "primed" / "weights.hdf5"
    compression = Compression(method="svd", rank=2, targets="all", layers=[1])
    primed = Bilm.from_files(*files, compression, "primed")
    expected = Bilm.from_files(*elmo_files(), compression, "primed")
    torch.testing.assert_close(primed.state_dict()["_primed_h"], expected.state_dict()["_primed_h"])


def test_part_of_a_state_is_none(tmp_path: Path) -> None:
    bilm = _primed()
    lstms = bilm.weights().lstms
    lstms[1, 1] = lstms[1, 1].with_matrix("input", lstms[1, 1].matrices["input"])
    again = Bilm(bilm.options, BilmWeights(bilm.weights().token_layer, lstms), "primed")
    torch.testing.assert_close(again.state_dict(), bilm.state_dict())


def test_a_state_of_the_wrong_shape(tmp_path: Path) -> None:
    bilm = _primed()
    weights = bilm.weights()
    lstm = weights.lstms[0, 1]
    assert lstm.primed is not None
    object.__setattr__(lstm, "primed", (lstm.primed[0][:-1], lstm.primed[1]))
    write_weights(tmp_path / "w.hdf5", weights)
    with pytest.raises(InputError, match=r"Cell1/LSTMCell/primed_h: found shape \(5,\)"):
        read_weights(tmp_path / "w.hdf5", bilm.options)


def test_in_pieces() -> None:
    bilm = _primed()
    sentence = "a bb ccc dd e".split()
    whole = bilm.embed([sentence])[0]
    for start, direction, vectors in embed_in_chunks(bilm, sentence, 2):
        columns = slice(6 * direction, 6 * direction + 6)
        np.testing.assert_allclose(vectors, whole[:, start : start + vectors.shape[1], columns], atol=1e-6)
