"""The one exception that bad input raises, so that the command line can turn it into a one-line error."""

_MOST = 1000  # characters


def one_line(error: object, most: int = 160) -> str:
    """Another library's error as part of a message: its kind and text, without line breaks, at most so long."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:most]


class InputError(ValueError):
    """Something the user gave is wrong; the message is one line that names what, where, found and expected.

    What was found may be anything: line breaks and what cannot be printed are escaped, and the middle of a message that
    is too long is left out.
    """

    def __init__(self, message: str) -> None:
        line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        if len(line) > _MOST:
            line = f"{line[: _MOST // 2]} ... {line[-_MOST // 2 :]}"
        super().__init__(line)
