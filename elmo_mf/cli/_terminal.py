"""Printing on terminals of any encoding, without control sequences that untrusted text may contain."""

from __future__ import annotations

import codecs
import io
import os
import sys

from elmo_mf.errors import visible

_READABLE = {
    "★": "*", "◆": "^", "†": "+", "±": "+-", "…": "...", "\u00d7": "x", "\u2013": "-", "\u2014": "-",
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2212": "-",
}  # fmt: skip
_HANDLER = "elmo-mf-readable"


def set_up() -> None:
    """Let standard output and error replace characters that their encoding lacks by readable ones, and show each line.

    Hugging Face's client shows progress bars on terminals only.
    """
    if not (sys.stderr and sys.stderr.isatty()):
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    codecs.register_error(_HANDLER, _readable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER, line_buffering=True)


def _readable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    shown = (_READABLE.get(c, c.encode("ascii", "backslashreplace").decode()) for c in characters)
    return "".join(shown), error.end


def echo(text: str, err: bool = False) -> None:
    """Print a line, with unprintable characters escaped."""
    print(visible(text), file=sys.stderr if err else sys.stdout)
