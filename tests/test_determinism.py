"""Sums in a fixed order are asked for where there is a GPU, and for no longer than that."""

from __future__ import annotations

import pytest
import torch

from elmo_mf.determinism import deterministic


@pytest.mark.parametrize("gpu", [False, True])
def test_for_as_long_as_it_lasts(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)

    @deterministic()
    def run() -> None:
        assert torch.are_deterministic_algorithms_enabled() == gpu
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            run()
        assert not torch.are_deterministic_algorithms_enabled()
