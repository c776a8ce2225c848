"""The official URLs of ELMo's weights, of the tasks' data and of word vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["weights", "data", "words"]


@dataclass(frozen=True, eq=False)
class Source:
    """A file to download.

    Attributes:
        url: URL at which the authors publish the file.
        files: Name of each extracted file by its name in the archive; for a file that is not an archive, one entry with
            an empty key.
        sha256: SHA-256 of the download; None if none is published, so that the hash of the first download is kept in
            the lock file.
        size: Size in bytes, if known.
    """

    url: str
    files: dict[str, str] = field(default_factory=dict)
    sha256: str | None = None
    size: int | None = None

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return self.url.rsplit("/", 1)[1]


def _weights(folder: str, *sizes: int) -> tuple[Source, Source]:
    address = f"https://allennlp.s3.amazonaws.com/models/elmo/{folder}/elmo_{folder}"
    options, weights = sizes or (None, None)
    return (
        Source(f"{address}_options.json", {"": "options.json"}, size=options),
        Source(f"{address}_weights.hdf5", {"": "weights.hdf5"}, size=weights),
    )


WEIGHTS: dict[str, tuple[Source, ...]] = {
    "small": _weights("2x1024_128_2048cnn_1xhighway"),
    "medium": _weights("2x2048_256_2048cnn_1xhighway"),
    "original": _weights("2x4096_512_2048cnn_2xhighway", 336, 374_434_792),
    "original-5.5b": _weights("2x4096_512_2048cnn_2xhighway_5.5B"),
}
"""ELMo as published by its authors (Peters et al. 2018), without hashes. The sizes are from logs of downloads."""

_GLOVE = "https://nlp.stanford.edu/data"

WORDS: dict[str, tuple[Source, ...]] = {
    "glove.840B.300d": (
        Source(
            f"{_GLOVE}/glove.840B.300d.zip",
            {"glove.840B.300d.txt": "glove.840B.300d.txt"},
            "c06db255e65095393609f19a4cfca20bf3a71e20cc53e892aafa490347e3849f",
            2_176_768_927,
        ),
    ),
    "glove.6B.100d": (
        Source(
            f"{_GLOVE}/glove.6B.zip",
            {"glove.6B.100d.txt": "glove.6B.100d.txt"},
            "617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb",
            862_182_613,
        ),
    ),
}
"""The word vectors of the preset `paper` (Pennington et al. 2014). The hashes are those in torchtext and Embeddings.jl,
and for glove.6B also in NumPy's tutorials."""

_SQUAD = "https://rajpurkar.github.io/SQuAD-explorer/dataset"

DATA: dict[str, tuple[Source, ...]] = {
    "sst": (
        Source(
            "https://nlp.stanford.edu/sentiment/trainDevTestTrees_PTB.zip",
            {f"trees/{split}.txt": f"{split}.txt" for split in ("train", "dev", "test")},
            "5c613a4f673fc74097d523a2c83f38e0cc462984d847b82c7aaf36b01cbbbfcc",
        ),
    ),
    "snli": (
        Source(
            "https://nlp.stanford.edu/projects/snli/snli_1.0.zip",
            {f"snli_1.0/snli_1.0_{split}.jsonl": f"{split}.jsonl" for split in ("train", "dev", "test")},
            "afb3d70a5af5d8de0d9d81e2637e0fb8c22d1235c2749d83125ca43dab0dbd3e",
        ),
    ),
    "squad": (
        Source(
            f"{_SQUAD}/train-v1.1.json",
            {"": "train.json"},
            "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955",
        ),
        Source(
            f"{_SQUAD}/dev-v1.1.json",
            {"": "dev.json"},
            "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",
        ),
    ),
}
"""Data by task, with the hashes that several public projects use for these files."""

CATALOGUES: dict[Kind, dict[str, tuple[Source, ...]]] = {"weights": WEIGHTS, "data": DATA, "words": WORDS}
