"""What a trained model's weights say of their own form: loading them needs no other file, and no factorization."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from torch import Tensor, nn

from elmo_mf.bilm.weights import BilmWeights, Factors, LstmWeights, Matrix, Pruned, Target
from elmo_mf.compat.loading import weights_being_loaded
from elmo_mf.errors import InputError

Shape = tuple[PositiveInt, ...]
_SUFFIX = "_form._extra_state"
_MOST_BYTES = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MatrixForm(_Strict):
    """Shapes of a matrix: its own, or those of its left and its right factor."""

    kind: Literal["dense", "factors", "pruned"]
    shapes: list[Shape]

    @classmethod
    def of(cls, matrix: Matrix) -> MatrixForm:
        if isinstance(matrix, Factors):
            return cls(kind="factors", shapes=[matrix.left.shape, matrix.right.shape])
        return cls(kind="pruned" if isinstance(matrix, Pruned) else "dense", shapes=[matrix.shape])

    def zeros(self) -> Matrix:
        first, *others = (np.zeros(shape, np.float32) for shape in self.shapes)
        if self.kind == "factors":
            return Factors(first, *others)
        return Pruned(first) if self.kind == "pruned" else first


class LstmForm(_Strict):
    """Shapes of an `LstmWeights`; `primed` are the lengths of h and c."""

    matrices: dict[Literal["input", "recurrent", "joint", "projection"], MatrixForm]
    bias: PositiveInt
    primed: tuple[PositiveInt, PositiveInt] | None

    @classmethod
    def of(cls, lstm: LstmWeights) -> LstmForm:
        primed = None if lstm.primed is None else (len(lstm.primed[0]), len(lstm.primed[1]))
        forms = {target: MatrixForm.of(matrix) for target, matrix in lstm.matrices.items()}
        return cls(matrices=forms, bias=len(lstm.bias), primed=primed)

    def zeros(self) -> LstmWeights:
        matrices: dict[Target, Matrix] = {target: form.zeros() for target, form in self.matrices.items()}
        h_and_c = None if self.primed is None else tuple(np.zeros(n, np.float32) for n in self.primed)
        return LstmWeights(matrices, np.zeros(self.bias, np.float32), cast(Any, h_and_c))


class Form(_Strict):
    """Of weights that were made from files by a compression: what they were made from, and their shapes.

    `options` are those of an ELMo, with the compression in their history; empty for a language model.
    """

    version: Literal[1] = 1
    files: list[str] = []
    compression: dict[str, Any] | None
    options: dict[str, Any] = {}
    char_cnn: dict[str, Shape]
    lstms: list[tuple[int, int, LstmForm]]

    @classmethod
    def of(cls, weights: BilmWeights, **made_from: Any) -> Form:
        """`made_from`: the other fields."""
        char_cnn = {name: array.shape for name, array in weights.char_cnn.items()}
        return cls(char_cnn=char_cnn, lstms=[(*key, LstmForm.of(w)) for key, w in weights.lstms.items()], **made_from)

    def zeros(self) -> BilmWeights:
        """Weights of these shapes, for parameters that are about to be loaded."""
        char_cnn = {name: np.zeros(shape, np.float32) for name, shape in self.char_cnn.items()}
        return BilmWeights(char_cnn, {(direction, layer): form.zeros() for direction, layer, form in self.lstms})

    @property
    def numbers(self) -> int:
        """How many numbers the weights are."""
        matrices = (matrix for *_, lstm in self.lstms for matrix in lstm.matrices.values())
        shapes = [*self.char_cnn.values(), *(shape for matrix in matrices for shape in matrix.shapes)]
        return sum(map(prod, shapes)) + sum(lstm.bias + sum(lstm.primed or ()) for *_, lstm in self.lstms)


class StoredForm(nn.Module):
    """Keeps a form among a model's parameters, as the bytes of its JSON."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        self.register_load_state_dict_post_hook(_may_be_missing)  # type: ignore[no-untyped-call]

    def get_extra_state(self) -> Tensor:
        """Numbers, since not all that handles states knows more than tensors of them: `allennlp diff` subtracts."""
        return torch.tensor(list(self.form.model_dump_json().encode()), dtype=torch.float32)

    def set_extra_state(self, state: Any) -> None:
        """Nothing: whoever loads a state has read the form before."""


def _may_be_missing(module: nn.Module, keys: Any) -> None:
    """Models that were trained before forms were stored have none."""
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.endswith(_SUFFIX)]


def form_being_loaded(compression: Mapping[str, Any] | None, files: list[str]) -> Form | None:
    """The form of an encoder with this config, in the weights that AllenNLP is loading; None where they say nothing.

    Files may have moved since, so that their paths only tell encoders of the same compression from each other.

    # Raises
    InputError: what the weights say is not a form, or not theirs.
    """
    path = weights_being_loaded()
    if path is None:
        return None
    alike = [form for form in _forms(path) if form.compression == compression]
    same = [form for form in alike if form.files == files]
    return next(iter(same or alike), None)


def _forms(path: Path) -> Iterator[Form]:
    try:
        state = _read(path)
    except (OSError, RuntimeError, pickle.UnpicklingError):  # AllenNLP reads it next, and says what is wrong
        return
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    for name, value in tensors.items():
        if name.endswith(_SUFFIX):
            yield _parsed(value, f"{path}: {name}", _numbers(tensors, name.removesuffix(_SUFFIX)))


def _read(path: Path) -> dict[str, Any]:
    """A state, of which only what is looked at is read."""
    with open(path, "rb") as file:
        mapped = file.read(2) == b"PK"  # of torch 1.6 on
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    return state if isinstance(state, dict) else {}


def _numbers(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return sum(value.numel() for name, value in tensors.items() if name.startswith(prefix))


def _parsed(value: Tensor, where: str, most: int) -> Form:
    """A form that asks for no more numbers than there are beside it."""
    if value.numel() > _MOST_BYTES or not torch.equal(value, value.to(torch.uint8).to(value.dtype)):
        raise InputError(f"{where}: found {value.dtype} {tuple(value.shape)}, expected at most {_MOST_BYTES} bytes")
    try:
        form = Form.model_validate_json(bytes(value.flatten().to(torch.uint8).tolist()))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "top level"
        raise InputError(f"{where}: {field}: {first['msg']}") from None
    if form.numbers > most:
        raise InputError(f"{where}: found shapes of {form.numbers:,} numbers, expected those of {most:,} beside it")
    return form
