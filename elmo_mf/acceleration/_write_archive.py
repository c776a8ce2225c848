"""Write the archive of a model whose ELMos run on this project's encoder, or with rebuilt matrices on AllenNLP's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from allennlp.modules.elmo import _ElmoBiLm
from allennlp.modules.token_embedders import ElmoTokenEmbedder
from torch import Tensor, nn

from elmo_mf.acceleration._load import LoadedModel, Place, at
from elmo_mf.acceleration._stock import ENCODER
from elmo_mf.acceleration.archive import ModelArchive, write_archive
from elmo_mf.acceleration.replace_encoder import EncoderSettings, fast_encoder, put
from elmo_mf.bilm.checkpoint import write_weights
from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.rounding import rounded_products
from elmo_mf.bilm.runtime import Precision
from elmo_mf.bilm.small_types import in_small_types
from elmo_mf.io import write_json
from elmo_mf.plugin.stored_shapes import EncoderShapes, StoredShapes
from elmo_mf.plugin.token_embedder import ElmoModule

if TYPE_CHECKING:
    from allennlp.models import Model

_SAME = 1e-6  # relative change of a parameter in conversion that counts as rounding


def accelerated(loaded: LoadedModel, settings: EncoderSettings) -> LoadedModel:
    """Return a model of the same parameters whose token embedders run on this project's encoder.

    Args:
        loaded: The model, which stays unchanged.
        settings: How the encoders run. In a lower precision, their matrices are rounded to it, see `rounded_products`.

    Raises:
        InputError: See `fast_encoder`.
    """
    model = deepcopy(loaded.model)
    for place, paths in loaded.embedders.items():
        embedder = _embedder(model, paths[0])
        encoder = fast_encoder(getattr(embedder._elmo, ENCODER), settings.in_float32, _shown(place))
        put(embedder._elmo, _in_precision(encoder, settings.precision))
        embedder._form = StoredShapes(_encoder_shapes(encoder, _name(loaded, place)))
    return LoadedModel(model, loaded.reader, loaded.embedders)


def with_precision(loaded: LoadedModel, precision: Precision) -> LoadedModel:
    """Return a model of the same weights whose encoders run in a precision.

    Args:
        loaded: A model of `accelerated` in float32, which stays unchanged.
        precision: See `accelerated`.
    """
    model = deepcopy(loaded.model)
    for paths in loaded.embedders.values():
        elmo = _embedder(model, paths[0])._elmo
        put(elmo, _in_precision(getattr(elmo, ENCODER).bilm, precision))
    return LoadedModel(model, loaded.reader, loaded.embedders)


def _in_precision(encoder: Bilm, precision: Precision) -> Bilm:
    if precision == "float32":
        return encoder
    weights, trained = rounded_products(encoder.weights(), precision), encoder.token_layer.embedding.requires_grad
    other = Bilm(encoder.options, weights, encoder.state_policy, encoder.word_cache_mb, precision)
    return other.train(encoder.training).requires_grad_(trained).to(encoder.device)


def encoder_parameters(loaded: LoadedModel) -> int:
    """Count the parameters of all encoders of a model, each once."""
    return sum(parameter.numel() for one in _encoders(loaded) for parameter in one.parameters())


def encoder_bytes(loaded: LoadedModel) -> int:
    """Count the bytes of the parameters of all encoders of a model as an archive stores them, each encoder once."""
    return sum(numbers.nbytes for one in _encoders(loaded) for numbers in _stored(one, one.state_dict()).values())


def _encoders(loaded: LoadedModel) -> list[nn.Module]:
    encoders = [_encoder_of(loaded.model, paths[0]) for paths in loaded.embedders.values()]
    return list({id(one): one for one in encoders}.values())


def _stored(encoder: nn.Module, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return an encoder's parameters, in a lower precision in the types to which they are rounded."""
    return state if _precision(encoder) == "float32" else in_small_types(state)


def _precision(encoder: nn.Module) -> Precision:
    return encoder.bilm.precision if isinstance(encoder, ElmoModule) else "float32"


def write_accelerated(path: Path, archive: ModelArchive, loaded: LoadedModel, settings: EncoderSettings) -> None:
    """Write an archive that AllenNLP loads with `elmo_mf.plugin`, and without any other file.

    In a lower precision, it has the encoders' matrices in int8 or bfloat16.

    Args:
        path: The new archive.
        archive: The original.
        loaded: Its model, as `accelerated` returns it.
        settings: Those of `accelerated`.

    Raises:
        OutputError: The file cannot be written.
    """
    config = deepcopy(archive.config)
    for place in loaded.embedders:
        node = at(config, place)
        changed = {key: value for key, value in node.items() if key not in _REPLACED}
        changed |= {"type": "elmo_mf", "stored": _name(loaded, place), "state": settings.state}
        if settings.precision != "float32":
            changed["precision"] = settings.precision
        if settings.word_cache_mb and not node.get("requires_grad"):
            changed["word_cache_mb"] = settings.word_cache_mb
        node.clear()
        node.update(changed)
    for reader in _READERS:
        _index_faster(config.get(reader))
    write_archive(path, archive, config, _stored_state(loaded))


def _stored_state(loaded: LoadedModel) -> dict[str, Tensor]:
    """Return a model's parameters, those of its encoders in their types."""
    state: dict[str, Tensor] = loaded.model.state_dict()
    for paths in loaded.embedders.values():
        first, *others = (f"{path}._elmo.{ENCODER}." for path in paths)
        own = {name.removeprefix(first): state[name] for name in state if name.startswith(first)}
        stored = _stored(_encoder_of(loaded.model, paths[0]), own)
        for prefix in (first, *others):  # the same tensors, which are written once
            state |= {f"{prefix}{name}": numbers for name, numbers in stored.items()}
    return state


_REPLACED = ("type", "options_file", "weight_file", "vocab_to_cache")
_READERS = ("dataset_reader", "validation_dataset_reader")


def _index_faster(config: Any) -> None:
    """Replace AllenNLP's indexers of characters, wherever they are in a config."""
    if isinstance(config, dict) and config.get("type") == "elmo_characters":
        config["type"] = "elmo_mf_characters"
    children = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    for child in children:
        _index_faster(child)


def write_stock(path: Path, archive: ModelArchive, loaded: LoadedModel, fast: LoadedModel) -> None:
    """Write an archive with rebuilt matrices, for AllenNLP alone; its config stays as it is.

    Args:
        path: The new archive.
        archive: The original.
        loaded: Its model, with AllenNLP's encoders.
        fast: The same model, as `accelerated` returns it.

    Raises:
        OutputError: The file cannot be written.
    """
    state = archive.state_dict()
    with tempfile.TemporaryDirectory(prefix="elmo-mf-") as folder:
        for paths in loaded.embedders.values():
            encoder = getattr(_embedder(fast.model, paths[0])._elmo, ENCODER).bilm
            rebuilt = _stock_encoder(encoder, Path(folder)).state_dict()
            for embedder in paths:
                for name, value in rebuilt.items():
                    key = f"{embedder}._elmo.{ENCODER}.{name}"
                    if not torch.allclose(value, state[key].float(), _SAME, _SAME):
                        state[key] = value
    write_archive(path, archive, archive.config, state)


def _stock_encoder(encoder: Bilm, folder: Path) -> _ElmoBiLm:
    """Let AllenNLP read an encoder's weights, in the layout in which it finds them."""
    write_weights(folder / "weights.hdf5", encoder.weights().dense())
    write_json(folder / "options.json", encoder.options.to_dict())
    return _ElmoBiLm(str(folder / "options.json"), str(folder / "weights.hdf5"))


def _encoder_of(model: Model, path: str) -> nn.Module:
    encoder: nn.Module = getattr(_embedder(model, path)._elmo, ENCODER)
    return encoder


def _embedder(model: Model, path: str) -> ElmoTokenEmbedder:
    return model.get_submodule(path)


def _encoder_shapes(encoder: Bilm, name: str) -> EncoderShapes:
    return EncoderShapes.of(encoder.weights(), files=[name], compression=None, options=encoder.options.to_dict())


def _name(loaded: LoadedModel, place: Place) -> str:
    """Return the name of the encoder at a place in the config."""
    number = list(loaded.embedders).index(place)
    return "elmo" if len(loaded.embedders) == 1 else f"elmo-{number}"


def _shown(place: Place) -> str:
    return ".".join(map(str, place))
