"""Load the model of an archive with AllenNLP's ELMo, from nothing but the archive."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.data import DatasetReader, Instance
from allennlp.models import Model
from allennlp.modules.elmo import _ElmoBiLm
from allennlp.modules.token_embedders import ElmoTokenEmbedder
from torch import Tensor

from elmo_mf.acceleration._stock import StockSettings, encoder_prefixes, options_of, write_placeholder
from elmo_mf.acceleration.archive import WEIGHTS, ModelArchive
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.errors import InputError, one_line

EMBEDDER = "elmo_token_embedder"
"""Registered name of AllenNLP's token embedder."""
_NODE = "elmo_mf_node"  # key in an encoder's options that leads back to its place in the config
_MOST_ATTEMPTS = 24
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class LoadedModel:
    """The model of an archive, with AllenNLP's encoders.

    Attributes:
        model: The model, in evaluation mode.
        reader: The dataset reader for validation data.
        embedders: The paths in the model of the token embedders of each place in the config that has one.
    """

    model: Model
    reader: DatasetReader
    embedders: dict[Place, list[str]]


def embedder_places(config: Any, place: Place = ()) -> Iterator[Place]:
    """Find every object in a config whose type is AllenNLP's ELMo token embedder."""
    if isinstance(config, dict):
        if config.get("type") == EMBEDDER:
            yield place
        children: Sequence[tuple[str | int, Any]] = list(config.items())
    else:
        children = list(enumerate(config)) if isinstance(config, list) else []
    for key, child in children:
        yield from embedder_places(child, (*place, key))


def at(config: Any, place: Place) -> Any:
    """Return the value at a place in a config."""
    for key in place:
        config = config[key]
    return config


def load_stock(archive: ModelArchive, settings: StockSettings) -> LoadedModel:
    """Load the model of an archive. The files and addresses that the config names for an ELMo are not used.

    Args:
        archive: The archive.
        settings: What the archive does not say about its encoders.

    Raises:
        InputError: There is no ELMo in the archive, its config does not fit its weights, or its model or dataset reader
            cannot be built.
    """
    places = list(embedder_places(archive.config["model"], ("model",)))
    candidates = _encoders(archive, settings)
    if not places or not candidates:
        raise InputError(archive.source, f"{_without_elmo(archive.config, candidates)}")
    with tempfile.TemporaryDirectory(prefix="elmo-mf-") as folder:
        model, embedders = _first_that_fits(archive, places, candidates, Path(folder))
    for paths in embedders.values():
        _restore_bounds(model.get_submodule(paths[0])._elmo._elmo_lstm)
    return LoadedModel(model.eval(), _reader(archive), embedders)


def _restore_bounds(encoder: _ElmoBiLm) -> None:
    """Compute the cached vectors of the sentence bounds (vocab_to_cache), which no archive holds, from the weights."""
    words = encoder._word_embedding
    if words is not None:
        encoder.create_cached_cnn_embeddings(["the"])
        encoder._word_embedding = words


def _encoders(archive: ModelArchive, settings: StockSettings) -> list[BilmOptions]:
    """Return the different options of the encoders in an archive's parameters."""
    state = archive.state_dict()
    encoders: list[BilmOptions] = []
    for prefix in encoder_prefixes(list(state)):
        shapes = {name.removeprefix(prefix): value.shape for name, value in _below(state, prefix)}
        options = options_of(shapes, settings, f"{archive.source}: {WEIGHTS}: {prefix[:-1]}")
        if options not in encoders:
            encoders.append(options)
    return encoders


def _below(state: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
    return ((name, value) for name, value in state.items() if name.startswith(prefix))


def _without_elmo(config: dict[str, Any], encoders: list[BilmOptions]) -> str:
    if encoders:
        return (
            f"found an ELMo outside a token embedder, expected the type {EMBEDDER} in the config; "
            "elmo_mf.accelerate replaces the encoder of any loaded model"
        )
    if '"elmo_mf"' in json.dumps(config["model"]):
        return f"found an encoder of elmo-mf already, expected AllenNLP's {EMBEDDER}"
    return f"found no ELMo, expected the type {EMBEDDER} in the config and its parameters in {WEIGHTS}"


def _first_that_fits(
    archive: ModelArchive, places: list[Place], candidates: list[BilmOptions], folder: Path
) -> tuple[Model, dict[Place, list[str]]]:
    """Build the model; where encoders differ in size, try which of them is at which place of the config."""
    attempts = itertools.islice(itertools.product(range(len(candidates)), repeat=len(places)), _MOST_ATTEMPTS)
    files = [_files(options, folder, number) for number, options in enumerate(candidates)]
    first: InputError | None = None
    for attempt in attempts:
        config = deepcopy(archive.config)
        for node, (place, number) in enumerate(zip(places, attempt, strict=True)):
            at(config, place).update(_node_files(*files[number], node, folder))
        try:
            model = _model(archive, config)
        except InputError as error:
            first = first or error
            continue
        return model, _paths(model, places)
    assert first is not None
    raise first


def _files(options: BilmOptions, folder: Path, number: int) -> tuple[BilmOptions, Path]:
    path = folder / f"{number}.hdf5"
    write_placeholder(path, options)
    return options, path


def _node_files(options: BilmOptions, weights: Path, node: int, folder: Path) -> dict[str, str]:
    path = folder / f"{node}-{weights.stem}.json"
    path.write_text(json.dumps({**options.to_dict(), _NODE: node}))
    return {"options_file": str(path), "weight_file": str(weights)}


def _model(archive: ModelArchive, config: dict[str, Any]) -> Model:
    try:
        return Model.load(Params(config), str(archive.folder), str(archive.weights))
    except InputError:
        raise
    except ConfigurationError as error:
        raise InputError(archive.source, f"found a config that AllenNLP rejects ({one_line(error, 300)})") from None
    except Exception as error:  # what any model may raise where its config does not fit
        found = f"found a config that does not fit its weights ({one_line(error, 300)})"
        raise InputError(archive.source, f"{found}, expected the config and weights of the same training") from None


def _paths(model: Model, places: list[Place]) -> dict[Place, list[str]]:
    paths: dict[Place, list[str]] = {place: [] for place in places}
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, ElmoTokenEmbedder):
            paths[places[module._elmo._elmo_lstm._token_embedder._options[_NODE]]].append(path)
    return paths


def _reader(archive: ModelArchive) -> DatasetReader:
    config = archive.config
    try:
        params = config.get("validation_dataset_reader") or config["dataset_reader"]
        return DatasetReader.from_params(Params(deepcopy(params)), serialization_dir=str(archive.folder))
    except Exception as error:  # what any reader may raise
        problem = f"dataset_reader: cannot be built ({one_line(error)})"
        raise InputError(archive.source, f"{problem}, expected the config of a training") from None


def read_instances(loaded: LoadedModel, path: Path, limit: int | None = None) -> list[Instance]:
    """Read labelled examples with the dataset reader of a model.

    Args:
        loaded: The model.
        path: The file.
        limit: Largest number of examples; None for all.

    Raises:
        InputError: The reader cannot read the file, or finds no examples in it.
    """
    try:
        instances = list(itertools.islice(loaded.reader.read(str(path)), limit))
    except Exception as error:  # what any reader may raise
        expected = f"data that {type(loaded.reader).__name__} reads"
        raise InputError(path, f"found data that cannot be read ({one_line(error)}), expected {expected}") from None
    if not instances:
        raise InputError(path, "found no examples, expected labelled data")
    return instances
