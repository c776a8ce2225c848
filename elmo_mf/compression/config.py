"""Which matrices of a biLM are factorized, how, and to which rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.weights import DIRECTIONS, JOINT, TARGETS, BilmWeights, Target
from elmo_mf.compression.checks import HIGHWAY_METHOD, check_budget, check_names, check_rank
from elmo_mf.compression.matrix_reference import Slot
from elmo_mf.compression.methods.base import Method, method_named
from elmo_mf.compression.recovery.config import Distillation, FineTuning
from elmo_mf.errors import InputError, any_of
from elmo_mf.io import is_regular
from elmo_mf.paths import expanded
from elmo_mf.provenance import regular_hash

if TYPE_CHECKING:
    from elmo_mf.compression.calibration.probe import Reading

ALLOCATIONS = ("outputs", "matrices")
_ORDER: tuple[Target, ...] = (JOINT, *TARGETS)


@dataclass(frozen=True)
class Compression:
    """Factorize `targets` with `method`, at a rank or within a budget.

    Attributes:
        method: name of a registered method.
        rank: r of the factors, from 1 to below break-even, m n / (m + n), of every matrix it is asked of; or a rank by
            target; None with a budget.
        targets: any of `input`, `recurrent`, `projection`; a list, or one string joined by `+`, or "all". `joint`
            stands for input and recurrent as one matrix, with a left factor that they share. With a `highway_rank`
            there may be none, and then nothing else that is of the biLSTM, which stays as it is; the method is
            `whitened_svd`.
        layers: layer numbers from 0 on, or "all".
        directions: any of `forward`, `backward`, or "all".
        allow_larger: accept ranks from break-even to the matrix's own, where factors save nothing.
        granularity: `stacked` factorizes the four gates as one matrix, `gate` each by itself.
        budget: of the whole biLSTM, `{"parameters": ...}`, `{"bytes": ...}`, `{"multiply_adds": ...}` a token, or
            `{"share": ...}` of its dense parameters. Ranks are allocated so that the sum over all matrices of the
            squared error, each relative to its own matrix's norm, is least; see `plan.py`.
        allocation: of a budget. With `outputs`, a matrix's error counts for what it does to the layers' outputs on the
            text of `calibration`, see `sensitivity.py`; with `matrices`, which reads no text, all count the same.
        settings: of the method, by name.
        calibration: text for methods that look at the matrices' inputs, for `outputs`, and for `highway_rank`; None for
            the text that comes with this package.
        gradients: file that `elmo-mf gradients` wrote, for methods that look at a task's gradients.
        distill: of an ELMo, see `Distillation`; None for none.
        finetune: of a language model, see `FineTuning`; None for none.
        highway_rank: of the character CNN's highway layers, see `highways.py`; "budget" for their share of the budget,
            which then is of the biLSTM and of these layers; None leaves them as they are.

    Raises:
        InputError: an unknown method, target, direction or setting, or a rank below 1.
    """

    method: str
    rank: int | Mapping[str, int] | None
    targets: Sequence[str] | str
    layers: Sequence[int] | str = "all"
    directions: Sequence[str] | str = "all"
    allow_larger: bool = False
    granularity: str = "stacked"
    budget: Mapping[str, float] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    calibration: str | None = None
    gradients: str | None = None
    distill: Distillation | None = None
    finetune: FineTuning | None = None
    highway_rank: int | str | None = None
    allocation: str = "outputs"

    def __post_init__(self) -> None:
        if not isinstance(self.settings, Mapping):
            raise InputError(f"compression.settings: found {self.settings!r}, expected names with their values")
        for name in ("calibration", "gradients"):
            path = getattr(self, name)
            if path is not None and not (isinstance(path, str) and path):
                raise InputError(f"compression.{name}: found {path!r}, expected the path of a file")
        method = self.factorizer
        self._set_targets()
        self._check_size(method)
        self._check_highway_rank()
        if type(self.allow_larger) is not bool:
            raise InputError(f"compression.allow_larger: found {self.allow_larger!r}, expected true or false")
        if self.directions != "all":
            if not isinstance(self.directions, Sequence):
                raise InputError(
                    f"compression.directions: found {self.directions!r}, expected 'all' or a list of names"
                )
            directions = [self.directions] if isinstance(self.directions, str) else list(self.directions)
            check_names("directions", directions, DIRECTIONS)
            object.__setattr__(self, "directions", tuple(d for d in DIRECTIONS if d in directions))
        if self.layers != "all":
            layers = self.layers
            listed = isinstance(layers, Sequence) and not isinstance(layers, str) and layers
            if not listed or not all(type(k) is int and k >= 0 for k in layers):
                raise InputError(f"compression.layers: found {layers!r}, expected 'all' or a list of layer numbers")
            object.__setattr__(self, "layers", tuple(sorted(set(layers))))
        if self.granularity not in ("stacked", "gate"):
            raise InputError(f"compression.granularity: found {self.granularity!r}, expected stacked or gate")
        self._set_tuning("distill", Distillation, "a text and steps", {"text": ""})
        self._set_tuning("finetune", FineTuning, "epochs and a learning rate", {})

    @property
    def shares_budget(self) -> bool:
        """Whether the highway layers are within the budget."""
        return self.highway_rank == "budget" and self.budget is not None

    @property
    def factorizer(self) -> Method:
        """The method with its settings."""
        return method_named(self.method, self.settings)

    def _set_tuning(self, name: str, kind: type[Any], expected: str, missing: dict[str, Any]) -> None:
        value = getattr(self, name)
        if isinstance(value, Mapping):
            known = [field.name for field in fields(kind)]
            for key in value:
                if key not in known:
                    raise InputError(f"compression.{name}: found the key {key!r}, {any_of(key, known)}")
            value = kind(**missing | dict(value))
            object.__setattr__(self, name, value)
        if not isinstance(value, (kind, type(None))):
            raise InputError(f"compression.{name}: found {value!r}, expected {expected}")

    def _set_targets(self) -> None:
        if not isinstance(self.targets, (str, list, tuple)):
            raise InputError(f"compression.targets: found {self.targets!r}, expected a text or a list of them")
        targets: list[str] = self.targets.split("+") if isinstance(self.targets, str) else list(self.targets)
        if targets == ["all"]:
            targets = list(TARGETS)
        if not targets and self.highway_rank is not None:
            object.__setattr__(self, "targets", ())
            return
        check_names("targets", targets, (*TARGETS, JOINT))
        if JOINT in targets and {"input", "recurrent"} & set(targets):
            raise InputError(f"compression.targets: found {'+'.join(targets)}, expected joint, or input and recurrent")
        object.__setattr__(self, "targets", tuple(target for target in _ORDER if target in targets))

    def _check_size(self, method: Method) -> None:
        check_names("allocation", [self.allocation], ALLOCATIONS)
        if self.budget is None and self.allocation != ALLOCATIONS[0]:
            raise InputError(f"compression.allocation: found {self.allocation} without a budget, expected nothing")
        if not self.targets:
            self._check_alone()
        elif self.budget is not None:
            if self.rank is not None:
                raise InputError(f"compression.rank: found {self.rank!r} beside a budget, expected one of the two")
            check_budget(self.budget, self.method if method.stays_dense else None)
        elif isinstance(self.rank, Mapping):
            if set(self.rank) != set(self.targets):
                found = "+".join(map(str, self.rank))
                raise InputError(
                    f"compression.rank: found ranks of {found}, expected those of {'+'.join(self.targets)}"
                )
            for target, rank in self.rank.items():
                check_rank(f"compression.rank.{target}", rank)
        else:
            check_rank("compression.rank", self.rank)

    def _check_highway_rank(self) -> None:
        rank = self.highway_rank
        if isinstance(rank, str) and not self.shares_budget:
            expected = "an integer from 1 on, or budget beside one"
            raise InputError(f"compression.highway_rank: found {rank!r}, expected {expected}")
        if rank is not None and not self.shares_budget:
            check_rank("compression.highway_rank", rank)

    def _check_alone(self) -> None:
        """That nothing is said of how the matrices of the biLSTM are factorized, which stay as they are."""
        if self.method != HIGHWAY_METHOD:
            found = f"found {self.method!r} without targets"
            raise InputError(f"compression.method: {found}, expected {HIGHWAY_METHOD}, that of highway layers")
        silent = {"layers": "all", "directions": "all", "granularity": "stacked", "settings": {}}
        for name in ("rank", "budget", "gradients", *silent):
            found = getattr(self, name)
            if found != silent.get(name):
                raise InputError(f"compression.{name}: found {found!r} without targets, expected nothing")

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Compression:
        """From the keys of a config file; unknown or missing keys are errors. `highway_rank` may be the only one."""
        if not isinstance(raw, Mapping):
            raise InputError(f"compression: found {raw!r}, expected an object with its keys")
        known = {field.name for field in fields(cls)}
        for key in raw:
            if key not in known:
                raise InputError(f"compression: found the key {key!r}, {any_of(key, sorted(known))}")
        if raw.get("highway_rank") is not None and not {"targets", "rank", "budget"} & set(raw):
            raw = {"method": HIGHWAY_METHOD, "rank": None, "targets": ()} | dict(raw)
        for key in ("method", "targets", *(() if raw.get("budget") else ("rank",))):
            if key not in raw:
                raise InputError(f"compression.{key}: found nothing, expected a value")
        files = {key: expanded(raw[key]) for key in ("calibration", "gradients") if isinstance(raw.get(key), str)}
        return cls(**{"rank": None} | dict(raw) | files)

    def to_dict(self) -> dict[str, Any]:
        """JSON form, which `from_dict` reads back; without the newer keys where they say nothing."""
        raw = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        optional = ("budget", "highway_rank", "settings", "calibration", "gradients", "distill", "finetune")
        left_out = [key for key in optional if not raw[key]] + ["granularity"] * (self.granularity == "stacked")
        left_out += ["allocation"] * (self.budget is None)
        return {key: value for key, value in raw.items() if key not in left_out}

    def identity(self) -> dict[str, Any]:
        """`to_dict` with the SHA-256 of files in place of their paths."""
        raw = self.to_dict()
        for key in ("calibration", "gradients"):
            if key in raw:
                raw[key] = _hash(raw[key], key)
        if self.distill is not None:
            raw["distill"]["text"] = _hash(self.distill.text, "distill.text")
        return raw

    def __str__(self) -> str:
        parts = self._of_lstms() if self.targets else []
        if self.highway_rank is not None:
            parts.append("with highways" if self.shares_budget else f"highways {self.highway_rank}")
        if self.distill is not None:
            parts.append(f"distilled {self.distill.steps}")
        if self.finetune is not None:
            parts.append(str(self.finetune))
        return " ".join(parts)

    def _of_lstms(self) -> list[str]:
        settings = ",".join(f"{key}={value}" for key, value in sorted(self.settings.items()))
        parts = [self.method + (f"({settings})" if settings else ""), self.targets_text]
        if self.layers != "all":
            parts.append("layers " + "+".join(map(str, self.layers)))
        if self.directions != "all":
            parts.append("+".join(self.directions))
        if self.granularity == "gate":
            parts.append("by gate")
        return [*parts, self.size_text]

    @property
    def targets_text(self) -> str:
        """Its targets in a word."""
        return "all" if self.targets == TARGETS else "+".join(self.targets) or "none"

    @property
    def size_text(self) -> str:
        """Its rank or its budget."""
        if self.budget is not None:
            ((kind, amount),) = self.budget.items()
            size = f"budget {100 * amount:g}%" if kind == "share" else f"budget {amount} {kind}"
            return size if self.allocation == "outputs" else f"{size} by {self.allocation}"
        ranks = self.rank
        return f"rank {'+'.join(str(ranks[t]) for t in self.targets) if isinstance(ranks, Mapping) else ranks}"

    @property
    def of_lstms_alone(self) -> bool:
        """Whether its score tells of the LSTMs' factors, not of tuning or of other factors too."""
        return self.distill is None and self.finetune is None and self.highway_rank is None

    def apply(self, weights: BilmWeights, options: BilmOptions) -> BilmWeights:
        """The weights with the chosen matrices factored.

        Raises:
            InputError: a layer that does not exist, a matrix that is factored already, a rank above the matrix's, or
                one at or above break-even without `allow_larger`; a budget that is too small; a file that cannot be
                read.
        """
        from elmo_mf.compression import apply as application

        return application.apply(self, weights, options)

    def apply_to_language_model(self, weights: BilmWeights, reading: Reading) -> BilmWeights:
        """As `apply`, for the core of a language model, see `CoreLstm.weights`; who has the text may fine-tune it."""
        self.check(weights, language_model=True)
        from elmo_mf.compression import apply as application

        return application.factorized(self, weights, reading)

    @property
    def reads(self) -> bool:
        """Whether a text has to be read for it."""
        return self.factorizer.needs_inputs or (self.budget is not None and self.allocation == "outputs")

    def _check_kind(self, language_model: bool) -> None:
        wrong, right = ("distill", "finetune") if language_model else ("finetune", "distill")
        if getattr(self, wrong) is not None:
            kind = "a language model" if language_model else "an ELMo"
            raise InputError(f"compression.{wrong}: found it for {kind}, expected {right}")
        if language_model and self.calibration is not None:
            raise InputError("compression.calibration: found it for a language model, which reads its own text")
        if language_model and self.highway_rank is not None:
            raise InputError("compression.highway_rank: found it for a language model, which has no character CNN")

    def check(self, weights: BilmWeights, language_model: bool = False) -> None:
        """Raise what `apply` would raise but for its files, without the work."""
        self._check_kind(language_model)
        if self.highway_rank is not None:
            from elmo_mf.compression.highways import check_highways

            check_highways(weights, self.highway_rank, self.allow_larger)
        slots = self.slots(weights)
        if self.budget is not None:
            from elmo_mf.compression import apply as application

            application.parameters_within(self, weights)
        elif not self.allow_larger:
            for slot in slots:
                self._check_useful(slot)

    def slots(self, weights: BilmWeights) -> list[Slot]:
        """The chosen matrices."""
        projected = any("projection" in lstm.matrices for lstm in weights.lstms.values())
        targets = [target for target in _ORDER if target in self.targets and (projected or target != "projection")]
        if len(targets) < len(self.targets) and self.targets != TARGETS:
            raise InputError("compression.targets: found projection, expected input or recurrent: there is none here")
        n_layers = 1 + max(layer for _, layer in weights.lstms)
        if self.layers != "all" and max(int(k) for k in self.layers) >= n_layers:
            raise InputError(f"compression.layers: found {max(self.layers)}, expected 0 to {n_layers - 1}")
        chosen = [
            Slot.of(weights, key, target, self.granularity == "gate")
            for key in weights.lstms
            if (self.directions == "all" or DIRECTIONS[key[0]] in self.directions)
            and (self.layers == "all" or key[1] in self.layers)
            for target in targets
        ]
        if self.targets and not chosen:  # of a language model
            raise InputError("compression.directions: found backward, expected forward: there is no other here")
        for slot in chosen:
            if self.budget is None and self.rank_of(slot) > slot.most:
                raise InputError(
                    f"compression.rank: found {self.rank_of(slot)}, expected at most {slot.most}, the rank of {slot}"
                )
        return chosen

    def rank_of(self, slot: Slot) -> int:
        """The rank asked of a matrix, without a budget."""
        return self.rank[slot.target] if isinstance(self.rank, Mapping) else int(self.rank or 0)

    def _check_useful(self, slot: Slot) -> None:
        if self.rank_of(slot) >= slot.break_even:
            raise InputError(
                f"compression.rank: found {self.rank_of(slot)}, expected less than {slot.break_even:.1f}, the "
                f"break-even rank of {slot}: from there on factors are no smaller; set allow_larger to have them all "
                f"the same"
            )

    def noted_in(self, options: BilmOptions) -> BilmOptions:
        """The options with this compression in their history, under the key `elmo_mf`; files by their SHA-256."""
        note = {**options.extra.get("elmo_mf", {}), "compressions": [*options.compressions, self.identity()]}
        return replace(options, extra={**options.extra, "elmo_mf": note})


def _hash(path: str, field: str) -> str:
    if not is_regular(path):
        raise InputError(f"compression.{field}: found {path}, expected a file")
    return regular_hash(path, f"file of compression.{field}", "one that can be read")
