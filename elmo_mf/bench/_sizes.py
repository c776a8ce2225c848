"""The published sizes of ELMo by name, for random weights."""

from __future__ import annotations

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.errors import InputError, one_of

# cells, projection and highway layers, as in the names of AllenNLP's files (2x4096_512_2048cnn_2xhighway, ...)
_SIZES = {"small": (1024, 128, 1), "medium": (2048, 256, 1), "original": (4096, 512, 2)}
_FILTERS = [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]]
SIZES = tuple(_SIZES)


def published_options(size: str) -> BilmOptions:
    """Return the options of an ELMo of a published size.

    Raises:
        InputError: There is no such size; the message lists the sizes.
    """
    if size not in _SIZES:
        raise InputError("size", f"found {size!r}, {one_of(size, SIZES)}")
    cell, projection, n_highway = _SIZES[size]
    return BilmOptions.from_dict(
        {
            "lstm": {
                "dim": cell,
                "projection_dim": projection,
                "n_layers": 2,
                "cell_clip": 3,
                "proj_clip": 3,
                "use_skip_connections": True,
            },
            "char_cnn": {
                "embedding": {"dim": 16},
                "filters": _FILTERS,
                "n_highway": n_highway,
                "activation": "relu",
                "n_characters": 262,
                "max_characters_per_token": 50,
            },
        },
        size,
    )
