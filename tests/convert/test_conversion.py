"""Tests of what is converted from the variables of a checkpoint; TensorFlow itself is in `test_tensorflow.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from elmo_mf import Bilm
from elmo_mf.bilm import BilmOptions
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.vocabulary import Vocabulary, read_vocabulary
from elmo_mf.convert import Checkpoint, Conversion, convert, match_variables
from elmo_mf.errors import InputError
from elmo_mf.pretrain._evaluate import evaluate
from tests.bilm.word_level import Theirs
from tests.convert.conftest import FORMS, WORDS, Trained, datasets, renamed, trained, trained_on_words

KERNEL = "lm/RNN_0/rnn/multi_rnn_cell/cell_0/lstm_cell/kernel"


def _plan(model: Trained, form: str = "TensorFlow 1.2", **others: np.ndarray) -> Conversion:
    options = BilmOptions.from_file(model.folder / "options.json")
    return match_variables(model.checkpoint(form, **others), options, read_vocabulary(model.folder / "vocab.txt"))


def _converted(conversion: Conversion, folder: Path) -> Path:
    folder.mkdir()
    convert(conversion, folder)
    return folder


def _same(one: Path, other: Path) -> bool:
    first, second = datasets(one), datasets(other)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_numbers_of_the_encoder(form: str, model: Trained, tmp_path: Path) -> None:
    folder = _converted(_plan(model, form), tmp_path / "out")
    assert _same(folder / "weights.hdf5", model.folder / "elmo" / "weights.hdf5")
    written = json.loads((folder / "options.json").read_text())
    assert written["char_cnn"] == model.options["char_cnn"] | {"n_characters": 262}
    assert written["n_tokens_vocab"] == len(WORDS)
    assert (folder / "vocabulary.txt").read_text().split() == WORDS


@pytest.mark.parametrize(
    "changes",
    [
        {"n_layers": 1},
        {"dim": 12, "projection_dim": 12},
        {"projection_dim": 6, "filters": [[1, 2], [2, 4]]},
        {"n_highway": 0},
    ],
    ids=str,
)
def test_other_sizes(changes: dict[str, Any], tmp_path: Path) -> None:
    """bilm-tf leaves out projections to the same width, and TensorFlow the wrapper of a single layer."""
    model = trained(tmp_path / "bilm-tf", **changes)
    equal_cells = changes.get("projection_dim") == changes.get("dim", 12)
    left_out = ("W_P_0",) if equal_cells else ("CNN_proj/W_proj", "CNN_proj/b_proj") if "filters" in changes else ()
    model.arrays = {name: array for name, array in model.arrays.items() if not name.endswith(left_out or ("-",))}
    if "n_layers" in changes:
        model.arrays = {name.replace("MultiRNNCell/Cell0/", ""): array for name, array in model.arrays.items()}
    form = "without a scope" if "n_layers" in changes else "TensorFlow 1.2"
    folder = _converted(_plan(model, form), tmp_path / "out")
    expected = datasets(model.folder / "elmo" / "weights.hdf5")
    actual = datasets(folder / "weights.hdf5")
    assert actual.keys() == {name for name in expected if not name.endswith(left_out or ("-",))}
    assert all(np.array_equal(array, expected[name]) for name, array in actual.items())
    Bilm.from_files(folder / "options.json", folder / "weights.hdf5").embed([["a", "cat"]])


def test_what_training_leaves_beside_the_model_is_not_read(model: Trained, tmp_path: Path) -> None:
    others: dict[str, Any] = {
        f"{KERNEL}/Adagrad": np.ones(3, np.float32),
        "lm/char_embed/Adam_1": np.ones(3, np.float32),
        "global_step": np.array(7),
        "train_perplexity": np.float32(3),
        "aggregation/weights": np.ones(3, np.float32),
    }
    folder = _converted(_plan(model, **others), tmp_path / "out")
    assert _same(folder / "weights.hdf5", model.folder / "elmo" / "weights.hdf5")


def test_the_mask_of_the_inference_graph_is_left_out(model: Trained, tmp_path: Path) -> None:
    characters = model.arrays["char_embed"]
    model.arrays["char_embed"] = np.concatenate([np.zeros((1, 4), np.float32), characters])
    folder = _converted(_plan(model, "TF-Hub"), tmp_path / "out")
    assert _same(folder / "weights.hdf5", model.folder / "elmo" / "weights.hdf5")
    model.arrays["char_embed"] = np.concatenate([np.ones((1, 4), np.float32), characters])
    with pytest.raises(InputError, match="char_embed: "):
        convert(_plan(model, "TF-Hub"), tmp_path / "out")


@pytest.mark.parametrize("sampled", [True, False])
def test_perplexity_is_that_of_the_checkpoint(sampled: bool, model: Trained, tmp_path: Path) -> None:
    """Words keep their rows, both directions share them, and either kind of softmax is evaluated in full."""
    if not sampled:
        (model.folder / "options.json").write_text(json.dumps(model.options | {"sample_softmax": False}))
    folder = _converted(_plan(model), tmp_path / "out")
    with h5py.File(folder / "softmax.hdf5") as file:
        assert file.attrs["kind"] == ("sampled" if sampled else "full")
    (tmp_path / "text.txt").write_text("the cat sat\nsat dog\n")
    bilm = Bilm.from_files(model.folder / "elmo" / "options.json", model.folder / "elmo" / "weights.hdf5")
    losses: dict[str, list[float]] = {"forward": [], "backward": []}
    for line in (tmp_path / "text.txt").read_text().splitlines():
        ids = [WORDS.index(word if word in WORDS else "<UNK>") for word in ["<S>", *line.split(), "</S>"]]
        with torch.no_grad():
            vectors = bilm(batch_to_ids([line.split()])).layers[-1][0].numpy()
        forward, backward = np.split(vectors.astype(np.float64), 2, axis=1)
        for name, states, targets in (("forward", forward[:-1], ids[1:]), ("backward", backward[1:], ids[:-1])):
            logits = states @ model.arrays["softmax/W"].T + model.arrays["softmax/b"]
            losses[name] += [
                float(np.logaddexp.reduce(row) - row[word]) for row, word in zip(logits, targets, strict=True)
            ]
    evaluation = evaluate(folder / "options.json", folder / "weights.hdf5", [tmp_path / "text.txt"])
    expected = [float(np.exp(np.mean(losses[name]))) for name in ("forward", "backward")]
    assert [evaluation.forward, evaluation.backward] == pytest.approx(expected, rel=1e-5)
    assert evaluation.unknown == pytest.approx(0.2)


@pytest.mark.parametrize("shared", [True, False])
def test_a_word_level_model(shared: bool, tmp_path: Path) -> None:
    """Its vocabulary serves the table and the softmax, which may be the table itself."""
    model = trained_on_words(tmp_path / "bilm-tf", shared)
    folder = _converted(_plan(model), tmp_path / "out")
    actual, expected = datasets(folder / "weights.hdf5"), datasets(model.folder / "elmo" / "model.hdf5")
    assert actual.keys() == expected.keys() and all(np.array_equal(actual[name], expected[name]) for name in actual)
    softmax = datasets(folder / "softmax.hdf5")
    assert np.array_equal(softmax["softmax_w"], model.arrays["embedding" if shared else "softmax/W"])
    assert np.array_equal(softmax["softmax_b"], model.arrays["softmax/b"])
    (tmp_path / "text.txt").write_text("the cat sat\nsat dog\n")
    losses: dict[str, list[float]] = {"forward": [], "backward": []}
    for line in (tmp_path / "text.txt").read_text().splitlines():
        ids = [WORDS.index(word if word in WORDS else "<UNK>") for word in ["<S>", *line.split(), "</S>"]]
        vectors = Theirs(model.folder / "elmo").with_bounds(line.split())[-1].astype(np.float64)
        forward, backward = np.split(vectors, 2, axis=1)
        for name, states, targets in (("forward", forward[:-1], ids[1:]), ("backward", backward[1:], ids[:-1])):
            logits = states @ softmax["softmax_w"].T + softmax["softmax_b"]
            losses[name] += [
                float(np.logaddexp.reduce(row) - row[word]) for row, word in zip(logits, targets, strict=True)
            ]
    evaluation = evaluate(folder / "options.json", folder / "weights.hdf5", [tmp_path / "text.txt"])
    means = [float(np.exp(np.mean(losses[name]))) for name in ("forward", "backward")]
    assert [evaluation.forward, evaluation.backward] == pytest.approx(means, rel=1e-5)


def test_a_word_level_model_without_its_softmax(tmp_path: Path) -> None:
    model = trained_on_words(tmp_path / "bilm-tf", shared=True)
    options = BilmOptions.from_file(model.folder / "options.json")
    folder = _converted(
        match_variables(model.checkpoint(), options, read_vocabulary(model.folder / "vocab.txt"), without_softmax=True),
        tmp_path / "out",
    )
    assert {path.name for path in folder.iterdir()} == {"options.json", "weights.hdf5", "vocabulary.txt"}
    with pytest.raises(InputError, match=r"vocabulary: "):
        match_variables(model.checkpoint(), options, None)
    with pytest.raises(InputError, match=r"vocabulary: found 3 words"):
        match_variables(model.checkpoint(), options, Vocabulary(("<S>", "</S>", "<UNK>")))


def test_without_a_vocabulary_there_is_no_softmax(model: Trained, tmp_path: Path) -> None:
    conversion = match_variables(model.checkpoint(), BilmOptions.from_file(model.folder / "options.json"), None)
    folder = _converted(conversion, tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {"options.json", "weights.hdf5"}
    assert conversion.layout.has_softmax


def test_float16_is_written_if_asked_for(model: Trained, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    convert(_plan(model), tmp_path / "out", "float16")
    matrix = datasets(tmp_path / "out" / "softmax.hdf5")["softmax_w"]
    assert matrix.dtype == np.float16 and np.array_equal(matrix, model.arrays["softmax/W"].astype(np.float16))


def _set(name: str, value: np.ndarray | None) -> Callable[[dict[str, np.ndarray]], None]:
    def change(arrays: dict[str, np.ndarray]) -> None:
        if value is None:
            del arrays[name]
        else:
            arrays[name] = value

    return change


def _rename(old: str, new: str) -> Callable[[dict[str, np.ndarray]], None]:
    def change(arrays: dict[str, np.ndarray]) -> None:
        for name in [name for name in arrays if old in name]:
            arrays[name.replace(old, new)] = arrays.pop(name)

    return change


FLOATS = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.clear(), "none, .*lm/RNN_0/"),
        (_rename("lm/RNN_", "lm/rnn_"), "lm/CNN/W_cnn_0, lm/CNN/W_cnn_1"),
        (_set("up/RNN_1/rnn/lstm_cell/kernel", FLOATS), "lm/ and up/"),
        (_set("lm/RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_0", FLOATS), "W_0 and lm/RNN_0/rnn/"),
        (_set("lm/RNN_0/rnn/multi_rnn_cell/cell_0/lstm_cell/w_f_diag", FLOATS), "w_f_diag"),
        (_set("lm/char_embed", None), r"no lm/char_embed"),
        (_rename("RNN_1", "RNN_2"), r"no lm/RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/W_0"),
        (_set("lm/CNN/b_cnn_2", FLOATS), r"lm/CNN/b_cnn_2: found shape \(3,\)"),
        (_set("lm/CNN/b_cnn_3", FLOATS), "found a surplus lm/CNN/b_cnn_3"),
        (_set("lm/embedding", FLOATS), "found a surplus lm/embedding"),
        (
            _rename("RNN_0/rnn/multi_rnn_cell/cell_1", "RNN_0/rnn/multi_rnn_cell/cell_2"),
            "found no lm/RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell/W_0",
        ),
        (_set("lm/softmax/W", None), "found no lm/softmax/W"),
        (_set("lm/softmax/b", None), r"no lm/softmax/b"),
        (_set("lm/softmax/W", np.zeros((6, 5), np.float32)), r"lm/softmax/W: found shape \(6, 5\)"),
        (_set("lm/softmax/W", np.zeros((7, 6), np.float32)), "found 6 words"),
        (_set("lm/softmax/b", np.full(6, np.nan, np.float32)), "lm/softmax/b: found 6 values"),
        (_set("lm/CNN/b_cnn_0", np.full(4, np.inf, np.float32)), "b_cnn_0: found 4 values"),
        (_set("lm/CNN/b_cnn_0", np.full(4, 1e300)), "lm/CNN/b_cnn_0: .*float32"),
        (_set("lm/CNN/b_cnn_0", np.zeros(4, np.int32)), "b_cnn_0: .*int32"),
    ],
)  # fmt: skip
def test_other_variables_are_refused_in_one_line(
    change: Callable[[dict[str, np.ndarray]], None], message: str, model: Trained, tmp_path: Path
) -> None:
    arrays = renamed(model.arrays, "TensorFlow 1.2")
    change(arrays)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=message) as error:
        options = BilmOptions.from_file(model.folder / "options.json")
        convert(
            match_variables(model.of(arrays), options, read_vocabulary(model.folder / "vocab.txt")), tmp_path / "out"
        )
    assert "\n" not in str(error.value)


def test_options_of_one_direction(model: Trained) -> None:
    (model.folder / "options.json").write_text(json.dumps(model.options | {"bidirectional": False}))
    with pytest.raises(InputError, match="bidirectional"):
        _plan(model)


def test_files_that_are_too_small_for_their_shapes(model: Trained) -> None:
    """What an index promises is not allocated before it is known that the files can hold it."""
    checkpoint = model.checkpoint()
    (model.folder / "model.ckpt-7.data-00000-of-00001").write_bytes(bytes(100))
    with pytest.raises(InputError, match="100 bytes"):
        match_variables(checkpoint, BilmOptions.from_file(model.folder / "options.json"), None)


class _Broken:
    """A reader of which either call fails, as TensorFlow's do for damaged files."""

    def __init__(self, model: Trained, call: str) -> None:
        self._arrays, self._call = model.checkpoint(), call

    def get_variable_to_shape_map(self) -> dict[str, tuple[int, ...]]:
        if self._call == "shapes":
            raise RuntimeError("not an\nsstable")
        return self._arrays.shapes

    def get_tensor(self, name: str) -> np.ndarray:
        raise OSError(f"checksum\nof {name}")


@pytest.mark.parametrize(("call", "what"), [("shapes", "names of the variables"), ("tensor", "lm/RNN_0/.*/kernel")])
def test_what_the_reader_raises_becomes_one_line(call: str, what: str, model: Trained, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{what}.*: ") as error:
        broken = Checkpoint(model.folder / "model.ckpt-7", _Broken(model, call))
        convert(match_variables(broken, BilmOptions.from_file(model.folder / "options.json"), None), tmp_path)
    assert "\n" not in str(error.value)


def test_a_vocabulary_keeps_the_rows_that_bilm_tf_gives_its_words(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("a\n<S>\n</S>\n b \n!!!MAXTERMID\na b\n\n<UNK>\na\n", encoding="utf-8")
    vocabulary = read_vocabulary(path)
    assert vocabulary.words == ("!!!ROW0", "<S>", "</S>", "b", "!!!ROW4", "!!!ROW5", "<UNK>", "a")
    vocabulary.save(tmp_path / "vocabulary.txt")
    assert Vocabulary.from_file(tmp_path / "vocabulary.txt") == vocabulary


@pytest.mark.parametrize("text", ["", "a\nb\n", "<S>\n<UNK>\na\n", "a <S> </S> <UNK>\n"])
def test_a_vocabulary_without_the_special_words(text: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text(text)
    with pytest.raises(InputError, match=r"vocab\.txt: "):
        read_vocabulary(tmp_path / "vocab.txt")
