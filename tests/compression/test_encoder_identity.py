"""Tests of what resumed commands recognise their results by."""

from __future__ import annotations

from pathlib import Path

import pytest

from elmo_mf import Compression
from elmo_mf.bilm import encoder
from elmo_mf.compression import apply, encoder_identity
from elmo_mf.compression.methods import whitened_svd


def test_content_and_versions_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content of the calibration text counts, not its path; and so does the version of each part that computes."""
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    for file in (first, second):
        file.write_text("a b\n", encoding="utf-8")
    compression = Compression(method="whitened_svd", targets="all", rank=2, calibration=str(first))
    identity = encoder_identity(compression)
    assert encoder_identity(compression.model_copy(update={"calibration": str(second)})) == identity
    assert encoder_identity(None) != identity
    first.write_text("a c\n", encoding="utf-8")
    assert encoder_identity(compression) != identity
    for owner in (encoder, apply, type(whitened_svd.WhitenedSvd())):
        with monkeypatch.context() as patch:
            before = encoder_identity(compression)
            patch.setattr(owner, "VERSION", 99)
            assert encoder_identity(compression) != before
