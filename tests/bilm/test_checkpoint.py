"""Broken weight files: one line that names file, dataset, found and expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from elmo_mf import Bilm, Compression
from elmo_mf.bilm import BilmOptions, read_weights, write_weights
from elmo_mf.bilm.checkpoint import zero_weights
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.errors import InputError
from elmo_mf.storage.numbers import NumbersFile
from tests.bilm.word_level import write_word_level
from tests.conftest import random_bilm

Files = Callable[..., tuple[Path, Path]]
CELL = "RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell"


def _error(options: Path, weights: Path) -> str:
    with pytest.raises(InputError) as caught:
        Bilm.from_files(options, weights)
    message = str(caught.value)
    assert message.startswith(str(weights)) and "\n" not in message
    assert any(kind in message for kind in (": found ", ": missing, ", "no such ")) and "expected " in message
    return message


def _replace(weights: Path, name: str, array: object) -> None:
    with h5py.File(weights, "a") as file:
        del file[name]
        if array is not None:
            file[name] = array


@pytest.mark.parametrize(
    "name", ["char_embed", "CNN/W_cnn_1", "CNN_high_0/b_carry", "CNN_proj", f"{CELL}/W_P_0", "RNN_1"]
)
def test_missing(elmo_files: Files, name: str) -> None:
    options, weights = elmo_files()
    _replace(weights, name, None)
    message = _error(options, weights)
    assert name in message and "missing" in message


@pytest.mark.parametrize("name", ["char_embed", "CNN/W_cnn_1", "CNN_proj/W_proj", f"{CELL}/W_0", f"{CELL}/B"])
def test_wrong_shape(elmo_files: Files, name: str) -> None:
    options, weights = elmo_files()
    _replace(weights, name, np.zeros((3, 3), np.float32))
    assert f"{name}: found shape (3, 3), expected (" in _error(options, weights)


@pytest.mark.parametrize("trick", ["external link", "soft link", "external storage", "virtual"])
def test_data_that_is_not_in_the_file(elmo_files: Files, tmp_path: Path, trick: str) -> None:
    """What another file of the reader's says is not read."""
    options, weights = elmo_files()
    name, other = f"{CELL}/B", tmp_path / "other.hdf5"
    with h5py.File(other, "w") as file:
        file["B"] = np.zeros(48, np.float32)
    (tmp_path / "raw").write_bytes(bytes(4 * 48))
    with h5py.File(weights, "a") as file:
        if trick == "soft link":
            file.move(name, "elsewhere")
        else:
            del file[name]
        if trick == "external link":
            file[name] = h5py.ExternalLink(str(other), "B")
        elif trick == "soft link":
            file[name] = h5py.SoftLink("/elsewhere")
        elif trick == "external storage":
            file.create_dataset(name, (48,), "f4", external=[(str(tmp_path / "raw"), 0, 4 * 48)])
        else:
            layout = h5py.VirtualLayout((48,), "f4")
            layout[:] = h5py.VirtualSource(str(other), "B", (48,))
            file.create_virtual_dataset(name, layout)
    assert f"{name}: found a dataset without data of its own" in _error(options, weights)


def test_what_is_saved_again_is_the_same(elmo_files: Files, tmp_path: Path) -> None:
    """Also forget biases, to which TensorFlow's 1 is added; a bias that was changed loses no more than rounding."""
    options, weights = elmo_files()
    given = np.random.default_rng(0).normal(size=48).astype(np.float32)
    _replace(weights, f"{CELL}/B", given)
    bilm = Bilm.from_files(options, weights)
    bilm.save(tmp_path / "again")
    with h5py.File(tmp_path / "again" / "weights.hdf5") as file:
        np.testing.assert_array_equal(file[f"{CELL}/B"][()], given)
    for name, parameter in bilm.named_parameters():
        if name.endswith("bias"):
            parameter.data += 0.5
    bilm.save(tmp_path / "changed")
    with h5py.File(tmp_path / "changed" / "weights.hdf5") as file:
        np.testing.assert_allclose(file[f"{CELL}/B"][()], given + 0.5, atol=1e-6)


@pytest.mark.parametrize("token_layer", ["character CNN", "word table"])
def test_zeros_have_the_shapes_of_weights(elmo_files: Files, tmp_path: Path, token_layer: str) -> None:
    if token_layer == "word table":
        folder = write_word_level(tmp_path / "words")
        options_file, weight_file = folder / "options.json", folder / "model.hdf5"
    else:
        options_file, weight_file = elmo_files()
    options = BilmOptions.from_file(options_file)
    zeros, weights = zero_weights(options), read_weights(weight_file, options)
    assert _shapes(zeros) == _shapes(weights)


def _shapes(weights: BilmWeights) -> tuple[dict[str, Any], dict[tuple[int, int], Any]]:
    lstms = {
        key: ({name: matrix.shape for name, matrix in lstm.matrices.items()}, lstm.bias.shape)
        for key, lstm in weights.lstms.items()
    }
    return {name: array.shape for name, array in weights.token_layer.items()}, lstms


def test_more_numbers_than_any_elmo_has(elmo_files: Files, tmp_path: Path) -> None:
    """A factor's rank is open: a small file must not make a large array."""
    options, weights = elmo_files()
    Bilm.from_files(options, weights, Compression(method="svd", rank=2, targets="all")).save(tmp_path / "small")
    small = tmp_path / "small"
    with h5py.File(small / "weights.hdf5", "a") as file:
        name = f"{CELL}/W_P_0_left"
        del file[name]
        file.create_dataset(name, (12, 1 << 26), "f4", chunks=(12, 1024), compression="gzip")[:, :1024] = 1
    message = _error(small / "options.json", small / "weights.hdf5")
    assert f"{name}: found shape (12, 67108864)" in message


def test_a_file_that_has_more_numbers_than_any_elmo(
    elmo_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The softmax of the published ELMo has more; what is stored number by number is read, at whatever size."""
    monkeypatch.setattr("elmo_mf.storage.numbers.MOST_NUMBERS", 100)
    options, weights = elmo_files()
    with h5py.File(weights) as file:
        largest = max(file[name].size for name in (f"{CELL}/W_0", "char_embed", "CNN_high_0/W_carry"))
    assert largest > 100
    Bilm.from_files(options, weights)
    sparse = tmp_path / "sparse.hdf5"
    with h5py.File(sparse, "w") as file:
        file.create_dataset("zeros", (1 << 20,), "f4", chunks=(1 << 10,), compression="gzip")
    with NumbersFile(sparse, "file", "numbers") as numbers, pytest.raises(InputError, match="zeros: found shape"):
        numbers.read("zeros", (1 << 20,))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(elmo_files: Files, value: float) -> None:
    options, weights = elmo_files()
    with h5py.File(weights, "a") as file:
        file[f"{CELL}/W_P_0"][2, 3] = value
    assert f"{CELL}/W_P_0: found 1 values that are NaN or infinite" in _error(options, weights)


@pytest.mark.parametrize("dtype", ["int32", "S4", "float128", "bool", "complex64"])
def test_wrong_dtype(elmo_files: Files, dtype: str) -> None:
    options, weights = elmo_files()
    _replace(weights, f"{CELL}/B", np.zeros(48, dtype))
    assert "expected float16, float32, float64, or int8 with scales" in _error(options, weights)


def test_group_in_place_of_dataset(elmo_files: Files) -> None:
    options, weights = elmo_files()
    _replace(weights, f"{CELL}/B", None)
    with h5py.File(weights, "a") as file:
        file.create_group(f"{CELL}/B")
    assert "found a group" in _error(options, weights)


def test_not_hdf5(elmo_files: Files) -> None:
    options, weights = elmo_files()
    weights.write_bytes(b"not HDF5 at all")
    assert "truncated or not HDF5" in _error(options, weights)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_truncated(elmo_files: Files, share: float) -> None:
    options, weights = elmo_files()
    content = weights.read_bytes()
    weights.write_bytes(content[: int(share * len(content))])
    _error(options, weights)


def test_missing_file(elmo_files: Files, tmp_path: Path) -> None:
    assert "no such weight file" in _error(elmo_files()[0], tmp_path / "gone.hdf5")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_layers": 1}, "Cell1"),
        ({"n_layers": 3}, "Cell2"),
        ({"dim": 13}, "W_0"),
        ({"projection_dim": 5}, "CNN_proj"),
        ({"n_highway": 1}, "CNN_high_1"),
        ({"filters": [[1, 4], [2, 8]]}, "W_cnn_2"),
        ({"embedding": {"dim": 5}}, "char_embed"),
    ],
)
def test_options_of_other_weights(elmo_files: Files, changes: dict[str, object], named: str) -> None:
    _, weights = elmo_files()
    options, _ = elmo_files("other", **changes)
    assert named in _error(options, weights)


@pytest.mark.parametrize(
    ("method", "targets", "granularity", "name", "shape", "expected"),
    [
        ("svd", "joint", "stacked", "W_0_right", (2, 48), "(3, 48)"),
        ("svd", "joint", "gate", "W_0_right", (2, 48), "(3, 48) or (12, 48)"),
        ("svd", "joint", "stacked", "W_0_left", (11, 3), "(12, any)"),
        ("svd", "projection", "stacked", "W_P_0_right", (1, 6), "(3, 6)"),
        ("prune", "input", "stacked", "W_0_input_pruned", (6, 47), "(6, 48)"),
    ],
)
def test_compressed_of_another_shape(
    elmo_files: Files, tmp_path: Path, method: str, targets: str, granularity: str, name: str,
    shape: tuple[int, int], expected: str,
) -> None:  # fmt: skip
    Bilm.from_files(*elmo_files(), Compression(method=method, rank=3, targets=targets, granularity=granularity)).save(
        tmp_path / "own"
    )
    weights = tmp_path / "own" / "weights.hdf5"
    _replace(weights, f"{CELL}/{name}", np.zeros(shape, np.float32))
    message = _error(weights.with_name("options.json"), weights)
    assert f"{name}: found shape {shape}" in message


def test_factors_of_unequal_rank(elmo_files: Files, tmp_path: Path) -> None:
    Bilm.from_files(*elmo_files(), compression=Compression(method="svd", rank=3, targets="input")).save(
        tmp_path / "factored"
    )
    weights = tmp_path / "factored" / "weights.hdf5"
    _replace(weights, f"{CELL}/W_0_input_right", np.zeros((2, 48), np.float32))
    assert "W_0_input_right: found shape (2, 48), expected (3, 48)" in _error(
        weights.with_name("options.json"), weights
    )


def test_both_official_dtypes_load(elmo_files: Files, tmp_path: Path) -> None:
    options, weights = elmo_files()
    with h5py.File(weights, "a") as file:
        float16 = file[f"{CELL}/B"][...].astype(np.float16)
        del file[f"{CELL}/B"]
        file[f"{CELL}/B"] = float16
    np.testing.assert_array_equal(
        Bilm.from_files(options, weights).weights().lstms[0, 1].bias, float16.astype(np.float32)
    )


def test_nothing_is_left_of_a_failed_write(tmp_path: Path) -> None:
    weights = random_bilm().weights()
    weights.lstms[1, 1].bias[0] = 1e6
    (tmp_path / "weights.hdf5").write_text("what was there")
    with pytest.raises(InputError, match="beyond float16's range"):
        write_weights(tmp_path / "weights.hdf5", weights, "float16")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.hdf5"]
    assert (tmp_path / "weights.hdf5").read_text() == "what was there"


@pytest.mark.parametrize(
    "compressed", [{}, {"rank": 3}, {"rank": 3, "targets": "joint"}, {"rank": 3, "method": "prune"}]
)
def test_matrices_in_int8(elmo_files: Files, tmp_path: Path, compressed: dict[str, Any]) -> None:
    """Each number is within half a step of its own, a step being 1/127 of the largest number of its output or rank."""
    compression = Compression(**({"method": "svd", "targets": "all"} | compressed)) if compressed else None
    exact, halves, rounded, again = (tmp_path / name for name in ("exact", "halves", "rounded", "again"))
    bilm = Bilm.from_files(*elmo_files(), compression=compression)
    bilm.save(exact)
    bilm.save(halves, "float16")
    bilm.save(rounded, "int8")
    Bilm.from_files(rounded / "options.json", rounded / "weights.hdf5").save(again, "int8")
    numbers, others, int8, same = (numbers_of(folder / "weights.hdf5") for folder in (exact, halves, rounded, again))
    assert {name for name in int8 if not name.endswith("_scale")} == set(numbers)
    for name, values in numbers.items():
        is_matrix = name.rpartition("/")[2].startswith("W_")
        assert (int8[name].dtype == np.int8) == is_matrix == (f"{name}_scale" in int8)
        if not is_matrix:
            np.testing.assert_array_equal(int8[name], others[name])
            continue
        scale = int8[f"{name}_scale"]
        others_axes = tuple(range(values.ndim - 1))
        np.testing.assert_allclose(scale * 127, np.abs(values).max(axis=others_axes), rtol=1e-6)
        assert np.all(np.abs(int8[name] * scale - values) <= scale * (0.5 + 1e-4))
        np.testing.assert_array_equal(int8[name], same[name])
        np.testing.assert_allclose(scale, same[f"{name}_scale"], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "compressed", [{}, {"rank": 3}, {"rank": 3, "targets": "joint"}, {"rank": 3, "granularity": "gate"}]
)
def test_matrices_in_int4(elmo_files: Files, tmp_path: Path, compressed: dict[str, Any]) -> None:
    """Each number is within half a step of its own, or clipped to 7 steps, the largest being 7 steps of a group."""
    compression = Compression(**({"method": "svd", "targets": "all"} | compressed)) if compressed else None
    exact, int8, rounded, again = (tmp_path / name for name in ("exact", "int8", "rounded", "again"))
    bilm = Bilm.from_files(*elmo_files(dim=70, projection_dim=37), compression=compression)
    bilm.save(exact)
    bilm.save(int8, "int8")
    bilm.save(rounded, "int4")
    Bilm.from_files(rounded / "options.json", rounded / "weights.hdf5").save(again, "int4")
    numbers, eighths, found, same = (numbers_of(one / "weights.hdf5") for one in (exact, int8, rounded, again))
    assert found.keys() == eighths.keys() == same.keys()
    for name, values in found.items():
        np.testing.assert_array_equal(values, same[name])
        if not name.startswith("RNN_") or "LSTMCell/W_" not in name:
            np.testing.assert_array_equal(values, eighths[name])
    for name in numbers:
        if "LSTMCell/W_" in name:
            _check_int4(numbers[name], found[name], found[f"{name}_scale"])
    stored, larger = ((one / "weights.hdf5").stat().st_size for one in (rounded, int8))
    matrices = sum(one.size for name, one in numbers.items() if "LSTMCell/W_" in name)
    assert stored < larger - 0.3 * matrices


def _check_int4(values: np.ndarray, found: np.ndarray, scales: np.ndarray) -> None:
    assert found.dtype == np.int8 and np.abs(found).max() == 7
    assert scales.dtype == np.float16 and scales.shape == (-(-len(values) // 32), values.shape[1])
    for group, scale in enumerate(scales.astype(np.float32)):
        rows = slice(32 * group, 32 * group + 32)
        largest = np.abs(values[rows]).max(axis=0)
        assert np.all((scale <= largest / 7 * 1.001) & (scale >= 0.59 * largest / 7))
        off = np.abs(found[rows] * scale - values[rows])
        assert np.all((off <= scale * (0.5 + 1e-4)) | (np.abs(found[rows]) == 7))
        step = (largest / 7).astype(np.float16).astype(np.float32)
        plain = np.clip(np.rint(values[rows] / step), -7, 7) * step
        errors, plain_errors = (off**2).sum(axis=0), ((plain - values[rows]) ** 2).sum(axis=0)
        assert np.all(errors <= plain_errors * (1 + 1e-4)) and (values.shape[1] < 32 or np.any(errors < plain_errors))


def test_zeros_in_int4(tmp_path: Path) -> None:
    bilm = random_bilm()
    weights = bilm.weights()
    np.asarray(weights.lstms[0, 0].matrices["projection"])[:] = 0
    Bilm(bilm.options, weights).save(tmp_path, "int4")
    read = Bilm.from_files(tmp_path / "options.json", tmp_path / "weights.hdf5").weights()
    assert not np.asarray(read.lstms[0, 0].matrices["projection"]).any()


def numbers_of(weights: Path) -> dict[str, np.ndarray]:
    numbers: dict[str, np.ndarray] = {}
    with h5py.File(weights) as file:
        file.visititems(lambda name, one: numbers.update({name: one[...]}) if isinstance(one, h5py.Dataset) else None)
    return numbers


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (None, "W_P_0_scale: "),
        (np.ones(3, np.float32), "W_P_0_scale: found shape (3,)"),
        (np.full(5, -1, np.float32), "W_P_0_scale: found a negative"),
        (np.full(5, np.nan, np.float32), "W_P_0_scale: found 5 values"),
        (np.ones(5, np.int8), "W_P_0_scale: found dtype int8"),
    ],
)
def test_wrong_scales(tmp_path: Path, scale: np.ndarray | None, message: str) -> None:
    random_bilm(projection_dim=5).save(tmp_path, "int8")
    _replace(tmp_path / "weights.hdf5", f"{CELL}/W_P_0_scale", scale)
    assert message in _error(tmp_path / "options.json", tmp_path / "weights.hdf5")


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (np.ones((1, 4), np.float16), "W_P_0_scale: found shape (1, 4)"),
        (np.ones((2, 5), np.float16), "W_P_0_scale: found shape (2, 5)"),
        (np.full((1, 5), -1, np.float16), "W_P_0_scale: found a negative"),
        (np.ones((1, 1, 5), np.float16), "W_P_0_scale: found shape (1, 1, 5)"),
    ],
)
def test_wrong_scales_of_groups(tmp_path: Path, scale: np.ndarray, message: str) -> None:
    random_bilm(projection_dim=5).save(tmp_path, "int4")
    _replace(tmp_path / "weights.hdf5", f"{CELL}/W_P_0_scale", scale)
    assert message in _error(tmp_path / "options.json", tmp_path / "weights.hdf5")


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_rounded_numbers_have_a_checksum(tmp_path: Path, dtype: str) -> None:
    random_bilm().save(tmp_path, dtype)
    with h5py.File(tmp_path / "weights.hdf5", "a") as file:
        file[f"{CELL}/W_0"][0, 0] ^= 1
    assert "W_0: found numbers that do not match" in _error(tmp_path / "options.json", tmp_path / "weights.hdf5")
