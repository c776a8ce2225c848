"""Which matrices of a biLM are factorized, how, and to which rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import DIRECTIONS, TARGETS, BilmWeights, Factors, Target
from elmo_mf.errors import InputError
from elmo_mf.factorize.base import method_named


@dataclass(frozen=True)
class Compression:
    """Factorize `targets` with `method` at `rank`, in the given layers and directions.

    # Parameters
    method: name of a registered method.
    rank: r of the factors, from 1 to below break-even, m n / (m + n), of every matrix it is asked of.
    targets: any of `input`, `recurrent`, `projection`; a list, or one string joined by `+`, or "all".
    layers: layer numbers from 0 on, or "all".
    directions: any of `forward`, `backward`, or "all".
    allow_larger: accept ranks from break-even to the matrix's own, where factors save nothing.

    # Raises
    InputError: an unknown method, target or direction, or a rank below 1.
    """

    method: str
    rank: int
    targets: Sequence[str] | str
    layers: Sequence[int] | str = "all"
    directions: Sequence[str] | str = "all"
    allow_larger: bool = False

    def __post_init__(self) -> None:
        method_named(self.method)
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise InputError(f"compression.rank: found {self.rank!r}, expected an integer from 1 on")
        targets = self.targets.split("+") if isinstance(self.targets, str) else list(self.targets)
        if targets == ["all"]:
            targets = list(TARGETS)
        _check_names("targets", targets, TARGETS)
        object.__setattr__(self, "targets", tuple(target for target in TARGETS if target in targets))
        if self.directions != "all":
            directions = [self.directions] if isinstance(self.directions, str) else list(self.directions)
            _check_names("directions", directions, DIRECTIONS)
            object.__setattr__(self, "directions", tuple(d for d in DIRECTIONS if d in directions))
        if self.layers != "all":
            layers = self.layers
            if isinstance(layers, str) or not layers or not all(type(k) is int and k >= 0 for k in layers):
                raise InputError(f"compression.layers: found {layers!r}, expected 'all' or a list of layer numbers")
            object.__setattr__(self, "layers", tuple(sorted(set(layers))))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Compression:
        """From the keys of a config file; unknown or missing keys are errors."""
        known = {field.name for field in fields(cls)}
        for key in raw:
            if key not in known:
                raise InputError(f"compression: found the key {key!r}, expected any of {', '.join(sorted(known))}")
        for key in ("method", "rank", "targets"):
            if key not in raw:
                raise InputError(f"compression.{key}: found nothing, expected a value")
        return cls(**raw)

    def to_dict(self) -> dict[str, Any]:
        """JSON form, which `from_dict` reads back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def __str__(self) -> str:
        targets = "all" if len(self.targets) == len(TARGETS) else "+".join(self.targets)
        parts = [self.method, targets]
        if self.layers != "all":
            parts.append("layers " + "+".join(map(str, self.layers)))
        if self.directions != "all":
            parts.append("+".join(self.directions))
        return " ".join([*parts, f"rank {self.rank}"])

    def apply(self, weights: BilmWeights) -> BilmWeights:
        """The weights with the chosen matrices factored.

        # Raises
        InputError: a layer that does not exist, a matrix that is factored already, a rank above the matrix's, or one
        at or above break-even without `allow_larger`.
        """
        self.check(weights)
        method = method_named(self.method)
        lstms = dict(weights.lstms)
        for key, target in self._chosen(weights):
            factors = method.factorize(lstms[key].matrices[target], self.rank)  # type: ignore[arg-type]
            lstms[key] = lstms[key].with_matrix(target, factors)
        return replace(weights, lstms=lstms)

    def check(self, weights: BilmWeights) -> None:
        """Raise what `apply` would raise, without the work."""
        for key, target in self._chosen(weights):
            self._check_matrix(weights, key, target)

    def _chosen(self, weights: BilmWeights) -> Iterator[tuple[tuple[int, int], Target]]:
        n_layers = 1 + max(layer for _, layer in weights.lstms)
        if self.layers != "all" and max(int(k) for k in self.layers) >= n_layers:
            raise InputError(f"compression.layers: found {max(self.layers)}, expected 0 to {n_layers - 1}")
        for direction, layer in weights.lstms:
            if self.directions != "all" and DIRECTIONS[direction] not in self.directions:
                continue
            if self.layers == "all" or layer in self.layers:
                for target in TARGETS:
                    if target in self.targets:
                        yield (direction, layer), target

    def _check_matrix(self, weights: BilmWeights, key: tuple[int, int], target: Target) -> None:
        matrix = weights.lstms[key].matrices[target]
        m, n = matrix.shape
        name = f"{DIRECTIONS[key[0]]} layer {key[1]} {target} ({m} x {n})"
        if isinstance(matrix, Factors):
            raise InputError(
                f"compression.targets: found {name} factored at rank {matrix.rank}, expected a dense matrix"
            )
        if self.rank > min(m, n):
            raise InputError(f"compression.rank: found {self.rank}, expected at most {min(m, n)}, the rank of {name}")
        if self.rank >= break_even_rank(m, n) and not self.allow_larger:
            raise InputError(
                f"compression.rank: found {self.rank}, expected less than {break_even_rank(m, n):.1f}, the break-even "
                f"rank of {name}: from there on factors are no smaller; set allow_larger to have them all the same"
            )

    def noted_in(self, options: BilmOptions) -> BilmOptions:
        """The options with this compression in their history, under the key `elmo_mf`."""
        history = list(options.extra.get("elmo_mf", {}).get("compressions", []))
        note = {"compressions": [*history, self.to_dict()]}
        return replace(options, extra={**options.extra, "elmo_mf": note})


def break_even_rank(m: int, n: int) -> float:
    """The rank at which factors of an (m, n) matrix have as many parameters as the matrix: m n / (m + n)."""
    return m * n / (m + n)


def _check_names(field: str, found: list[str], known: Sequence[str]) -> None:
    if not found:
        raise InputError(f"compression.{field}: found none, expected any of {', '.join(known)}")
    for name in found:
        if name not in known:
            raise InputError(f"compression.{field}: found {name!r}, expected any of {', '.join(known)}")
