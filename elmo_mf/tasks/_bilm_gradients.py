"""Gradients of an ELMo's loss as a language model with respect to the outputs of its matrices, token by token."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from elmo_mf.errors import check_finite
from elmo_mf.pretrain import Batch, LanguageModel
from elmo_mf.tasks._token_gradients import TokenMoments

VERSION = 1
"""Version of these gradients, part of a run's identity; raised when they change."""


def loss_gradients(
    model: LanguageModel, batches: Iterable[Batch], characters: Tensor, with_covariances: bool = True
) -> TokenMoments:
    """Compute the second moments of the gradients of the loss summed over all words.

    Args:
        model: The language model, with a dense encoder.
        batches: Sentences.
        characters: Character ids of all distinct words.
        with_covariances: Whether to compute output covariances beside the row weights. Defaults to True.

    Raises:
        InputError: The loss is not finite.
    """
    model.eval().requires_grad_(True)
    moments = TokenMoments(model.bilm, with_covariances)
    with torch.enable_grad():
        for batch in batches:
            with moments.of_backward():
                losses = model(batch, characters)
                loss = losses.forward + losses.backward
                check_finite("gradients: loss", float(loss.detach()), "the ELMo did not learn to predict words")
                loss.backward()
            model.zero_grad()
    model.requires_grad_(False)
    return moments
