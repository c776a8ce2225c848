"""The shapes of a trained encoder, stored with its weights so that it loads without other files or factorization."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import BilmWeights, Factors, LstmWeights, Matrix, Pruned, Target
from elmo_mf.compat.loading import weights_being_loaded
from elmo_mf.errors import InputError, one_line
from elmo_mf.io.validation import validated_json
from elmo_mf.storage.state_dict import read_state_dict

M = TypeVar("M", bound=nn.Module)
Shape = tuple[PositiveInt, ...]
_SUFFIX = "_form._extra_state"  # of `StoredShapes` in the attribute `_form`, the name that archives have
_MOST_BYTES = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MatrixShapes(_Strict):
    """Shape of a matrix, or shapes of its left and right factors."""

    kind: Literal["dense", "factors", "pruned"]
    shapes: list[Shape]

    @classmethod
    def of(cls, matrix: Matrix) -> MatrixShapes:
        """Return the shapes of a matrix."""
        if isinstance(matrix, Factors):
            return cls(kind="factors", shapes=[matrix.left.shape, matrix.right.shape])
        return cls(kind="pruned" if isinstance(matrix, Pruned) else "dense", shapes=[matrix.shape])

    def zeros(self) -> Matrix:
        """Return a matrix of these shapes, of zeros."""
        first, *others = (np.zeros(shape, np.float32) for shape in self.shapes)
        if self.kind == "factors":
            return Factors(first, *others)
        return Pruned(first) if self.kind == "pruned" else first


class LstmShapes(_Strict):
    """Shapes of an `LstmWeights`; `primed` are the lengths of h and c."""

    matrices: dict[Literal["input", "recurrent", "joint", "projection"], MatrixShapes]
    bias: PositiveInt
    primed: tuple[PositiveInt, PositiveInt] | None

    @classmethod
    def of(cls, lstm: LstmWeights) -> LstmShapes:
        """Return the shapes of the weights of an LSTM."""
        primed = None if lstm.primed is None else (len(lstm.primed[0]), len(lstm.primed[1]))
        matrices = {target: MatrixShapes.of(matrix) for target, matrix in lstm.matrices.items()}
        return cls(matrices=matrices, bias=len(lstm.bias), primed=primed)

    def zeros(self) -> LstmWeights:
        """Return weights of these shapes, of zeros."""
        matrices: dict[Target, Matrix] = {target: shapes.zeros() for target, shapes in self.matrices.items()}
        h_and_c = None if self.primed is None else tuple(np.zeros(n, np.float32) for n in self.primed)
        return LstmWeights(matrices, np.zeros(self.bias, np.float32), cast(Any, h_and_c))


class EncoderShapes(_Strict):
    """The files and the compression from which weights were derived, and the weights' shapes.

    Attributes:
        files: Options file and weight file; empty for a language model.
        compression: Keys of `Compression`; None for the checkpoint as stored.
        options: Options of an ELMo, with the compression in their history; empty for a language model.
        token_layer: Shapes of the token layer's arrays by name.
        lstms: Direction, layer and shapes of each LSTM.
    """

    version: Literal[1] = 1
    files: list[str] = []
    compression: dict[str, Any] | None
    options: dict[str, Any] = {}
    token_layer: dict[str, Shape]
    lstms: list[tuple[int, int, LstmShapes]]

    @classmethod
    def of(cls, weights: BilmWeights, **source: Any) -> EncoderShapes:
        """Record the shapes of `weights`; `source` supplies the remaining fields."""
        token_layer = {name: array.shape for name, array in weights.token_layer.items()}
        lstms = [(*key, LstmShapes.of(w)) for key, w in weights.lstms.items()]
        return cls(token_layer=token_layer, lstms=lstms, **source)

    def built(self, build: Callable[[BilmWeights], M]) -> M:
        """Call `build` with zero weights of these shapes; the parameters are loaded afterwards.

        Raises:
            InputError: The shapes are inconsistent, as in a file that was tampered with.
        """
        try:
            token_layer = {name: np.zeros(shape, np.float32) for name, shape in self.token_layer.items()}
            lstms = {(direction, layer): shapes.zeros() for direction, layer, shapes in self.lstms}
            return build(BilmWeights(token_layer, lstms))
        except InputError:
            raise
        except Exception as error:
            problem = f"found shapes that do not form an encoder ({one_line(error)})"
            raise InputError(
                "weights", "the shapes of an encoder", f"{problem}, expected those of its options"
            ) from None

    @property
    def source(self) -> str:
        """The files, for error messages."""
        return " and ".join(self.files) or "random weights"

    @property
    def encoder(self) -> tuple[Any, ...]:
        """Key that is equal for two encoders if the same parameters fit both and give the same vectors."""
        options = BilmOptions.from_dict(self.options) if self.options else None
        return options, self.token_layer, [(*key, lstm.matrices, lstm.bias) for *key, lstm in self.lstms]

    @property
    def numbers(self) -> int:
        """Number of values in the weights."""
        matrices = (matrix for *_, lstm in self.lstms for matrix in lstm.matrices.values())
        shapes = [*self.token_layer.values(), *(shape for matrix in matrices for shape in matrix.shapes)]
        return sum(map(prod, shapes)) + sum(lstm.bias + sum(lstm.primed or ()) for *_, lstm in self.lstms)


class StoredShapes(nn.Module):
    """Stores an encoder's shapes in a model's state dict, as the bytes of its JSON."""

    def __init__(self, shapes: EncoderShapes) -> None:
        super().__init__()
        self.shapes = shapes
        self.register_load_state_dict_post_hook(_may_be_missing)  # type: ignore[no-untyped-call]

    def get_extra_state(self) -> Tensor:
        """Return the bytes as a float tensor, because `allennlp diff`, for example, subtracts all values of a state."""
        return torch.tensor(list(self.shapes.model_dump_json().encode()), dtype=torch.float32)

    def set_extra_state(self, state: Any) -> None:
        """Check that the shapes being loaded describe this encoder.

        Raises:
            InputError: It describes another encoder, which may have the same shapes but other options.
        """
        loaded = shapes_of(state, "weights: the shapes of an encoder")
        if loaded.encoder != self.shapes.encoder:
            raise InputError(
                "weights",
                f"found an encoder made from {loaded.source}, expected the one made from "
                f"{self.shapes.source}; encoders with equal compressions are distinguished by their paths",
            )


def _may_be_missing(module: nn.Module, keys: Any) -> None:
    """Allow the shapes to be missing: models trained before shapes were stored have none."""
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.endswith(_SUFFIX)]


def shapes_being_loaded(compression: Mapping[str, Any] | None, files: list[str]) -> EncoderShapes | None:
    """Find the shapes of an encoder with this config in the weights that AllenNLP is loading.

    Files may have moved since training, so their paths only distinguish encoders of equal compression.

    Args:
        compression: Keys of `Compression`; None for the checkpoint as stored.
        files: Options file and weight file; empty for a language model.

    Returns:
        The shapes; None if no weights are being loaded or they hold no shapes of that compression.

    Raises:
        InputError: The weights cannot be read, or shapes in them are invalid or have more values than their
            file has bytes.
    """
    path = weights_being_loaded()
    if path is None:
        return None
    alike = [shapes for shapes in _all_shapes(path) if shapes.compression == compression]
    same = [shapes for shapes in alike if shapes.files == files]
    return next(iter(same or alike), None)


def _all_shapes(path: Path) -> Iterator[EncoderShapes]:
    state = read_state_dict(path, str(path))
    size = path.stat().st_size
    for name, value in state.items():
        if isinstance(name, str) and name.endswith(_SUFFIX):
            shapes = shapes_of(value, f"{path}: {name}")
            if shapes.numbers > size:  # each number takes at least a byte
                raise InputError(path, name, f"found shapes of {shapes.numbers:,} numbers in {size:,} bytes")
            yield shapes


def shapes_of(value: Any, where: str) -> EncoderShapes:
    """Read an encoder's shapes from the value of a state dict.

    Args:
        value: The value.
        where: The file and the key, for messages.

    Raises:
        InputError: The value describes no shapes.
    """
    tensor = isinstance(value, Tensor) and value.layout == torch.strided and value.dtype == torch.float32
    if not tensor or value.numel() > _MOST_BYTES or not torch.equal(value, value.to(torch.uint8).float()):
        kind = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise InputError(where, f"found {kind}, expected at most {_MOST_BYTES} bytes as float32")
    return validated_json(
        EncoderShapes, bytes(value.flatten().to(torch.uint8).tolist()), where, "the shapes of an encoder"
    )
