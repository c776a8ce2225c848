"""Build the token layer that the options of an encoder describe."""

from __future__ import annotations

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.checkpoint import StoredWeights
from elmo_mf.bilm.options import BilmOptions, CharCnnOptions, UnicodeCnnOptions
from elmo_mf.bilm.runtime import Precision
from elmo_mf.bilm.token_layer import TokenLayer
from elmo_mf.bilm.unicode_cnn import UnicodeCnn
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.bilm.word_table import WordTable
from elmo_mf.errors import InputError


def token_layer(
    options: BilmOptions, weights: BilmWeights | StoredWeights, precision: Precision = "float32"
) -> TokenLayer:
    """Build a token layer.

    Args:
        options: Options of the encoder.
        weights: Its weights.
        precision: See `CharCnn`; word tables are in float32.

    Raises:
        InputError: The token layer has a table of words, and the weights have no vocabulary.
    """
    sizes, p = options.token_layer, options.lstm.projection_dim
    if isinstance(sizes, CharCnnOptions):
        return CharCnn(sizes, p, weights.token_layer, precision)
    if weights.vocabulary is None:
        raise InputError("weights", "found a table of words without a vocabulary, expected one")
    if isinstance(sizes, UnicodeCnnOptions):
        return UnicodeCnn(sizes, p, weights.token_layer, weights.vocabulary, precision)
    return WordTable(weights.token_layer, weights.vocabulary)
