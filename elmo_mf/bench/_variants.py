"""The encoders of a benchmark, with the same weights: AllenNLP's, the dense one and compressed ones."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elmo_mf.bench._cases import Case, character_ids, token_vectors
from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.options import BilmOptions, LstmOptions
from elmo_mf.bilm.packing import Packing
from elmo_mf.bilm.runtime import Precision
from elmo_mf.bilm.runtime_settings import default_settings
from elmo_mf.compression import BYTES_PER_PARAMETER, MatrixSize, SizeReport, size_report
from elmo_mf.errors import InputError, one_line
from elmo_mf.records import Compression
from elmo_mf.records.labels import compression_label

Call = Callable[[], Tensor]  # the biLSTM's layers (n_layers, batch, longest, 2p), or (1, batch, longest, p)
BASELINE = "AllenNLP"


class Variant(ABC):
    """An encoder to benchmark.

    Attributes:
        name: Name in tables and results.
        size: Parameters and multiply-adds.
        precision: Precision of the products. Defaults to `float32`.
        same_as: Name of the variant that should give the same vectors, if there is one.
    """

    name: str
    size: SizeReport
    precision: Precision = "float32"
    same_as: str | None = None

    @property
    def around_bytes(self) -> int:
        """Bytes of the character CNN's weights."""
        return BYTES_PER_PARAMETER * self.size.around_parameters

    def runs(self, case: Case) -> bool:
        """Return whether the variant takes part in a case."""
        return True

    @abstractmethod
    def prepare(self, case: Case, device: torch.device) -> Call:
        """Return a function that runs the case once on prepared inputs.

        Args:
            case: The case, which the variant takes part in.
            device: Device to run on.
        """


class Ours(Variant):
    """This project's encoder, dense or compressed, in float32.

    Args:
        options: Options of the dense ELMo.
        weights: Its weights.
        compression: How it is compressed; None for the dense encoder.
        device: Device to run on.
    """

    def __init__(self, options: Path, weights: Path, compression: Compression | None, device: torch.device) -> None:
        self.compression = compression
        self.bilm = Bilm.from_files(options, weights, compression).to(device)
        self.name, self.same_as = ("dense", BASELINE) if compression is None else (compression_label(compression), None)
        cells = BilmOptions.from_file(options).lstm.dim
        self.size = size_report(self.bilm.weights(), self.bilm.options, cells)

    def in_precision(self, precision: Precision) -> Ours:
        """Return a variant with the same weights in a lower precision, on a CPU."""
        other = copy(self)
        other.bilm = Bilm(self.bilm.options, self.bilm.weights(), precision=precision).eval()
        other.name, other.same_as, other.precision = f"{self.name}, {precision}", self.name, precision
        return other

    @property
    def around_bytes(self) -> int:
        """Bytes of the character CNN's weights, of which some are in lower precisions."""
        cnn = self.bilm.char_cnn
        dense = [layer for layer in cnn.highways if isinstance(layer, nn.Linear)]
        integers = sum(parameter.numel() for layer in dense for parameter in layer.parameters())
        products = sum(parameter.numel() for part in cnn.products for parameter in part.parameters())
        saved = {"float32": 0, "bfloat16": 2 * products, "int8": 2 * products + integers}
        return super().around_bytes - saved[self.precision]

    def runs(self, case: Case) -> bool:
        """Return whether the variant differs in this case from the dense one or from another precision."""
        if case.part == "characters":
            return self.compression is None or self.compression.highway_rank is not None
        if case.part == "lstm" and self.precision == "int8":  # without such a matrix, int8 is the same as bfloat16
            return any(map(quantized, self.size.matrices))
        return True

    def prepare(self, case: Case, device: torch.device) -> Call:
        """Return a function that runs the case once, see `Variant.prepare`."""
        bilm = self.bilm
        if case.part != "lstm":
            ids = character_ids(case, bilm.options.char_cnn.max_characters_per_token, device)
            return (lambda: bilm(ids).layers[1:]) if case.part == "encoder" else (lambda: token_layer(bilm, ids))
        tokens = token_vectors(case, bilm.options.lstm.projection_dim, device)
        lengths = torch.tensor(case.lengths, device=device)

        def run() -> Tensor:
            packing = Packing.of(lengths)
            return packing.unpack(torch.stack(bilm.contextualize(packing.pack(tokens), packing)[1:]))

        return run


def quantized(matrix: MatrixSize) -> bool:
    """Return whether `int8` stores a matrix as integers, see `PackedDirection`."""
    large = math.prod(matrix.shape) >= default_settings().quantized_numbers
    return matrix.rank is None and matrix.target != "projection" and large


def token_layer(bilm: Bilm, ids: Tensor) -> Tensor:
    """Compute the character CNN's vectors.

    Args:
        bilm: The encoder.
        ids: Character ids, (batch, longest, characters), zeros behind the last word.

    Returns:
        (1, batch, longest with both bounds, p).
    """
    bounded, lengths = bilm.with_bounds(ids)
    packing = Packing.of(lengths, bounded.shape[1])
    return packing.unpack(bilm.token_vectors(packing.pack(bounded)).unsqueeze(0))


class WordCache(Variant):
    """This project's character CNN with all word vectors cached by the previous call, which is the best case.

    Args:
        options: Options of the dense ELMo.
        weights: Its weights.
        size: Its parameters and multiply-adds.
    """

    name, same_as = "dense, words kept", BASELINE

    def __init__(self, options: Path, weights: Path, size: SizeReport) -> None:
        self.bilm = Bilm.from_files(options, weights, word_cache_mb=_CACHE_MB)
        self.size = size

    def runs(self, case: Case) -> bool:
        """Return whether the case is the character CNN alone."""
        return case.part == "characters"

    def prepare(self, case: Case, device: torch.device) -> Call:
        """Return a function that runs the case once, see `Variant.prepare`."""
        ids = character_ids(case, self.bilm.options.char_cnn.max_characters_per_token, device)
        return lambda: token_layer(self.bilm, ids)


_CACHE_MB = 64


class AllenNlp(Variant):
    """AllenNLP's `_ElmoBiLm`, whose state is reset before each call.

    Args:
        options: Options of the dense ELMo.
        weights: Its weights.
        size: Its parameters and multiply-adds.
        device: Device to run on.

    Raises:
        InputError: AllenNLP cannot read the weights.
    """

    name = BASELINE

    def __init__(self, options: Path, weights: Path, size: SizeReport, device: torch.device) -> None:
        from allennlp.common.checks import ConfigurationError
        from allennlp.modules.elmo import _ElmoBiLm

        self.size = size
        try:
            self.module: Any = _ElmoBiLm(str(options), str(weights)).to(device).eval()
        except (KeyError, ValueError, RuntimeError, ConfigurationError) as error:
            raise InputError(
                weights,
                f"found weights that AllenNLP cannot read ({one_line(error)}), expected a dense ELMo in the "
                "official layout, to compare with AllenNLP's",
            ) from None

    def prepare(self, case: Case, device: torch.device) -> Call:
        """Return a function that runs the case once, see `Variant.prepare`."""
        module, lstm = self.module, self.module._elmo_lstm
        if case.part != "lstm":
            ids = character_ids(case, module._token_embedder._options["char_cnn"]["max_characters_per_token"], device)

            def whole() -> Tensor:
                lstm.reset_states()
                return torch.stack(module(ids)["activations"][1:])

            def words() -> Tensor:
                output = module._token_embedder(ids)
                layer: Tensor = (output["token_embedding"] * output["mask"].unsqueeze(2)).unsqueeze(0)
                return layer

            return whole if case.part == "encoder" else words
        tokens = token_vectors(case, lstm.input_size, device)
        steps = torch.arange(tokens.shape[1], device=device)
        mask = steps < torch.tensor(case.lengths, device=device).unsqueeze(1)

        def alone() -> Tensor:
            lstm.reset_states()
            layers: Tensor = lstm(tokens, mask)
            return layers

        return alone


class TorchLstm(Variant):
    """`torch.nn.LSTM(proj_size=...)` of the same size in both directions, as a reference for a dense native kernel.

    It has random weights, no clipping, no skip connections and no character CNN, and it computes padded steps too.

    Args:
        options: Sizes of the LSTMs.
        size: Parameters and multiply-adds of the ELMo.
        device: Device to run on.
    """

    name = "torch.nn.LSTM"

    def __init__(self, options: LstmOptions, size: SizeReport, device: torch.device) -> None:
        self.size = size
        d, n = options.projection_dim, options.dim
        self.directions: list[torch.nn.LSTM] = []
        if d > n:  # PyTorch does not support such a projection
            return
        projected = d if d < n else 0
        self.directions = [
            torch.nn.LSTM(d, n, options.n_layers, batch_first=True, proj_size=projected, device=device).eval()
            for _ in range(2)
        ]
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # PyTorch warns once that oneDNN has no projections
            self.directions[0](torch.zeros(1, 1, d, device=device))

    def runs(self, case: Case) -> bool:
        """Return whether the case is the biLSTM alone, of sizes that PyTorch supports."""
        return case.part == "lstm" and bool(self.directions)

    def prepare(self, case: Case, device: torch.device) -> Call:
        """Return a function that runs the case once, see `Variant.prepare`."""
        forward, backward = self.directions
        tokens = token_vectors(case, forward.input_size, device)
        return lambda: torch.cat([forward(tokens)[0], backward(tokens.flip(1))[0].flip(1)], dim=2)
