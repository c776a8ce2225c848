"""ELMoForManyLangs: a folder with `config.json`, `char.dic`, `word.dic`, `token_embedder.pkl` and `encoder.pkl`.

Its LSTMs have the gates in the order i, f, g, o, and the forget bias of 1 in their biases. Its highway layers weigh
their input by the gate, and not their output.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, strided

from elmo_mf.bilm.checkpoint import write_weights
from elmo_mf.bilm.checkpoint_files import VOCABULARY
from elmo_mf.bilm.history import History
from elmo_mf.bilm.options import BilmOptions, UnicodeCnnOptions
from elmo_mf.bilm.unicode_ids import CHARACTERS, WORDS, check_entries
from elmo_mf.bilm.vocabulary import MOST_WORDS, Vocabulary
from elmo_mf.bilm.weights import GATES, Array, BilmWeights, LstmWeights, Target, reorder_rows
from elmo_mf.convert._many_langs_files import CONFIG, ENCODER, TOKEN_EMBEDDER
from elmo_mf.errors import InputError, instead_of
from elmo_mf.io import TextLines, is_regular, read_json, write_json
from elmo_mf.io.validation import validated
from elmo_mf.storage.numbers import as_stored, show_shape
from elmo_mf.storage.state_dict import read_state_dict

_CHARACTERS, _WORDS = "char.dic", "word.dic"
_PUBLISHED = "cnn_50_100_512_4096_sample.json"  # the configuration of all 44 languages, which their folders leave out
_ORDER = (0, 2, 1, 3)  # of its gates, in TensorFlow's order i, g, f, o
_IDEOGRAPHIC_SPACE = "\u3000"  # stands for an entry that is white space
_MOST_BYTES = 10_000_000

_Size = Annotated[int, Field(ge=1, le=1 << 20)]


class _Fields(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Encoder(_Fields):
    name: Literal["elmo"]
    projection_dim: _Size
    dim: _Size
    n_layers: _Size
    cell_clip: Annotated[float, Field(ge=0)] | None
    proj_clip: Annotated[float, Field(ge=0)] | None


class _TokenEmbedder(_Fields):
    name: Literal["cnn"]
    activation: Literal["relu", "tanh"]
    filters: list[list[int]]
    n_highway: Annotated[int, Field(ge=0, le=1000)]
    word_dim: _Size
    char_dim: _Size
    max_characters_per_token: _Size


class _Config(_Fields):
    encoder: _Encoder
    token_embedder: _TokenEmbedder


_AS_PUBLISHED: dict[str, Any] = {
    "encoder": {
        "name": "elmo", "projection_dim": 512, "cell_clip": 3, "proj_clip": 3, "dim": 4096, "n_layers": 2
    },
    "token_embedder": {
        "name": "cnn", "activation": "relu", "n_highway": 2, "word_dim": 100, "char_dim": 50,
        "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
        "max_characters_per_token": 50,
    },
}  # fmt: skip


@dataclass(frozen=True)
class ManyLangs:
    """An ELMo of ELMoForManyLangs.

    Attributes:
        files: The files that were read.
        options: Its options, as they are written.
        weights: Its weights.
    """

    files: tuple[Path, ...]
    options: BilmOptions
    weights: BilmWeights

    @property
    def parameters(self) -> int:
        """Number of numbers that are written."""
        lstms = self.weights.lstms.values()
        around = sum(array.size for array in self.weights.token_layer.values())
        return around + sum(lstm.bias.size + sum(int(m.size) for m in lstm.matrices.values()) for lstm in lstms)

    def save(self, folder: Path, dtype: str) -> None:
        """Write `options.json`, `weights.hdf5` and `vocabulary.txt`.

        Args:
            folder: The staging folder of `atomic_files`.
            dtype: Type of the stored weights, see `write_weights`.
        """
        write_weights(folder / "weights.hdf5", self.weights, dtype, History())
        write_json(folder / "options.json", self.options.to_dict())
        assert self.weights.vocabulary is not None
        self.weights.vocabulary.save(folder / VOCABULARY)


def read_many_langs(folder: Path) -> ManyLangs:
    """Read a folder of ELMoForManyLangs.

    The sizes are in the file that `config.json` names, which is looked for in the folder, as the package does. If it is
    the one that comes with the package, the published sizes are taken.

    Raises:
        InputError: A file is missing, damaged or holds code; a dictionary has duplicates or does not fit the weights;
            or the model is of another kind: the token embedder must be `cnn` with characters and words, and the encoder
            `elmo`.
    """
    config_files, config = _read_config(folder)
    characters = _read_dictionary(folder / _CHARACTERS, CHARACTERS)
    words = _read_dictionary(folder / _WORDS, WORDS)
    options = _options(config, characters, len(words), str(config_files[-1]))
    lstms = _lstms(_States(folder / ENCODER), options)
    arrays = _token_layer(_States(folder / TOKEN_EMBEDDER), config.token_embedder, options, len(words))
    names = (_CHARACTERS, _WORDS, TOKEN_EMBEDDER, ENCODER)
    files = (*config_files, *(folder / name for name in names))
    return ManyLangs(files, options, BilmWeights(arrays, lstms, Vocabulary(tuple(words))))


def _read_config(folder: Path) -> tuple[list[Path], _Config]:
    path = folder / CONFIG
    expected = "config.json of ELMoForManyLangs"
    first = read_json(path, "configuration", expected, most=_MOST_BYTES)
    named = first.get("config_path") if isinstance(first, dict) else None
    if not isinstance(named, str) or not named:
        raise InputError(path, "config_path", f"found {type(named).__name__}, expected the name of a file with sizes")
    name = Path(named).name  # addresses of the machine of its training, in the published folders
    sizes = next((one for one in (folder / named, folder / name) if is_regular(one)), None)
    if sizes is not None:
        return [path, sizes], validated(
            _Config, read_json(sizes, "configuration", expected, most=_MOST_BYTES), str(sizes)
        )
    if name != _PUBLISHED:
        raise InputError(folder / name, f"no such file, expected the configuration that {path} names")
    return [path], validated(_Config, _AS_PUBLISHED, str(path))


def _read_dictionary(path: Path, needed: tuple[str, ...]) -> list[str]:
    """Read entries and their ids, one pair per line, and return the entries by their ids."""
    lines = TextLines(path, "entries and their ids, with a tab between them", regular=True)
    entries: dict[int, str] = {}
    for line in lines:
        fields = line.strip().split("\t")
        entry, number = fields if len(fields) == 2 else (_IDEOGRAPHIC_SPACE, fields[0])
        if len(fields) > 2 or not (number.isascii() and number.isdecimal() and len(number) < 10):
            raise InputError(path, f"line {lines.lines}", f"found {line[:40]!r}, expected an entry, a tab and its id")
        if int(number) in entries:
            raise InputError(path, f"line {lines.lines}", f"found the id {number} twice, expected distinct ids")
        if len(entries) == MOST_WORDS:
            raise InputError(path, f"found more than {MOST_WORDS:,} entries, expected fewer")
        entries[int(number)] = entry
    if entries and max(entries) != len(entries) - 1:
        found = f"ids up to {max(entries):,} for {len(entries):,} entries"
        raise InputError(path, f"found {found}, expected ids counted from 0")
    ordered = [entries[number] for number in range(len(entries))]
    check_entries(ordered, needed, str(path))
    return ordered


def _options(config: _Config, characters: list[str], n_words: int, where: str) -> BilmOptions:
    encoder, cnn = config.encoder, config.token_embedder
    lstm = encoder.model_dump(exclude={"name"}) | {"use_skip_connections": True}
    unicode_cnn = {
        "embedding": {"dim": cnn.char_dim},
        **cnn.model_dump(include={"filters", "n_highway", "activation", "max_characters_per_token", "word_dim"}),
        "characters": characters,
    }
    return BilmOptions.from_dict({"lstm": lstm, "unicode_cnn": unicode_cnn, "n_tokens_vocab": n_words}, where)


class _States:
    """The arrays of a state dictionary, which are taken one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left = dict(read_state_dict(path, str(path), "a state dictionary of ELMoForManyLangs"))

    def take(self, name: str, shape: tuple[int, ...], why: str = "") -> Array:
        """Return an array.

        Raises:
            InputError: It is missing, of another shape or type, or has numbers that are not finite.
        """
        tensor, where = self._left.pop(name, None), f"{self.path}: {name}"
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tensor.layout != strided:
            kind = None if tensor is None else str(getattr(tensor, "dtype", type(tensor).__name__))
            raise InputError(where, instead_of(f"numbers of shape {show_shape(shape)}", kind))
        if tensor.shape != shape:
            raise InputError(where, f"found shape {show_shape(tuple(tensor.shape))}, expected {show_shape(shape)}{why}")
        return as_stored(tensor.detach().float().numpy(), "float32", where)

    def reject_others(self) -> None:
        """Reject weights of a larger model."""
        if self._left:
            expected = "only the parameters that the configuration implies"
            raise InputError(self.path, f"found a surplus {next(iter(self._left))}, expected {expected}")


def _lstms(states: _States, options: BilmOptions) -> dict[tuple[int, int], LstmWeights]:
    n, p = options.lstm.dim, options.lstm.projection_dim
    forget_bias = np.repeat(np.array([0, 0, 1, 0], np.float32), n)
    lstms = {}
    for direction, name in enumerate(("forward", "backward")):
        for layer in range(options.lstm.n_layers):
            module = f"{name}_layer_{layer}"
            matrices: dict[Target, Any] = {
                "input": reorder_rows(states.take(f"{module}.input_linearity.weight", (GATES * n, p)), _ORDER),
                "recurrent": reorder_rows(states.take(f"{module}.state_linearity.weight", (GATES * n, p)), _ORDER),
                "projection": states.take(f"{module}.state_projection.weight", (p, n)),
            }
            bias = reorder_rows(states.take(f"{module}.state_linearity.bias", (GATES * n,)), _ORDER)
            lstms[direction, layer] = LstmWeights(matrices, bias - forget_bias)
    states.reject_others()
    return lstms


def _token_layer(states: _States, sizes: _TokenEmbedder, options: BilmOptions, n_words: int) -> dict[str, Array]:
    assert isinstance(options.token_layer, UnicodeCnnOptions)
    cnn, p = options.token_layer.cnn, options.lstm.projection_dim
    n, d = cnn.n_filters, sizes.char_dim
    arrays = {
        "char_embed": states.take(
            "char_emb_layer.embedding.weight", (cnn.n_characters, d), f", the entries of {_CHARACTERS}"
        ),
        "embedding": states.take(
            "word_emb_layer.embedding.weight", (n_words, sizes.word_dim), f", the entries of {_WORDS}"
        ),
    }
    for index, (width, number) in enumerate(cnn.filters):
        kernel = states.take(f"convolutions.{index}.weight", (number, d, width))
        arrays[f"CNN/W_cnn_{index}"] = kernel.transpose(2, 1, 0)[None]
        arrays[f"CNN/b_cnn_{index}"] = states.take(f"convolutions.{index}.bias", (number,))
    for index in range(cnn.n_highway):
        transform, gate = np.split(states.take(f"highways._layers.{index}.weight", (2 * n, n)), 2)
        b_transform, b_gate = np.split(states.take(f"highways._layers.{index}.bias", (2 * n,)), 2)
        arrays |= {f"CNN_high_{index}/W_transform": transform.T, f"CNN_high_{index}/W_carry": -gate.T}
        arrays |= {f"CNN_high_{index}/b_transform": b_transform, f"CNN_high_{index}/b_carry": -b_gate}
    arrays["CNN_proj/W_proj"] = states.take("projection.weight", (p, sizes.word_dim + n)).T
    arrays["CNN_proj/b_proj"] = states.take("projection.bias", (p,))
    states.reject_others()
    return arrays
