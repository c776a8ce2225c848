"""Run `elmo-mf` as `python -m elmo_mf`."""

import sys

from elmo_mf.cli.main import main

sys.exit(main())
