"""Options that say how to compress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elmo_mf.errors import InputError

if TYPE_CHECKING:
    from elmo_mf.compression import Compression

_BUDGETS = ("parameters", "bytes", "multiply_adds")


def compression(
    method: str, size: str | None, within: str | None, targets: str, highways: str | None, **more: Any
) -> Compression | None:
    """From `--method`, `--rank`, `--budget`, `--targets` and `--highway-rank`; None where nothing is to be compressed.

    Raises:
        InputError: any of them is wrong, or there are both a rank and a budget; or neither, where others ask for one.
    """
    from elmo_mf.compression import read_compression

    more["highway_rank"] = highway_rank(highways)
    if size is not None and within is not None:
        raise InputError("--rank, --budget: found both, expected one of the two")
    if size is None and within is None:
        for option, found, default in (("--method", method, "svd"), ("--targets", targets, "all")):
            if found != default:
                raise InputError(f"{option}: found {found} without --rank or --budget, expected one of the two")
        if highways is None:
            return None
        return read_compression(more)
    return read_compression({"method": method, "rank": rank(size), "targets": targets, "budget": budget(within)} | more)


def highway_rank(text: str | None) -> int | str | None:
    """`128`, or `budget`.

    Raises:
        InputError: something else.
    """
    if text is None or text == "budget":
        return text
    if not text.isdecimal():
        raise InputError(f"--highway-rank: found {text!r}, expected an integer, or budget")
    return int(text)


def rank(text: str | None) -> int | dict[str, int] | None:
    """`64`, or `input=64,projection=128`.

    Raises:
        InputError: something else.
    """
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and number.isdecimal() for name, _, number in pairs):
        raise InputError(f"--rank: found {text!r}, expected an integer, or one a target such as input=64,recurrent=32")
    return {name: int(number) for name, _, number in pairs}


def budget(text: str | None) -> dict[str, float] | None:
    """`500000` parameters, `bytes=2000000`, `multiply_adds=500000`, or `10%` of the dense biLSTM's parameters.

    Raises:
        InputError: something else.
    """
    if text is None:
        return None
    if text.endswith("%") and text[:-1].replace(".", "", 1).isdecimal():
        return {"share": float(text[:-1]) / 100}
    kind, _, number = text.rpartition("=")
    if not number.isdecimal() or kind not in ("", *_BUDGETS):
        kinds = ", ".join(f"{name}=NUMBER" for name in _BUDGETS)
        raise InputError(f"--budget: found {text!r}, expected a number of parameters, {kinds}, or a percentage")
    return {kind or "parameters": int(number)}


def settings(texts: list[str]) -> dict[str, Any]:
    """`name=value` each; numbers where they read as such.

    Raises:
        InputError: something else.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"--setting: found {text!r}, expected name=value")
        found[name] = _number(value)
    return found


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
