"""Perplexity of the encoders of `fewer_cells.py`, stored with their biLSTM in four bits.

From the project's root: `python -m docs.compression.four_bits TEXT FOLDER RECORD`, with the text of `equal_bytes.py`
and the folder that `fewer_cells.py` wrote.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from docs.compression.equal_bytes import HIGHWAY_RANKS, stored_form
from docs.compression.fewer_cells import CELLS
from elmo_mf import Bilm
from elmo_mf.io import write_json
from elmo_mf.provenance import provenance
from elmo_mf.resources import base_elmo


def main(text: Path, root: Path, record: Path) -> None:
    """Store each encoder, measure it, and write the record."""
    stored = []
    for cells in CELLS:
        for share in (None, *HIGHWAY_RANKS):
            folder = root / f"{cells} {share}"
            if folder.exists():
                bilm = Bilm.from_files(folder)
                with tempfile.TemporaryDirectory() as temporary:
                    measured = stored_form(bilm, "int4", Path(temporary), text, base_elmo()[1].parent)
                stored.append({"cells": cells, "share": share} | measured)
                print(stored[-1], flush=True)
    write_json(record, {"stored": stored, **provenance().to_dict()})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
