"""The ELMo that a pretraining run continues from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from elmo_mf.bilm.checkpoint import cell_group, read_weights
from elmo_mf.bilm.checkpoint_files import vocabulary_beside
from elmo_mf.bilm.options import BilmOptions, WordTableOptions
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.errors import InputError
from elmo_mf.pretrain._softmax_words import VOCABULARY_FILE, reject_unicode
from elmo_mf.pretrain.settings import Dtype, PretrainSettings
from elmo_mf.pretrain.word_softmax import SOFTMAX_FILE, read_softmax, softmax_kind
from elmo_mf.provenance import file_hash
from elmo_mf.storage.numbers import NumbersFile


@dataclass(frozen=True)
class Start:
    """An ELMo whose training continues, dense or factored, with its softmax if it has one.

    Attributes:
        options_file: Its options.
        weight_file: Its weights.
        softmax: Folder of its `softmax.hdf5` and `vocabulary.txt`. None for a new softmax.
    """

    options_file: Path
    weight_file: Path
    softmax: Path | None = None

    @classmethod
    def with_softmax_beside(cls, options_file: Path, weight_file: Path) -> Start:
        """Build a start with the softmax and the vocabulary in the folder of the weights, if both are there.

        Args:
            options_file: Options of the ELMo.
            weight_file: Its weights.
        """
        folder = weight_file.parent
        both = all((folder / name).is_file() for name in (SOFTMAX_FILE, VOCABULARY_FILE))
        return cls(options_file, weight_file, folder if both else None)

    @property
    def files(self) -> dict[str, Path]:
        """The files by what they are."""
        files = {"options": self.options_file, "weights": self.weight_file}
        if self.softmax is not None:
            files |= {"softmax": self.softmax / SOFTMAX_FILE, "vocabulary": self.softmax / VOCABULARY_FILE}
        words = vocabulary_beside(self.weight_file) if self.is_word_level else None
        return files if words is None else files | {"words": words}

    @cached_property
    def is_word_level(self) -> bool:
        """Whether the ELMo has a vocabulary of its own, which its softmax then shares."""
        return isinstance(BilmOptions.from_file(self.options_file).token_layer, WordTableOptions)

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each file."""
        return {name: file_hash(path) for name, path in self.files.items()}

    def adapt(self, settings: PretrainSettings) -> PretrainSettings:
        """Return settings with the sizes of this ELMo and the kind of its softmax.

        Args:
            settings: The settings of the run.

        Raises:
            InputError: The settings ask for sizes or for factors of their own, a file is damaged, or the ELMo is one of
                ELMoForManyLangs.
        """
        if settings.architecture is not None or settings.compression is not None:
            kind = "sizes" if settings.compression is None else "factors"
            raise InputError("settings", f"{kind} cannot be set when continuing from an ELMo ({self.options_file})")
        options = BilmOptions.from_file(self.options_file)
        reject_unicode(options, self.options_file)
        changes: dict[str, object] = {"architecture": options.to_dict()}
        if self.softmax is not None:
            changes["softmax"] = softmax_kind(self.softmax / SOFTMAX_FILE)
        return PretrainSettings.model_validate(settings.model_dump() | changes)

    def dtype(self) -> Dtype:
        """Return the type in which the weights are stored; float32 if it is neither that nor float16.

        Raises:
            InputError: The file is missing or damaged.
        """
        with NumbersFile(self.weight_file, "weight file", "HDF5 in the official layout or factored") as file:
            return "float16" if file.dtype(f"{cell_group(0, 0)}/B") == "float16" else "float32"

    def weights(self, options: BilmOptions) -> BilmWeights:
        """Read the weights.

        Args:
            options: The ELMo's options.

        Raises:
            InputError: See `read_weights`.
        """
        return read_weights(self.weight_file, options)

    def vocabulary(self) -> Vocabulary | None:
        """Read the words of the softmax, which in a word-level ELMo are those of its table; None if they are new.

        Raises:
            InputError: The softmax has other words than the table.
        """
        words = None if self.softmax is None else Vocabulary.from_file(self.softmax / VOCABULARY_FILE)
        if not self.is_word_level:
            return words
        table = self.weights(BilmOptions.from_file(self.options_file)).vocabulary
        if table is not None and words is not None and words != table:
            place = next(row for row, word in enumerate(table.words) if words.words[row : row + 1] != (word,))
            raise InputError(
                f"{self.softmax}/{VOCABULARY_FILE}",
                f"line {place + 1}",
                f"found another word, expected the vocabulary of {self.weight_file}",
            )
        return table

    def read_softmax(self, width: int, n_words: int) -> nn.Module | None:
        """Read the softmax and check its sizes; None if there is none.

        Args:
            width: Width of its inputs, p.
            n_words: Size of the vocabulary.

        Raises:
            InputError: See `read_softmax`.
        """
        return None if self.softmax is None else read_softmax(self.softmax / SOFTMAX_FILE, width, n_words)
