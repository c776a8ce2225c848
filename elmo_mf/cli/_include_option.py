"""The option that names methods and tasks from outside this package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from typer import Option

from elmo_mf.cli._option_names import options_named

Include = Annotated[
    list[str],
    Option(
        "--include",
        metavar="PATH_OR_MODULE",
        help="Python file, folder or module with methods and tasks of your own; can be repeated.",
    ),
]


def include_all(names: Iterable[str]) -> None:
    """Import what the option names, see `elmo_mf.extensions.include`."""
    from elmo_mf.extensions import include

    with options_named({"include": "--include"}):
        include(names)
