"""Checkpoints that bilm-tf and AllenNLP take, though ours are written otherwise, against AllenNLP's own encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from allennlp.modules.elmo import _ElmoBiLm, batch_to_ids

from elmo_mf import Bilm, Compression
from elmo_mf.cli.main import main
from elmo_mf.compression import method_named, method_names
from elmo_mf.compression.calibration import RowWeights, write_row_weights
from elmo_mf.errors import InputError
from tests.conftest import random_bilm

Files = tuple[Path, Path]
SENTENCES = [["The", "cat", "sat", "."], ["Yes"], [], ["A", "longer", "sentence", "with", "words", "é漢"]]
CELLS = [f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell" for direction in (0, 1) for layer in (0, 1)]
EVEN: dict[str, Any] = {"dim": 16, "projection_dim": 16, "filters": [[1, 6], [3, 10]], "proj_clip": 0.2}


def _saved(folder: Path, **changes: Any) -> Files:
    random_bilm(**changes).save(folder)
    return folder / "options.json", folder / "weights.hdf5"


def _theirs(files: Files) -> list[torch.Tensor]:
    with torch.no_grad():
        activations: list[torch.Tensor] = _ElmoBiLm(*map(str, files))(batch_to_ids(SENTENCES))["activations"]
    return activations


def _check(bilm: Bilm, expected: list[torch.Tensor], atol: float = 1e-5) -> None:
    with torch.no_grad():
        actual = bilm(batch_to_ids(SENTENCES)).layers
    for layer, vectors in zip(actual, expected, strict=True):
        torch.testing.assert_close(layer, vectors, atol=atol, rtol=0)


def _set_options(options: Path, change: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads(options.read_text())
    change(raw)
    options.write_text(json.dumps(raw))


@pytest.fixture
def without_projections(tmp_path: Path) -> tuple[Files, list[torch.Tensor]]:
    """As bilm-tf writes it where all widths are the same; and what AllenNLP gives with identity matrices for what is
    missing, and without the clip that TensorFlow's LSTM has for projected states only."""
    files = _saved(tmp_path / "even", **EVEN)
    options, weights = _saved(tmp_path / "identity", **EVEN)
    _set_options(options, lambda raw: raw["lstm"].update(proj_clip=None))
    with h5py.File(files[1], "a") as file, h5py.File(weights, "a") as other:
        for name in [*(f"{cell}/W_P_0" for cell in CELLS), "CNN_proj/W_proj"]:
            del file[name], other[name]
            other[name] = np.eye(16, dtype=np.float32)
        del file["CNN_proj"]
        other["CNN_proj/b_proj"][...] = 0
    return files, _theirs((options, weights))


@pytest.mark.parametrize("native", ["0", "1"])
def test_no_projections(
    without_projections: tuple[Files, list[torch.Tensor]], tmp_path: Path, native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELMO_MF_NATIVE", native)
    files, expected = without_projections
    bilm = Bilm.from_files(*files)
    _check(bilm, expected)
    bilm.save(tmp_path / "again")
    with h5py.File(tmp_path / "again" / "weights.hdf5") as file:
        assert "CNN_proj" not in file and f"{CELLS[0]}/W_P_0" not in file
    again = Bilm.from_files(tmp_path / "again" / "options.json", tmp_path / "again" / "weights.hdf5", word_cache_mb=1)
    _check(again, expected)
    _check(again.requires_grad_(False), expected)
    _check(Bilm.from_files(*files, state="primed", precision="bfloat16"), expected, atol=5)  # that it runs


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in method_names() if not method_named(name).takes_gradients])
@pytest.mark.parametrize("targets", ["all", "joint"])
def test_no_projections_and_every_method(
    without_projections: tuple[Files, list[torch.Tensor]], tmp_path: Path, method: str, targets: str
) -> None:
    """At full rank the vectors stay; what is saved gives the same again."""
    files, expected = without_projections
    rank = 16 if targets == "all" else 32
    if method not in ("prune", "random_subspace") and not method.endswith("nmf"):
        _check(
            Bilm.from_files(*files, Compression(method=method, rank=rank, targets=targets, allow_larger=True)),
            expected,
            atol=1e-3,
        )
    compressed = Bilm.from_files(*files, Compression(method=method, rank=3, targets=targets))
    compressed.save(tmp_path / "own")
    again = Bilm.from_files(tmp_path / "own" / "options.json", tmp_path / "own" / "weights.hdf5")
    _check(again, list(compressed(batch_to_ids(SENTENCES)).layers.detach()), atol=1e-6)


@pytest.mark.slow
def test_no_projections_and_everything_else(
    without_projections: tuple[Files, list[torch.Tensor]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, _ = without_projections
    weights = Bilm.from_files(*files).weights()
    rows: dict[tuple[int, int, str], np.ndarray] = {
        (*key, target): np.ones(64) for key in weights.lstms for target in ("input", "recurrent")
    }
    write_row_weights(tmp_path / "g.hdf5", RowWeights(rows), {})
    (tmp_path / "t.txt").write_text("a b c\n" * 30)
    given = [*map(str, files)]
    for number, more in enumerate(
        [
            ["--method", "fisher_svd", "--gradients", str(tmp_path / "g.hdf5"), "--rank", "3"],
            ["--budget", "30%", "--method", "whitened_svd", "--highway-rank", "budget"],
            ["--rank", "3", "--distill", str(tmp_path / "t.txt"), "--distill-steps", "2"],
            ["--rank", "3", "--granularity", "gate", "--dense", "--dtype", "float16"],
        ]
    ):
        out = tmp_path / str(number)
        assert main(["compress", *given, *more, "--out", str(out)]) == 0, capsys.readouterr().err
        assert main(["inspect", str(out / "options.json"), str(out / "weights.hdf5")]) == 0
    assert main(["compress", *given, "--rank", "3", "--targets", "projection", "--out", str(tmp_path / "x")]) == 2
    assert "--targets: found projection" in capsys.readouterr().err
    bench = ["bench", "--options", given[0], "--weights", given[1], "--seconds", "0", "--batches", "1"]
    assert main([*bench, "--lengths", "3", "--ranks", "2"]) == 2
    assert "found weights that AllenNLP cannot read" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["W_P_0", "CNN_proj"])
def test_a_projection_that_sizes_ask_for(tmp_path: Path, missing: str) -> None:
    options, weights = _saved(tmp_path / "elmo")
    with h5py.File(weights, "a") as file:
        del file[missing if missing == "CNN_proj" else f"{CELLS[1]}/W_P_0"]
    with pytest.raises(InputError, match=rf"{missing}.*: "):
        Bilm.from_files(options, weights)


def _remade(weights: Path, remake: Callable[[h5py.File, str, np.ndarray], object]) -> None:
    with h5py.File(weights, "a") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            array = file[name][...]
            del file[name]
            remake(file, name, array)


@pytest.mark.parametrize(
    "remake",
    [
        lambda file, name, array: file.create_dataset(name, data=array.astype(np.float64)),
        lambda file, name, array: file.create_dataset(name, data=array, compression="lzf", shuffle=True),
        lambda file, name, array: file.create_dataset(name, data=array, fletcher32=True, maxshape=[None] * array.ndim),
    ],
    ids=["float64", "lzf and shuffle", "fletcher32, resizable"],
)
def test_other_ways_to_store_numbers(tmp_path: Path, remake: Callable[[h5py.File, str, np.ndarray], object]) -> None:
    files = _saved(tmp_path / "elmo")
    _remade(files[1], remake)
    _check(Bilm.from_files(*files), _theirs(files))


@pytest.mark.parametrize("fill", [0.0, 0.25])
@pytest.mark.parametrize("chunks", [None, True])
def test_a_dataset_without_stored_data_has_its_fill_value(tmp_path: Path, fill: float, chunks: bool | None) -> None:
    files = _saved(tmp_path / "elmo")
    with h5py.File(files[1], "a") as file:
        for name in (f"{CELLS[0]}/B", f"{CELLS[2]}/W_P_0", "CNN_high_0/W_carry"):
            shape = file[name].shape
            del file[name]
            assert file.create_dataset(name, shape, "f4", fillvalue=fill, chunks=chunks).id.get_storage_size() == 0
    _check(Bilm.from_files(*files), _theirs(files))


def test_values_beyond_float32(tmp_path: Path) -> None:
    options, weights = _saved(tmp_path / "elmo")
    with h5py.File(weights, "a") as file:
        del file["char_embed"]
        file["char_embed"] = np.full((261, 4), 1e300)
    with pytest.raises(InputError, match="char_embed: found 1044 values"):
        Bilm.from_files(options, weights)


@pytest.mark.slow
def test_options_of_another_result(tmp_path: Path) -> None:
    """The source's options may stand for a result's, and other keys may change; those of another result may not."""
    dense = _saved(tmp_path / "dense")
    for rank in (1, 2):
        Bilm.from_files(*dense, Compression(method="svd", rank=rank, targets="input")).save(tmp_path / str(rank))
    one, two = ((tmp_path / str(rank) / "options.json", tmp_path / str(rank) / "weights.hdf5") for rank in (1, 2))
    again = tmp_path / "again"
    Bilm.from_files(*one, Compression(method="svd", rank=1, targets="recurrent")).save(again)
    for options in (dense[0], one[0], again / "options.json"):
        Bilm.from_files(options, again / "weights.hdf5")
    for options, weights in (
        (two[0], one[1]),
        (two[0], again / "weights.hdf5"),
        (one[0], dense[1]),
        (again / "options.json", one[1]),
    ):
        with pytest.raises(InputError, match="found options with a history of"):
            Bilm.from_files(options, weights)
    _set_options(one[0], lambda raw: raw.update(mine={"elmo_mf": [1]}))
    Bilm.from_files(*one)
    with h5py.File(dense[1], "a") as file:  # as official files are
        del file.attrs["compressions"]
    Bilm.from_files(one[0], dense[1])


def test_a_flipped_byte_of_a_checkpoint(tmp_path: Path) -> None:
    options, weights = _saved(tmp_path / "elmo")
    content = weights.read_bytes()
    with h5py.File(weights) as file:
        place = file[f"{CELLS[3]}/W_0"].id.get_offset() + 1000
    weights.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(InputError, match=f"{CELLS[3]}/W_0: .*checksum"):
        Bilm.from_files(options, weights)
