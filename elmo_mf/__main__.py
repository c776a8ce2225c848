"""`python -m elmo_mf` is `elmo-mf`."""

import sys

from elmo_mf.cli.main import main

sys.exit(main())
