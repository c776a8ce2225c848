"""Perplexities of an ELMo and of compressed forms of it, as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmo_mf.bilm.checkpoint_files import checkpoint_files
from elmo_mf.devices import usable_device
from elmo_mf.errors import InputError, absent
from elmo_mf.io.sentences import check_texts
from elmo_mf.pretrain._evaluate import Evaluation, evaluate_each
from elmo_mf.provenance import provenance
from elmo_mf.records import Compression
from elmo_mf.resources import base_elmo
from elmo_mf.tabular import Tabular

if TYPE_CHECKING:
    import pandas as pd
    import torch


@dataclass(frozen=True, repr=False)
class Perplexities(Tabular):
    """Perplexities of encoders on the same texts.

    Attributes:
        evaluations: One of each encoder, the given one first.
        device: Device on which they ran.
    """

    evaluations: tuple[Evaluation, ...]
    device: torch.device

    def to_dict(self) -> dict[str, Any]:
        """Return the perplexities as JSON values, with hashes of all files, versions and the machine."""
        entries = [one.to_dict() for one in self.evaluations]
        return {"perplexities": entries, **provenance(self.device).to_dict()}

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each encoder: the columns are attributes of `Evaluation`."""
        import pandas as pd

        columns = ["encoder", "forward", "backward", "words", "unknown", "parameters"]
        return pd.DataFrame([one.to_dict() for one in self.evaluations], columns=columns)


def perplexity(
    texts: str | Path | Sequence[str | Path],
    options: str | Path | None = None,
    weights: str | Path | None = None,
    *,
    compressions: Sequence[Compression] = (),
    softmax: str | Path | None = None,
    device: str | torch.device = "cpu",
    max_tokens: int = 80,
    limit: int | None = None,
    done: Callable[[Evaluation], None] = lambda one: None,
) -> Perplexities:
    """Compute the perplexity of an ELMo on held-out text, as it is and compressed; `elmo-mf perplexity` calls it.

    Each sentence is read on its own. Words that are not in the vocabulary count as `<UNK>`, so that only perplexities
    of encoders with the same vocabulary are comparable.

    Args:
        texts: Files of tokenised text, one sentence per line.
        options: `options.json` of the ELMo; or, without `weights`, a folder or a zip with all its files. Defaults to an
            embedded ELMo, `weights/base`.
        weights: Weights of the ELMo, HDF5.
        compressions: Compressions to evaluate too.
        softmax: Folder of `softmax.hdf5` and `vocabulary.txt`, which `elmo-mf pretrain` writes. Defaults to the folder
            of the weights.
        device: `cpu`, `cuda` or `cuda:N`. Defaults to the CPU.
        max_tokens: Number of tokens at which longer sentences are split. Defaults to 80.
        limit: Number of lines of each file to read. Defaults to all.
        done: Called with each evaluation as soon as it is known.

    Returns:
        The perplexities of both directions.

    Raises:
        InputError: A file is missing or does not match the others, or a compression does not fit.

    Examples:
        >>> from elmo_mf import Compression, perplexity
        >>> from elmo_mf.compression.calibration import CALIBRATION_TEXT
        >>> small = Compression(method="svd", targets="all", rank=16)
        >>> result = perplexity(CALIBRATION_TEXT, "weights/base", compressions=[small], limit=10)
        >>> result.to_pandas()[["encoder", "parameters"]]
                   encoder  parameters
        0         as it is     2959360
        1  svd all rank 16      403456
    """
    files = [texts] if isinstance(texts, str | Path) else list(texts)
    check_texts(files)
    where = usable_device(device)
    if options is None:
        if weights is not None:
            raise InputError("options", absent(f"the options.json of the weights {weights}"))
        options, weights = base_elmo()
    beside, every = None if softmax is None else Path(softmax), [None, *compressions]
    evaluations = []
    with checkpoint_files(options, weights) as elmo:
        read = [Path(file) for file in files]
        for one in evaluate_each(elmo.options, elmo.weights, read, every, beside, where, max_tokens, limit):
            done(one)
            evaluations.append(one)
    return Perplexities(tuple(evaluations), where)
