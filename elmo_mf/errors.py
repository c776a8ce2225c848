"""The one exception that bad input raises, so that the command line can turn it into a one-line error."""


class InputError(ValueError):
    """Something the user gave is wrong; the message is one line that names what, where, found and expected."""
