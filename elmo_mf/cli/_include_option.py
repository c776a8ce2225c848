"""The option that names methods and tasks from outside this package."""

from __future__ import annotations

from typing import Annotated

from typer import Option

Include = Annotated[
    list[str],
    Option(
        "--include",
        metavar="PATH_OR_MODULE",
        help="Python file, folder or module with methods and tasks of your own; can be repeated.",
    ),
]
