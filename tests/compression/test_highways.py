"""The character CNN's highway layers as factors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from elmo_mf import Bilm, Compression
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.weights import BilmWeights, Factors, highway_matrices, to_dense
from elmo_mf.compression import (
    check_compression,
    compress,
    compress_elmo,
    compression_report,
    read_compression,
    size_report,
)
from elmo_mf.compression.calibration import CALIBRATION_TEXT, calibration_sentences, highway_input_covariances
from elmo_mf.compression.recovery import distill
from elmo_mf.errors import InputError
from elmo_mf.records.compression import Distillation
from elmo_mf.records.labels import compression_label, targets_label
from tests.conftest import random_bilm, stages_call

Files = Callable[..., tuple[Path, Path]]
DENSE = random_bilm()  # two highway layers of 17 filters: 34 x 17 each
WEIGHTS, OPTIONS = DENSE.weights(), DENSE.options
SENTENCES = [["The", "cat", "sat"], ["on", "antidisestablishmentarianism", "é漢", "."]]


def _compressed(highway_rank: int) -> Bilm:
    return Bilm(
        OPTIONS, compress(WEIGHTS, OPTIONS, Compression(method="svd", rank=2, targets="all", highway_rank=highway_rank))
    ).eval()


def _alone(weights: BilmWeights, rank: int) -> BilmWeights:
    return compress(
        weights, OPTIONS, Compression(method="whitened_svd", targets=[], highway_rank=rank, allow_larger=True)
    )


def _inputs_of_each_highway() -> list[Tensor]:
    """Inputs of each highway layer, token by token, with gradients enabled."""
    seen: list[list[Tensor]] = [[], []]
    handles = [
        layer.register_forward_pre_hook(lambda _, arguments, vectors=vectors: vectors.append(arguments[0].detach()[0]))
        for layer, vectors in zip(DENSE.char_cnn.highways, seen, strict=True)
    ]
    for sentence in calibration_sentences(CALIBRATION_TEXT):
        for ids in batch_to_ids([sentence])[0]:
            DENSE.char_cnn(ids[None])
    for handle in handles:
        handle.remove()
    return [torch.stack(vectors).double() for vectors in seen]


@pytest.mark.slow
def test_all_that_calibration_reads_is_counted() -> None:
    covariances = highway_input_covariances(WEIGHTS, OPTIONS, CALIBRATION_TEXT)
    for covariance, inputs in zip(covariances, _inputs_of_each_highway(), strict=True):
        expected = inputs.T @ inputs / len(inputs)
        np.testing.assert_allclose(covariance, expected.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 4, 11])
def test_no_other_factors_are_nearer_on_real_inputs(rank: int) -> None:
    """The least error of a rank is in the singular values of W X^T, for inputs X (Eckart and Young)."""
    factored = _alone(WEIGHTS, rank)
    for layer, inputs in enumerate(_inputs_of_each_highway()):
        matrix, factors = (
            to_dense(highway_matrices(w.token_layer)[layer]).astype(np.float64) for w in (WEIGHTS, factored)
        )
        error = np.linalg.norm((matrix - factors) @ inputs.numpy().T)
        least = np.linalg.norm(np.linalg.svd(matrix @ inputs.numpy().T, compute_uv=False)[rank:])
        assert least <= error <= 1.02 * least  # the ridge moves it a little
        assert np.linalg.matrix_rank(factors, tol=1e-4) == rank


def test_of_full_rank_nothing_changes() -> None:
    factored = Bilm(OPTIONS, _alone(WEIGHTS, 17)).eval()
    assert all(isinstance(layer, nn.Sequential) for layer in factored.char_cnn.highways)
    for actual, dense in zip(factored.embed(SENTENCES), DENSE.embed(SENTENCES), strict=True):
        np.testing.assert_allclose(actual, dense, atol=1e-5)


def test_inference_is_as_training() -> None:
    cnn, ids = _compressed(3).char_cnn, batch_to_ids(SENTENCES)[0]
    trained = cnn(ids)
    trained.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in cnn.parameters())
    with torch.inference_mode():
        torch.testing.assert_close(cnn(ids), trained.detach(), atol=1e-6, rtol=1e-6)
        before = cnn(ids)
        cnn.get_parameter("highways.1.0.weight").mul_(2)
        assert (cnn(ids) - before).abs().max() > 1e-3


def test_kept_as_they_are(tmp_path: Path) -> None:
    bilm = _compressed(3)
    bilm.save(tmp_path)
    again = Bilm.from_files(tmp_path / "options.json", tmp_path / "weights.hdf5")
    for first, second in zip(bilm.embed(SENTENCES), again.embed(SENTENCES), strict=True):
        assert np.array_equal(first, second)
    with h5py.File(tmp_path / "weights.hdf5") as file:
        assert set(file["CNN_high_1"]) == {"W_left", "W_right", "b_carry", "b_transform"}
        assert file["CNN_high_1/W_left"].shape == (17, 3) and file["CNN_high_1/W_right"].shape == (3, 34)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("W_right", None, "CNN_high_0/W_right: "),
        ("W_right", (4, 34), "CNN_high_0/W_right: found shape (4, 34)"),
        ("W_left", (16, 3), "CNN_high_0/W_left: found shape (16, 3)"),
        ("b_carry", None, "CNN_high_0/b_carry: "),
    ],
)
def test_broken_files(name: str, shape: tuple[int, int] | None, message: str, tmp_path: Path) -> None:
    _compressed(3).save(tmp_path)
    with h5py.File(tmp_path / "weights.hdf5", "a") as file:
        del file[f"CNN_high_0/{name}"]
        if shape is not None:
            file[f"CNN_high_0/{name}"] = np.zeros(shape, np.float32)
    with pytest.raises(InputError) as caught:
        Bilm.from_files(tmp_path / "options.json", tmp_path / "weights.hdf5")
    assert message in str(caught.value)


def test_size() -> None:
    dense, compressed = size_report(WEIGHTS, OPTIONS), size_report(_compressed(3).weights(), OPTIONS)
    saved = 2 * (34 * 17 - 3 * (34 + 17))
    assert compressed.around_saved == saved and dense.around_saved == 0
    assert dense.around_parameters - compressed.around_parameters == saved
    assert dense.around_multiply_adds - compressed.around_multiply_adds == saved
    assert compressed.encoder_ratio == pytest.approx(dense.encoder_parameters / compressed.encoder_parameters)


@pytest.mark.slow
def test_a_report_reads_its_text_once(tmp_path: Path) -> None:
    """Inputs that a compression has computed are used, unless they are those of another text."""
    compressed = compress_elmo(
        WEIGHTS, OPTIONS, Compression(method="whitened_svd", rank=2, targets="all", highway_rank=3)
    )
    assert compressed.inputs is not None
    expected = compression_report(WEIGHTS, compressed.weights, OPTIONS)
    stages: list[str] = []
    with stages_call(begun=stages.append):
        report = compression_report(WEIGHTS, compressed.weights, OPTIONS, inputs=compressed.inputs)
    assert report == expected and not {"input covariances", "inputs of highway layers"} & set(stages)
    (tmp_path / "other.txt").write_text("another text\n")
    other = compression_report(WEIGHTS, compressed.weights, OPTIONS, tmp_path / "other.txt", inputs=compressed.inputs)
    assert other.matrices[0].factorization.input_error != report.matrices[0].factorization.input_error


@pytest.mark.slow
def test_report() -> None:
    compression = Compression(method="svd", rank=2, targets="input", highway_rank=3)
    report = compression_report(WEIGHTS, compress(WEIGHTS, OPTIONS, compression), OPTIONS)
    assert [row.layer for row in report.highways] == [0, 1]
    for row in report.highways:
        factorization = row.factorization
        assert factorization.shape == (34, 17) and factorization.rank == 3 and factorization.parameters == 3 * (34 + 17)
        assert 0 < factorization.input_error < factorization.error < 1
    fewer = compression_report(
        WEIGHTS, compress(WEIGHTS, OPTIONS, Compression(method="svd", rank=2, targets="input")), OPTIONS
    )
    assert fewer.highways == ()
    assert report.predicted_speed_up.encoder > fewer.predicted_speed_up.encoder
    assert report.activation_error.overall > fewer.activation_error.overall


@pytest.mark.parametrize(
    "before", [WEIGHTS, compress(WEIGHTS, OPTIONS, Compression(method="svd", rank=2, targets="all"))]
)
def test_alone(before: BilmWeights) -> None:
    """The biLSTM stays unchanged, dense or factored."""
    compressed = compress(before, OPTIONS, Compression(method="whitened_svd", targets=[], highway_rank=3))
    for key, lstm in before.lstms.items():
        for target, matrix in lstm.matrices.items():
            assert compressed.lstms[key].matrices[target] is matrix
    assert [isinstance(matrix, Factors) and matrix.rank for matrix in highway_matrices(compressed.token_layer)] == [
        3,
        3,
    ]
    report = compression_report(before, compressed, OPTIONS)
    assert report.matrices == () and len(report.highways) == 2
    assert report.activation_error.overall > 0


def test_how_alone_is_said() -> None:
    one = read_compression({"highway_rank": 3})
    assert one == Compression(method="whitened_svd", targets=(), highway_rank=3) == read_compression(one.to_dict())
    assert compression_label(one) == "highways 3" and targets_label(one) == "none" and not one.only_lstm_factors


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"method": "svd"}, "compression.method: found 'svd'"),
        ({"layers": [0]}, "compression.layers: found (0,)"),
        ({"granularity": "gate"}, "compression.granularity: found 'gate'"),
        ({"settings": {"ridge": 0.1}}, "compression.settings: found {'ridge': 0.1}"),
        ({"rank": 2}, "compression.rank: found 2"),
        ({"budget": {"share": 0.1}}, "compression.budget: found share"),
        ({"gradients": "g"}, "compression.gradients: found 'g'"),
        ({"highway_rank": None}, "compression.targets: "),
        ({"highway_rank": 0}, "compression.highway_rank: found 0"),
    ],
)
def test_what_is_refused_alone(keys: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_compression({"method": "whitened_svd", "rank": None, "targets": [], "highway_rank": 3} | keys)
    assert message in str(caught.value)


def test_a_primed_state_is_not_kept() -> None:
    primed = Bilm(OPTIONS, WEIGHTS, "primed").weights()
    assert all(lstm.primed is not None for lstm in primed.lstms.values())
    assert all(lstm.primed is None for lstm in _alone(primed, 3).lstms.values())


@pytest.mark.slow
def test_distillation_is_on_words_of_its_own() -> None:
    """The student reads its own highway layers' vectors, and makes up for part of their error."""
    factored = _alone(WEIGHTS, 1)
    distilled = distill(WEIGHTS, factored, OPTIONS, Distillation(text=str(CALIBRATION_TEXT), steps=40))
    assert distilled.before > 0.001 and distilled.after < 0.9 * distilled.before
    assert isinstance(highway_matrices(distilled.weights.token_layer)[0], Factors)


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        (0, "compression.highway_rank: found 0"),
        (2.5, "compression.highway_rank: found 2.5"),
        ("budget", "compression.highway_rank: found 'budget'"),
        ("half", "compression.highway_rank: found 'half'"),
        (18, "compression.highway_rank: found 18"),
        (12, "highway_rank: found 12"),
    ],
)
def test_ranks_that_are_refused(rank: int | str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_compression(
            WEIGHTS, read_compression({"method": "svd", "rank": 2, "targets": "all", "highway_rank": rank})
        )
    assert message in str(caught.value)


def test_where_there_is_nothing_to_factorize() -> None:
    compression = Compression(method="svd", rank=2, targets="input", highway_rank=3)
    with pytest.raises(InputError, match="highway_rank: found 3"):
        check_compression(random_bilm(n_highway=0).weights(), compression)
    twice = replace(_compressed(3).weights(), lstms=WEIGHTS.lstms)
    with pytest.raises(InputError, match=r"highway layer 0 .*rank 3"):
        check_compression(twice, compression)
    with pytest.raises(InputError, match=r"highway_rank: .*language model"):
        check_compression(WEIGHTS, compression, language_model=True)
    within = Compression(method="svd", targets="all", budget={"share": 0.5}, highway_rank="budget")
    with pytest.raises(InputError, match="highway_rank: found budget"):
        check_compression(random_bilm(n_highway=0).weights(), within)
    with pytest.raises(InputError, match=r"highway layer 0 .*rank 3"):
        check_compression(twice, within)


def test_a_larger_rank_where_it_is_asked_for() -> None:
    larger = compress(
        WEIGHTS, OPTIONS, Compression(method="svd", rank=2, targets="all", allow_larger=True, highway_rank=12)
    )
    assert size_report(larger, OPTIONS).around_saved < 0
