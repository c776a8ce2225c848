"""Token embeddings: the vectors that a character CNN gave for all words of a vocabulary.

The file is bilm-tf's `elmo_token_embeddings.hdf5`, whose dataset `embedding` (words, p) has the vocabulary's order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.checkpoint_files import VOCABULARIES, vocabulary_beside
from elmo_mf.bilm.token_layer import TokenLayer
from elmo_mf.bilm.vocabulary import read_rows
from elmo_mf.bilm.weights import Array
from elmo_mf.errors import InputError
from elmo_mf.io import atomic_path, check_settled
from elmo_mf.progress import stage
from elmo_mf.storage import hdf5_file
from elmo_mf.storage.numbers import NumbersFile, as_stored, write_blocks

_DATASET = "embedding"
_EXPECTED = "token embeddings, as elmo-mf embed --vocabulary and bilm-tf write them"
_WORDS_AT_ONCE = 4096
_SAMPLE = 16  # words whose vectors are computed to see that a file belongs to an encoder
_MOST_ERROR = 0.01  # of the vectors of these words, relative; weights in float16 are 0.001 off
_MOST_ERROR_OF_ROUNDED = 0.03  # weights that were rounded to int8 are 0.008 off


@dataclass(frozen=True, eq=False)
class TokenEmbeddings:
    """Vectors of words.

    Attributes:
        vectors: (words, p).
        rows: The row of each word, by the bytes of its ids, see `keys_of`.
        layer_digest: Digest of the parameters of the token layer that they belong to, see `digest_of`.
    """

    vectors: Tensor
    rows: dict[bytes, int]
    layer_digest: str

    def belong_to(self, layer: TokenLayer) -> bool:
        """Return whether the parameters of a token layer are still those to which the vectors belong."""
        return digest_of(layer) == self.layer_digest


def keys_of(ids: Tensor) -> list[bytes]:
    """Return the bytes of each row of ids (words, width), which distinguish words."""
    return [row.tobytes() for row in ids.to(torch.int32).numpy()]


def digest_of(layer: TokenLayer) -> str:
    """Return the SHA-256 of the parameters of a token layer, in hex."""
    digest = hashlib.sha256()
    for array in layer.arrays().values():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read_token_embeddings(path: Path, vocabulary: Path | None, layer: TokenLayer) -> TokenEmbeddings:
    """Read token embeddings, and check on some words that they belong to an encoder.

    Args:
        path: The HDF5 file.
        vocabulary: Its words, one per line; by default the vocabulary in the same folder.
        layer: The token layer of the encoder.

    Returns:
        The vectors, in float32.

    Raises:
        InputError: A file is missing or damaged; the vocabulary has another number of words; or the vectors are not
            those of the token layer.
    """
    if not isinstance(layer, CharCnn) or layer.vocabulary is not None:
        found, expected = "an ELMo that has a table of words", "an ELMo with only a character CNN"
        raise InputError(path, f"found token embeddings for {found}, expected {expected}")
    if path.is_dir():
        raise InputError(path, f"found a folder, expected {_EXPECTED}")
    words_file = vocabulary or vocabulary_beside(path)
    if words_file is None:
        expected = f"{', '.join(VOCABULARIES)}, or another that is given"
        raise InputError(path.parent, f"found no vocabulary next to {path.name}, expected {expected}")
    words = read_rows(words_file)
    vectors = _read_vectors(path, layer.output_dim)
    if len(words) != len(vectors):
        raise InputError(path, f"found vectors of {len(vectors):,} words, expected {len(words):,} as in {words_file}")
    _check_vectors(path, words, vectors, layer)
    keys = (key for ids in _ids(words, layer) for key in keys_of(ids))
    return TokenEmbeddings(torch.from_numpy(vectors), {key: row for row, key in enumerate(keys)}, digest_of(layer))


def _read_vectors(path: Path, width: int) -> Array:
    check_settled(path.parent)
    with NumbersFile(path, "file", _EXPECTED) as file:
        file.check_size([_DATASET])
        vectors = file.read(_DATASET, (-1, -1))
        if vectors.shape[1] != width:
            file.fail(_DATASET, f"shape {vectors.shape}", f"vectors of {width}, as the encoder has")
    return vectors


def _check_vectors(path: Path, words: Sequence[str], vectors: Array, layer: CharCnn) -> None:
    """Compute the vectors of some words in float32, whatever the layer's precision, and compare."""
    rows = np.unique(np.linspace(0, len(words) - 1, min(_SAMPLE, len(words))).astype(int))
    reference = CharCnn(layer.options, layer.output_dim, layer.arrays()).eval()
    for row in rows:
        with torch.no_grad():
            computed = reference(torch.tensor([layer.word_ids(words[row])])).numpy()[0]
        error = np.linalg.norm(vectors[row] - computed) / np.linalg.norm(computed)
        if not error <= (_MOST_ERROR_OF_ROUNDED if layer.is_rounded else _MOST_ERROR):
            found = f"a vector of {words[row]!r:.40} that is {error:.0%} off the character CNN's"
            raise InputError(path, _DATASET, f"found {found}, expected token embeddings of these weights and words")


def write_token_embeddings(path: Path, layer: TokenLayer, words: Sequence[str]) -> None:
    """Write the vectors of words, atomically.

    Args:
        path: The HDF5 file.
        layer: The token layer.
        words: The words, in the order of the rows.

    Raises:
        InputError: A vector is not finite.
        OutputError: The file cannot be written.
    """

    def blocks() -> Iterator[Array]:
        with stage("token vectors", len(words), "words") as advance:
            for ids in _ids(words, layer):
                with torch.no_grad():
                    vectors = layer(ids.to(layer.embedding.device)).float().cpu().numpy()
                yield as_stored(vectors, "float32", f"{path}: {_DATASET}")
                advance(len(vectors))

    with atomic_path(path) as temporary, hdf5_file(temporary) as file:
        write_blocks(file, _DATASET, (len(words), layer.output_dim), blocks())


def _ids(words: Sequence[str], layer: TokenLayer) -> Iterator[Tensor]:
    """Yield the ids of words, (words, width), some thousands at once."""
    for start in range(0, len(words), _WORDS_AT_ONCE):
        yield torch.tensor([layer.word_ids(word) for word in words[start : start + _WORDS_AT_ONCE]])
