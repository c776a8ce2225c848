"""A compression as data: cells to remove, matrices to factorize, how, to which size, and training afterwards.

A record, a sweep file, a jsonnet config and the command line all describe a compression with these models. Nothing here
knows weights or factorization methods; `elmo_mf.compression` applies a compression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from elmo_mf.errors import any_of
from elmo_mf.io.paths import expanded
from elmo_mf.io.validation import NOTHING, unexpected, validated, words
from elmo_mf.records.base_model import MOST_INT, MOST_TEXT, Data, JsonObject, Key, PositiveInt

Target: TypeAlias = Literal["input", "recurrent", "projection", "joint"]
Direction: TypeAlias = Literal["forward", "backward"]
BudgetKind: TypeAlias = Literal["share", "parameters", "bytes", "multiply_adds"]
StoredType: TypeAlias = Literal["float32", "float16", "int8", "int4"]

ALL_TARGETS: tuple[Target, ...] = ("input", "recurrent", "projection")
"""What the target set "all" stands for."""
FLOAT_BYTES: dict[StoredType, int] = {"float32": 4, "float16": 2}
"""Bytes of each parameter in the types that need no scales."""
HIGHWAY_METHOD = "whitened_svd"
"""The method that factorizes highway layers."""
CELL_METHOD = "kfac_svd"
"""The method whose statistics and ridges decide which memory cells are removed."""
_TARGETS: tuple[Target, ...] = get_args(Target)
_ORDER: tuple[Target, ...] = ("joint", *ALL_TARGETS)
_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


def _names(values: object, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names from a list, each once, in the order of `known`."""
    if not isinstance(values, (list, tuple)):
        raise unexpected("", values, "a text or a list of texts")
    for name in values:
        if name not in known:
            raise unexpected("", name, any_of(name, known).removeprefix("expected "))
    return tuple(name for name in known if name in values)


def _parse_targets(raw: object) -> object:
    values = raw.split("+") if isinstance(raw, str) else raw
    if values in (["all"], ("all",)):
        return ALL_TARGETS
    return tuple(sorted(_names(values, _TARGETS), key=_ORDER.index))


def _parse_directions(raw: object) -> object:
    if raw == "all":
        return raw
    directions = _names([raw] if isinstance(raw, str) else raw, _DIRECTIONS)
    if not directions:
        raise unexpected("", words("none"), f"any of {', '.join(_DIRECTIONS)}")
    return directions


def _parse_layers(raw: object) -> object:
    if raw == "all":
        return raw
    layers = raw if isinstance(raw, (list, tuple)) else ()
    if not layers or not all(type(layer) is int and 0 <= layer <= MOST_INT for layer in layers):
        raise unexpected("", raw, "'all' or a list of layer numbers")
    return tuple(sorted(set(layers)))


def _parse_ranks(raw: object) -> object:
    """Ranks by target, in canonical order of the targets."""
    if isinstance(raw, Mapping):
        return {target: raw[target] for target in _ORDER if target in raw} | dict(raw)
    return raw


_UNKNOWN_LOSS = "an integer or none, as the loss of highway layers is not known"
_File = Annotated[str, Field(min_length=1, max_length=MOST_TEXT), AfterValidator(expanded)]
_LearningRate = Annotated[float, Field(gt=0)]


class Distillation(Data):
    """Train the factors of an ELMo so that its layers' outputs match those of the dense encoder."""

    text: _File
    """Tokenised text, one sentence per line."""
    steps: PositiveInt = 1000
    """Steps of the optimiser."""
    learning_rate: _LearningRate = 2e-3
    """Highest learning rate of the schedule."""


class FineTuning(Data):
    """Train a compressed language model on its own text, by Adam with a learning rate that falls to zero."""

    epochs: PositiveInt = 1
    """Passes over the text."""
    learning_rate: _LearningRate = 1e-3
    """Learning rate at the start."""


class Budget(Data):
    """The size that all matrices together may have; exactly one of the kinds."""

    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the dense parameters."""
    parameters: PositiveInt | None = None
    """Parameters."""
    bytes: PositiveInt | None = None
    """Bytes of the numbers, with the scales of rounded matrices."""
    dtype: StoredType = "float32"
    """Type whose bytes are counted, see `elmo_mf.bilm.checkpoint.write_weights`."""
    multiply_adds: PositiveInt | None = None
    """Multiply-adds per token."""

    @model_validator(mode="after")
    def _check_one(self) -> Budget:
        given = [kind for kind in get_args(BudgetKind) if getattr(self, kind) is not None]
        if len(given) != 1:
            expected = f"one of {', '.join(get_args(BudgetKind))} with its amount"
            raise unexpected("", words(" and ".join(given) or "no amount"), expected)
        if self.dtype != "float32" and self.bytes is None:
            raise unexpected("dtype", words(f"{self.dtype} with a budget of {given[0]}"), "a budget of bytes")
        return self

    @property
    def kind(self) -> BudgetKind:
        """The kind that is given."""
        return next(kind for kind in get_args(BudgetKind) if getattr(self, kind) is not None)

    @property
    def unit(self) -> str:
        """Name of what is counted, for people."""
        if self.kind == "share":
            return "of the parameters"
        return f"bytes in {self.dtype}" if self.dtype != "float32" else self.kind

    @property
    def amount(self) -> float:
        """The amount of the kind that is given; an integer unless the kind is `share`."""
        return getattr(self, self.kind)  # type: ignore[no-any-return]


class Compression(Data):
    """Factorize the matrices `targets` by `method`, at a rank or within a budget.

    Exactly one of `rank` and `budget` is given, except where memory cells are removed or highway layers compressed, and
    nothing else: then `targets` is empty, `method` is `kfac_svd` where cells are removed, else `whitened_svd`, and both
    may be left out.

    Examples:
        >>> from elmo_mf import Compression
        >>> Compression(method="svd", rank=8, targets="all").targets
        ('input', 'recurrent', 'projection')
        >>> Compression(method="svd", budget={"share": 0.1}, targets="projection+joint").to_dict()
        {'method': 'svd', 'targets': ['joint', 'projection'], 'budget': {'share': 0.1}}
    """

    method: Key
    """Name of a registered method."""
    rank: PositiveInt | Annotated[dict[Target, PositiveInt], BeforeValidator(_parse_ranks)] | None = None
    """Rank r of the factors of every matrix, from 1 to below break-even, m n / (m + n); or ranks by target."""
    targets: Annotated[tuple[Target, ...], BeforeValidator(_parse_targets)]
    """Any of `input`, `recurrent` and `projection`; a list, or one text joined by `+`, or "all". `joint` stands for
    input and recurrent as one matrix, whose factors share their left part."""
    layers: Annotated[tuple[int, ...] | Literal["all"], BeforeValidator(_parse_layers)] = "all"
    """Layer numbers counted from 0, or "all"."""
    directions: Annotated[tuple[Direction, ...] | Literal["all"], BeforeValidator(_parse_directions)] = "all"
    """Any of `forward` and `backward`, or "all"."""
    allow_larger: bool = False
    """Accept ranks from break-even to the matrix's own, at which factors save nothing."""
    granularity: Literal["stacked", "gate"] = "stacked"
    """`stacked` factorizes the four gates as one matrix, `gate` each gate by itself."""
    budget: Budget | None = None
    """Size of the whole biLSTM; a share is one of the parameters before cells are removed. Ranks are allocated so that
    the sum of the costs of the matrices' errors is minimal; `allocation` says how these costs are computed."""
    settings: JsonObject = Field(default_factory=dict)
    """Settings of the method, by name."""
    calibration: _File | None = None
    """Text for methods that use input covariances, for the allocation `outputs` and for highway layers; None for the
    text that comes with this package."""
    gradients: _File | None = None
    """File that `elmo-mf gradients` wrote, for methods that use the gradients of a task, or of an ELMo's own loss, and
    for the removal of cells."""
    distill: Distillation | None = None
    """Distillation after factorization, of an ELMo."""
    finetune: FineTuning | None = None
    """Fine-tuning after factorization, of a language model."""
    highway_rank: PositiveInt | Literal["budget"] | None = None
    """Rank of the character CNN's highway layers; "budget" includes them in `budget`; None leaves them dense."""
    allocation: Literal["outputs", "matrices", "loss"] = "outputs"
    """How a budget weighs the error of a matrix: `outputs` by its measured effect on the layers' outputs on the
    calibration text; `matrices` by its squared relative error; `loss` by its predicted effect on the loss, for methods
    that use output covariances."""
    inputs: Literal["dense", "compressed"] = "dense"
    """Inputs that factors are fitted to: those of the dense model, or, one matrix after the other, those that each gets
    from the factors before it, so that later factors correct errors of earlier ones; for methods that
    use input covariances."""
    cells: PositiveInt | Literal["budget"] | None = None
    """Number of memory cells to keep in each direction of each layer; those that the loss needs least are
    removed before the factorization. "budget" chooses the number with which the least loss is predicted within
    `budget`; None keeps all."""

    if TYPE_CHECKING:  # what the validators accept, for type checkers

        def __init__(
            self,
            *,
            method: str,
            targets: str | Sequence[str],
            rank: int | Mapping[str, int] | None = None,
            layers: str | Sequence[int] = "all",
            directions: str | Sequence[str] = "all",
            allow_larger: bool = False,
            granularity: str = "stacked",
            budget: Budget | Mapping[str, float | str] | None = None,
            settings: Mapping[str, Any] = ...,
            calibration: str | None = None,
            gradients: str | None = None,
            distill: Distillation | None = None,
            finetune: FineTuning | None = None,
            highway_rank: int | str | None = None,
            allocation: str = "outputs",
            inputs: str = "dense",
            cells: int | str | None = None,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _fill_without_targets(cls, raw: Any) -> Any:
        """Accept `cells` or `highway_rank` without a method and targets."""
        if not isinstance(raw, Mapping) or {"targets", "rank", "budget"} & set(raw):
            return raw
        if raw.get("cells") is not None:
            return {"method": CELL_METHOD, "targets": ()} | dict(raw)
        if raw.get("highway_rank") is not None:
            return {"method": HIGHWAY_METHOD, "targets": ()} | dict(raw)
        return raw

    @model_validator(mode="after")
    def _check(self) -> Compression:
        if not self.targets and self.highway_rank is None and self.cells is None:
            raise unexpected("targets", words("none"), f"any of {', '.join(_TARGETS)}")
        if "joint" in self.targets and {"input", "recurrent"} & set(self.targets):
            raise unexpected("targets", words("+".join(self.targets)), "joint, or input and recurrent")
        if self.budget is None and self.allocation != "outputs":
            raise unexpected("allocation", words(f"{self.allocation} without a budget"), "a budget to share")
        if self.allocation == "loss" and self.shares_budget:
            raise unexpected("highway_rank", "budget", _UNKNOWN_LOSS)
        if self.targets:
            self._check_size()
        else:
            self._check_without_targets()
        if self.highway_rank == "budget" and self.budget is None:
            raise unexpected("highway_rank", "budget", "an integer of at least 1, or a budget to share")
        if self.cells == "budget":
            self._check_cells_in_budget()
        return self

    def _check_cells_in_budget(self) -> None:
        if self.budget is None:
            raise unexpected("cells", "budget", "an integer of at least 1, or a budget that decides the number")
        if self.shares_budget:
            raise unexpected("highway_rank", "budget", _UNKNOWN_LOSS)

    def _check_size(self) -> None:
        if self.budget is not None and self.rank is not None:
            raise unexpected("rank", words(f"{self.rank} together with a budget"), "only one of them")
        if self.budget is None and self.rank is None:
            raise unexpected("rank", NOTHING, "an integer of at least 1, or a budget")
        if isinstance(self.rank, dict) and set(self.rank) != set(self.targets):
            raise unexpected("rank", words(f"ranks of {'+'.join(self.rank)}"), f"those of {'+'.join(self.targets)}")

    def _check_without_targets(self) -> None:
        """Reject options of a factorization of the LSTMs where there is none."""
        whose, method = ("highway layers", HIGHWAY_METHOD) if self.cells is None else ("memory cells", CELL_METHOD)
        if self.method != method:
            raise unexpected("method", words(f"{self.method!r} without targets"), f"{method}, for {whose}")
        gradients = ("gradients",) if self.cells is None else ()
        for name in ("rank", "budget", *gradients, "layers", "directions", "granularity", "settings", "inputs"):
            field = type(self).model_fields[name]
            value = getattr(self, name)
            if value != field.get_default(call_default_factory=True):
                value = value.kind if isinstance(value, Budget) else repr(value)
                raise unexpected(name, words(f"{value} without targets"), "targets too")

    @property
    def shares_budget(self) -> bool:
        """Whether the budget includes the highway layers."""
        return self.highway_rank == "budget"

    @property
    def is_whole(self) -> bool:
        """Whether it applies to all layers in both directions."""
        return self.layers == "all" and self.directions == "all"

    @property
    def only_lstm_factors(self) -> bool:
        """Whether factors of the LSTMs are all that differs: no training, no highway layers, no fewer cells."""
        return self.distill is None and self.finetune is None and self.highway_rank is None and self.cells is None

    def rank_for(self, target: Target) -> int:
        """Return the rank of a target's matrices, without a budget."""
        assert self.rank is not None
        return self.rank[target] if isinstance(self.rank, dict) else self.rank


def parse_compression(raw: object, where: str = "compression") -> Compression:
    """Validate the keys of a config file or a record.

    Whether the method exists is not checked; see `elmo_mf.compression.read_compression`.

    Args:
        raw: An object with the keys of `Compression`.
        where: What is read, for the error. Defaults to `compression`.

    Returns:
        The compression.

    Raises:
        InputError: A key is unknown or missing, or a value is wrong.
    """
    return validated(Compression, raw, where)
