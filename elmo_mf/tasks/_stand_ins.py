"""The runs of a sweep whose published files have not been downloaded yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from elmo_mf.bench import published_options
from elmo_mf.bilm.checkpoint import zero_weights
from elmo_mf.records.run import Run
from elmo_mf.tasks._published_files import PublishedFiles
from elmo_mf.tasks.grid import expand
from elmo_mf.tasks.spec import SweepSpec

_SIZES = {"original-5.5b": "original"}  # published ELMos whose size is that of another


def expand_without_files(spec: SweepSpec, missing: Sequence[PublishedFiles]) -> list[Run]:
    """List the runs of a sweep from what is known of published files that are missing.

    An ELMo of the same size with weights of zero stands in for the published one, the tasks' demo data for their data,
    and any file for word vectors. So compressions are checked and runs are labelled as they will be, but their ids are
    others.

    Args:
        spec: The sweep.
        missing: Its missing files, see `missing_files`.

    Raises:
        InputError: A run would fail for a reason that is known beforehand.
    """
    kinds = {entry.kind: entry.name for entry in missing}
    with TemporaryDirectory() as folder:
        stand_in = Path(folder) / "options.json"
        changes: dict[str, Any] = {"data": None} if "data" in kinds else {}
        if "words" in kinds:
            stand_in.write_text("{}", encoding="utf-8")
            changes["glove"] = str(stand_in)
        if "weights" not in kinds:
            return expand(spec.model_copy(update=changes))
        options = published_options(_SIZES.get(kinds["weights"], kinds["weights"]))
        stand_in.write_text(json.dumps(options.to_dict()), encoding="utf-8")
        changes |= {"options": str(stand_in), "weights": str(stand_in)}
        return expand(spec.model_copy(update=changes), zero_weights(options))
