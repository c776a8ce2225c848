"""The character CNN, from a token's characters to a vector (Kim et al. 2016; Peters et al. 2018, section 3.4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm._character_tables import CharacterTables
from elmo_mf.bilm.characters import PADDING, character_ids
from elmo_mf.bilm.derived_cache import DerivedCache
from elmo_mf.bilm.options import CharCnnOptions
from elmo_mf.bilm.runtime import (
    PackedLinear,
    Precision,
    Product,
    QuantizedLinear,
    full_precision,
    packs,
    reject_gradients,
    supports,
    unquantized,
)
from elmo_mf.bilm.runtime_settings import default_settings
from elmo_mf.bilm.stacked_linear import shape_of
from elmo_mf.bilm.token_layer import TokenLayer
from elmo_mf.bilm.weights import HIGHWAY_GATES, Array, Factors, highway_matrices, with_highway

M = TypeVar("M", "_Linear", nn.Conv1d)
_ACTIVATION = {"relu": torch.relu, "tanh": torch.tanh}


class CharCnn(TokenLayer):
    """Convolutions over a token's characters, max-pooled, then highway layers and a projection.

    Args:
        options: Sizes.
        projection_dim: Width of the token vectors, p.
        arrays: The datasets of `checkpoint.char_cnn_shapes`, with highway layers as in `highway_matrices`; without
            those of `CNN_proj` if there is no projection.
        precision: Precision of the weights of the highway layers and the projection in inference on a CPU; with
            `int8`, the projection is in bfloat16. Defaults to float32.
    """

    kind, unit, worth_keeping = "char_cnn", "character", True

    def __init__(
        self,
        options: CharCnnOptions,
        projection_dim: int,
        arrays: dict[str, Array],
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        self.options, self.settings = options, default_settings()
        mask_row = np.zeros((1, options.embedding_dim), np.float32)
        self.embedding = nn.Parameter(_tensor(np.concatenate([mask_row, arrays["char_embed"]])))
        self.convolutions = nn.ModuleList()
        for index, (width, number) in enumerate(options.filters):
            convolution = nn.Conv1d(options.embedding_dim, number, width)
            _fill(convolution, arrays[f"CNN/W_cnn_{index}"][0].transpose(2, 1, 0), arrays[f"CNN/b_cnn_{index}"])
            self.convolutions.append(convolution)
        self.highways = nn.ModuleList()
        for index, matrix in enumerate(highway_matrices(arrays)):
            bias = np.concatenate([arrays[f"CNN_high_{index}/b_{gate}"] for gate in HIGHWAY_GATES])
            self.highways.append(_linear(matrix, bias))
        self.projection: _Linear | None = None
        if "CNN_proj/W_proj" in arrays:
            self.projection = _Linear(len(arrays["CNN_proj/W_proj"]), projection_dim)
            _fill(self.projection, arrays["CNN_proj/W_proj"].T, arrays["CNN_proj/b_proj"])
        self.width, self.output_dim = options.max_characters_per_token, projection_dim
        self.padding = PADDING + 1
        self.precision: Precision = precision if supports(precision) else "float32"
        self._tables = DerivedCache[CharacterTables]()
        self._packed = DerivedCache[list[Callable[[Tensor], Tensor]]]()

    def forward(self, ids: Tensor) -> Tensor:
        """Turn character ids (tokens, characters) into token vectors (tokens, p)."""
        if not packs(self.embedding, self.parameters()):
            return self._vectors(ids)
        with full_precision():
            vectors = [self._vectors(part) for part in torch.split(ids, self.settings.cnn_words)]
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors)

    def word_ids(self, word: str) -> list[int]:
        """Return the character ids of a word; see `character_ids`."""
        return character_ids(word, self.width)

    def _vectors(self, ids: Tensor) -> Tensor:
        return deque(self.steps(ids), maxlen=1)[0]

    def steps(self, ids: Tensor) -> Iterator[Tensor]:
        """Yield the inputs (tokens, n) of each of `products`, and finally the result of `forward`."""
        vectors = _ACTIVATION[self.options.activation](self._maxima(ids))
        products = self.products_for(vectors)
        for highway in products[: len(self.highways)]:
            yield vectors
            carry, transform = highway(vectors).to(vectors.dtype).chunk(2, dim=1)
            gate = carry.sigmoid()
            vectors = gate * transform.relu() + (1 - gate) * vectors
        yield (vectors := self._projected(vectors, ids))
        for projection in products[len(self.highways) :]:
            yield projection(vectors).to(vectors.dtype)

    @property
    def products(self) -> list[nn.Module]:
        """The highway layers and, if there is one, the projection."""
        return [*self.highways, *([] if self.projection is None else [self.projection])]

    def _maxima(self, ids: Tensor) -> Tensor:
        """Return each filter's maximum over a token's windows, (tokens, n)."""
        parameters = [self.embedding, *self.convolutions.parameters()]
        if packs(self.embedding, parameters):
            with full_precision():
                return self._look_up(ids)
        embedded = nn.functional.embedding(self._trimmed(ids), self.embedding).transpose(1, 2)
        convolved = (_convolved(convolution, embedded) for convolution in self._convolutions)
        return torch.cat([windows.max(dim=2).values for windows in convolved], dim=1)

    def _look_up(self, ids: Tensor) -> Tensor:
        """Return the maxima by tables of the convolutions' terms."""
        parameters = [self.embedding, *self.convolutions.parameters()]
        return self._tables.get(parameters, lambda: self._tables_of(self.embedding, self.padding)).maxima(ids)

    def _tables_of(self, embedding: Tensor, padding: int) -> CharacterTables:
        return CharacterTables(embedding, self._convolutions, padding, self.settings.table_words)

    def _projected(self, vectors: Tensor, ids: Tensor) -> Tensor:
        """Return what the projection is applied to, given the outputs of the highway layers."""
        return vectors

    @property
    def _convolutions(self) -> list[nn.Conv1d]:
        return cast(list[nn.Conv1d], list(self.convolutions))

    def products_for(self, inputs: Tensor) -> Sequence[Callable[[Tensor], Tensor]]:
        """Return `products`, with packed weights in inference on a CPU."""
        layers = self.products
        if not packs(inputs, self.parameters()):
            return layers
        parameters = [parameter for layer in layers for parameter in layer.parameters()]
        return self._packed.get(parameters, lambda: [self._pack(layer) for layer in layers])

    def keep_only_copies(self) -> None:
        """Free the parameters that have copies in a lower precision, see `Bilm`."""
        if self.precision != "float32":
            for layer in self.products:
                for linear in _linears(layer):
                    linear.keep_only(self._packed_linear(linear))

    @property
    def is_rounded(self) -> bool:
        """Whether `arrays` gives rounded numbers, because there are only copies in a lower precision."""
        return any(linear.product is not None for layer in self.products for linear in _linears(layer))

    def _pack(self, layer: nn.Module) -> Callable[[Tensor], Tensor]:
        if isinstance(layer, nn.Sequential):
            right, left = map(self._packed_linear, _linears(layer))
            return lambda x: left(right(x))
        return self._packed_linear(cast(_Linear, layer))

    def _packed_linear(self, layer: _Linear) -> Product:
        if layer.product is not None:
            return layer.product
        dtype = unquantized(self.precision)
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        if self.precision == "int8" and layer in self.highways:
            return QuantizedLinear(weight, bias, dtype)
        return PackedLinear(weight.to(dtype), bias)

    def _trimmed(self, ids: Tensor) -> Tensor:
        """Cut the padding that all tokens share, except for one window of it: the maxima stay the same."""
        used = (ids != self.padding).any(dim=0).nonzero()
        longest = int(used.max()) + 1 if len(used) else 0
        return ids[:, : longest + max(width for width, _ in self.options.filters)]

    def arrays(self) -> dict[str, Array]:
        """Return the parameters as the datasets that they came from."""
        arrays = {"char_embed": _array(self.embedding)[1:]}
        for index, convolution in enumerate(self.convolutions):
            arrays[f"CNN/W_cnn_{index}"] = _array(convolution.weight).transpose(2, 1, 0)[None]
            arrays[f"CNN/b_cnn_{index}"] = _array(convolution.bias)
        for index, highway in enumerate(self.highways):
            matrix, bias = _matrix(highway)
            for gate, part in zip(HIGHWAY_GATES, np.split(bias, 2), strict=True):
                arrays[f"CNN_high_{index}/b_{gate}"] = part
            arrays = with_highway(arrays, index, matrix)
        if self.projection is None:
            return arrays
        return arrays | {
            "CNN_proj/W_proj": _array(self.projection.numbers()).T,
            "CNN_proj/b_proj": _array(self.projection.bias),
        }


def _convolved(convolution: nn.Conv1d, embedded: Tensor) -> Tensor:
    """Turn (tokens, d, characters) into (tokens, filters, windows)."""
    if embedded.device.type == "cpu":
        return cast(Tensor, convolution(embedded))
    return convolve_as_product(convolution, embedded)


def convolve_as_product(convolution: nn.Conv1d, embedded: Tensor) -> Tensor:
    """Compute a convolution as one product of all windows.

    cuDNN searches for the best algorithm for each new number and length of words, which takes longer than the product,
    and computes in TensorFloat-32 instead of float32.

    Args:
        convolution: From `d` channels to filters.
        embedded: (tokens, d, characters).

    Returns:
        (tokens, filters, windows).
    """
    windows = embedded.unfold(2, convolution.kernel_size[0], 1).transpose(1, 2).flatten(2)
    return nn.functional.linear(windows, convolution.weight.flatten(1), convolution.bias).transpose(1, 2)


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _array(parameter: Tensor | nn.Module) -> Array:
    assert isinstance(parameter, Tensor)
    return parameter.detach().cpu().numpy().copy()


class _Linear(nn.Linear):
    """A product whose weight may be kept in a lower precision only."""

    product: Product | None = None

    def keep_only(self, product: Product) -> None:
        """Free the weight; from now on it is read from a product of the same weight, and `forward` is refused."""
        self.product, self.weight = product, shape_of(self.weight)

    def numbers(self) -> Tensor:
        """Return the weight, (out, in)."""
        return self.weight.detach() if self.product is None else self.product.numbers()

    def forward(self, x: Tensor) -> Tensor:
        if self.product is not None:
            reject_gradients()
        return super().forward(x)


def _linears(layer: nn.Module) -> list[_Linear]:
    """Return the layer, or its factors, right one first."""
    return cast(list[_Linear], list(layer) if isinstance(layer, nn.Sequential) else [layer])


def _linear(matrix: Array | Factors, bias: Array) -> _Linear | nn.Sequential:
    """Build the product with a matrix, or with its right factor and then its left one."""
    m, n = matrix.shape
    if not isinstance(matrix, Factors):
        return _fill(_Linear(n, m), matrix, bias)
    right, left = _Linear(n, matrix.rank, bias=False), _Linear(matrix.rank, m)
    return nn.Sequential(_fill(right, matrix.right, None), _fill(left, matrix.left, bias))


def _matrix(layer: nn.Module) -> tuple[Array | Factors, Array]:
    """Return the matrix and the bias from which `_linear` built the layer."""
    *rights, left = _linears(layer)
    numbers = _array(left.numbers())
    return Factors(numbers, _array(rights[0].numbers())) if rights else numbers, _array(left.bias)


def _fill(module: M, weight: Array, bias: Array | None) -> M:
    with torch.no_grad():
        module.weight.copy_(_tensor(weight))
        if bias is not None:
            assert module.bias is not None
            module.bias.copy_(_tensor(bias))
    return module
