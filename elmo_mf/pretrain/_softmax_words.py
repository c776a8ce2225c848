"""The words of the softmax beside an ELMo, and whether it can have any."""

from __future__ import annotations

from pathlib import Path

from elmo_mf.bilm.options import BilmOptions, UnicodeCnnOptions
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.errors import InputError

VOCABULARY_FILE = "vocabulary.txt"


def softmax_words(options: BilmOptions, options_file: Path, folder: Path) -> Vocabulary:
    """Read the words of a softmax.

    Args:
        options: Options of the ELMo.
        options_file: Their file, for errors.
        folder: Folder of the softmax and the vocabulary.

    Raises:
        InputError: The ELMo can have no softmax, or the vocabulary cannot be read.
    """
    reject_unicode(options, options_file)
    return Vocabulary.from_file(folder / VOCABULARY_FILE)


def reject_unicode(options: BilmOptions, where: Path) -> None:
    """Reject an ELMo of ELMoForManyLangs, whose `vocabulary.txt` has its own words, and not those of a softmax.

    Raises:
        InputError: It is one.
    """
    if isinstance(options.token_layer, UnicodeCnnOptions):
        found, expected = (
            f"an ELMo with a {options.token_layer.title}, which has no softmax",
            "one that can have a softmax",
        )
        raise InputError(where, f"found {found}, expected {expected}")
