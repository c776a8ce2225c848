"""Run `elmo-mf`, as the console script and as `python -m elmo_mf`."""

import sys


def entry() -> None:
    """Run the command line and exit, without a traceback also if it is interrupted while modules are imported."""
    try:
        from elmo_mf.cli.main import main

        status = main()
    except KeyboardInterrupt:
        from elmo_mf.errors import INTERRUPTED

        print("elmo-mf: interrupted", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)


if __name__ == "__main__":
    entry()
