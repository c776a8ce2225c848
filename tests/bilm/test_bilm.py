"""What the encoder promises beyond AllenNLP's numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elmo_mf import Bilm, Compression
from elmo_mf.bilm import BilmOptions, Factors, read_weights
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.encoder import StatePolicy
from elmo_mf.bilm.runtime import Precision, supports
from elmo_mf.compression import compress
from elmo_mf.compression.calibration import CALIBRATION_TEXT, calibration_sentences
from elmo_mf.errors import InputError
from elmo_mf.resources import demo_options, demo_weights
from tests.conftest import random_bilm

SENTENCES = [["The", "cat", "sat", "on", "it", "."], ["Yes"], ["A", "dog"]]
word = st.text("abcé", min_size=1, max_size=8)
Files = Callable[..., tuple[Path, Path]]


def test_embed_shapes() -> None:
    bilm = random_bilm()
    vectors = bilm.embed(SENTENCES)
    assert [array.shape for array in vectors] == [(3, 6, 12), (3, 1, 12), (3, 2, 12)]
    assert all(array.dtype == np.float32 for array in vectors)
    assert bilm.embed([]) == []
    assert bilm.embed([[]])[0].shape == (3, 0, 12)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(word, max_size=7), min_size=1, max_size=5), st.integers(1, 3))
def test_zero_state_means_no_neighbours(sentences: list[list[str]], batch_size: int) -> None:
    bilm = random_bilm(scale=2.0)
    together = bilm.embed(sentences, batch_size)
    for sentence, vectors in zip(sentences, together, strict=True):
        np.testing.assert_allclose(vectors, bilm.embed([sentence])[0], atol=1e-6)


@pytest.mark.parametrize("state", ["zero", "carried"])
def test_padding_beyond_the_longest_sentence_changes_nothing(state: StatePolicy) -> None:
    bilm = random_bilm()
    ids = batch_to_ids(SENTENCES)
    wide = torch.cat([ids, ids.new_zeros(3, 4, ids.shape[2])], dim=1)
    narrow, padded = (Bilm(bilm.options, bilm.weights(), state) for _ in range(2))
    for _ in range(2):
        expected, actual = narrow(ids), padded(wide)
        torch.testing.assert_close(actual.layers[:, :, :-4], expected.layers)
        assert torch.equal(actual.mask[:, :-4], expected.mask)
        assert not actual.layers[:, :, -4:].any() and not actual.mask[:, -4:].any()


def test_carried_state_depends_on_order_until_reset() -> None:
    bilm = random_bilm()
    carried = Bilm(bilm.options, bilm.weights(), "carried")
    first, second = carried.embed(SENTENCES[:1])[0], carried.embed(SENTENCES[:1])[0]
    assert np.abs(first[1:] - second[1:]).max() > 1e-3
    carried.reset_state()
    np.testing.assert_array_equal(carried.embed(SENTENCES[:1])[0], first)


def test_without_skip_connections() -> None:
    with_skips, without = random_bilm(), random_bilm(use_skip_connections=False)
    a, b = with_skips.embed(SENTENCES)[0], without.embed(SENTENCES)[0]
    np.testing.assert_allclose(a[2], b[2] + b[1], atol=1e-6)


def test_no_clip() -> None:
    clipped, free = random_bilm(scale=6, proj_clip=0.1), random_bilm(scale=6, proj_clip=None, cell_clip=None)
    assert np.abs(clipped.embed(SENTENCES)[0][1]).max() <= 0.1 + 1e-6
    assert np.abs(free.embed(SENTENCES)[0][1]).max() > 0.1


@pytest.mark.parametrize("directions", ["all", "forward"])
def test_factors_give_the_vectors_of_the_rebuilt_matrices(directions: str) -> None:
    dense = random_bilm()
    compression = Compression(method="svd", rank=2, targets=["input", "recurrent", "projection"], directions=directions)
    weights = compress(dense.weights(), dense.options, compression)
    rebuilt = weights
    for key, lstm in weights.lstms.items():
        for target, matrix in lstm.matrices.items():
            if isinstance(matrix, Factors):
                lstm = lstm.with_matrix(target, matrix.left @ matrix.right)
        rebuilt.lstms[key] = lstm
    rebuilt_vectors = Bilm(dense.options, rebuilt).embed(SENTENCES)[0]
    vectors = Bilm(dense.options, compress(dense.weights(), dense.options, compression)).embed(SENTENCES)[0]
    np.testing.assert_allclose(vectors, rebuilt_vectors, atol=1e-6)
    assert np.abs(vectors[1:] - dense.embed(SENTENCES)[0][1:]).max() > 1e-3


@pytest.mark.parametrize("targets", [None, "input", "recurrent", "projection", "input+recurrent", "all"])
def test_save_and_load(elmo_files: Files, tmp_path: Path, targets: str | None) -> None:
    compression = None if targets is None else Compression(method="svd", rank=2, targets=targets, layers=[1])
    bilm = Bilm.from_files(*elmo_files(), compression=compression)
    bilm.save(tmp_path / "again")
    again = Bilm.from_files(tmp_path / "again" / "options.json", tmp_path / "again" / "weights.hdf5")
    for name, value in bilm.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-7, rtol=0)
    np.testing.assert_allclose(again.embed(SENTENCES)[0], bilm.embed(SENTENCES)[0], atol=1e-6)


def test_factors_are_loaded_not_made_again(elmo_files: Files, tmp_path: Path) -> None:
    Bilm.from_files(*elmo_files(), compression=Compression(method="svd", rank=3, targets="input")).save(
        tmp_path / "factored"
    )
    options = BilmOptions.from_file(tmp_path / "factored" / "options.json")
    weights = read_weights(tmp_path / "factored" / "weights.hdf5", options)
    matrix = weights.lstms[0, 0].matrices["input"]
    assert isinstance(matrix, Factors) and matrix.rank == 3
    assert options.extra["elmo_mf"]["compressions"][0]["rank"] == 3


def test_float16_is_close(elmo_files: Files, tmp_path: Path) -> None:
    bilm = Bilm.from_files(*elmo_files())
    bilm.save(tmp_path / "half", "float16")
    float16 = Bilm.from_files(tmp_path / "half" / "options.json", tmp_path / "half" / "weights.hdf5")
    np.testing.assert_allclose(float16.embed(SENTENCES)[0], bilm.embed(SENTENCES)[0], atol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "bound"), [("bfloat16", 0.005), ("int8", 0.01)])
@pytest.mark.parametrize("compression", [None, Compression(method="svd", rank=16, targets="all")])
def test_less_precise_weights_of_a_trained_elmo(
    precision: Precision, bound: float, compression: Compression | None
) -> None:
    if not supports(precision):
        pytest.skip(f"needs a processor with {precision} products")
    sentences = calibration_sentences(CALIBRATION_TEXT)[:40]
    files = demo_options(), demo_weights()
    exact, close = (
        np.concatenate(Bilm.from_files(*files, compression, precision=p).embed(sentences), axis=1)
        for p in ("float32", precision)
    )
    differences = np.linalg.norm(close - exact, axis=(1, 2)) / np.linalg.norm(exact, axis=(1, 2))
    assert (differences > 1e-4).all() and (differences < bound).all()


def test_unknown_state(elmo_files: Files) -> None:
    with pytest.raises(InputError, match="state: found 'warm'"):
        Bilm.from_files(*elmo_files(), state="warm")  # type: ignore[arg-type]


def test_wrong_number_of_characters() -> None:
    with pytest.raises(ValueError, match="found 20 characters per token"):
        random_bilm()(torch.ones(1, 2, 20, dtype=torch.long))
