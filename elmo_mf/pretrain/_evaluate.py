"""Evaluate a checkpoint, dense or compressed, as a language model with its softmax."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.compression import size_report, with_file_hashes
from elmo_mf.io.sentences import read_with_hash
from elmo_mf.pretrain._corpus import Corpus
from elmo_mf.pretrain._model import LanguageModel, perplexities
from elmo_mf.pretrain._softmax_words import softmax_words
from elmo_mf.pretrain.word_softmax import SOFTMAX_FILE, read_softmax
from elmo_mf.progress import track
from elmo_mf.provenance import file_hash
from elmo_mf.records import Compression
from elmo_mf.records.labels import compression_label

_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Evaluation:
    """Perplexities of an encoder as a language model.

    Attributes:
        encoder: Label of the compression.
        compression: Keys of `Compression`; None for the checkpoint as stored.
        forward: Perplexity of the forward direction, over all words and sentence ends.
        backward: Perplexity of the backward direction, over all words and sentence starts.
        words: Number of words of the texts.
        unknown: Share of the words that are not in the vocabulary.
        parameters: Number of parameters of the LSTMs.
        hashes: SHA-256 of the files.
    """

    encoder: str
    compression: dict[str, Any] | None
    forward: float
    backward: float
    words: int
    unknown: float
    parameters: int
    hashes: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as JSON values."""
        return asdict(self)


def evaluate(
    options_file: Path,
    weight_file: Path,
    texts: Sequence[Path],
    compression: Compression | None = None,
    beside: Path | None = None,
    device: torch.device | None = None,
    max_tokens: int = 80,
    limit: int | None = None,
) -> Evaluation:
    """Compute the perplexities of a checkpoint as a language model.

    Args:
        options_file: Options of the checkpoint.
        weight_file: Weights of the checkpoint.
        texts: Files of tokenised text, one sentence per line.
        compression: Compression of the encoder. Defaults to none.
        beside: Folder of the softmax and the vocabulary. Defaults to the folder of the weights.
        device: Device to run on. Defaults to the CPU.
        max_tokens: Number of tokens at which longer sentences are split into chunks.
        limit: Number of lines to read from each file. Defaults to all.

    Raises:
        InputError: A file is missing or does not match the others.
    """
    return next(evaluate_each(options_file, weight_file, texts, [compression], beside, device, max_tokens, limit))


def evaluate_each(
    options_file: Path,
    weight_file: Path,
    texts: Sequence[Path],
    compressions: Sequence[Compression | None],
    beside: Path | None = None,
    device: torch.device | None = None,
    max_tokens: int = 80,
    limit: int | None = None,
) -> Iterator[Evaluation]:
    """Evaluate several compressions in turn, as `evaluate` does; the texts are read only once, so they can be pipes.

    Args:
        options_file: See `evaluate`.
        weight_file: See `evaluate`.
        texts: See `evaluate`.
        compressions: What to compress; None for nothing.
        beside: See `evaluate`.
        device: See `evaluate`.
        max_tokens: See `evaluate`.
        limit: See `evaluate`.

    Yields:
        The evaluation of each compression.
    """
    device, folder = device or torch.device("cpu"), beside or weight_file.parent
    read = [read_with_hash(path, max_tokens, limit) for path in texts]
    sentences = [sentence for part, _ in read for sentence in part]
    files = {"options": options_file, "weights": weight_file, "softmax": folder / SOFTMAX_FILE}
    for compression in compressions:
        model, vocabulary = read_language_model(options_file, weight_file, compression, folder)
        options = model.bilm.options
        corpus = Corpus(sentences, vocabulary, model.bilm.token_layer.word_ids)
        encoder = "as it is" if compression is None else compression_label(compression)
        batches = track(list(corpus.batches(_BATCH_TOKENS, None)), f"perplexity, {encoder}", "batches")
        forward, backward = perplexities(model.to(device), batches, corpus.characters.to(device))
        unknown = sum(word not in vocabulary.ids for sentence in sentences for word in sentence) / corpus.n_words
        hashes = {name: file_hash(path) for name, path in files.items()} | {"texts": [sha256 for _, sha256 in read]}
        yield Evaluation(
            encoder=encoder,
            compression=None if compression is None else with_file_hashes(compression).to_dict(),
            forward=forward,
            backward=backward,
            words=corpus.n_words,
            unknown=unknown,
            parameters=size_report(model.bilm.weights(), options).lstm_parameters,
            hashes=hashes,
        )


def read_language_model(
    options_file: Path, weight_file: Path, compression: Compression | None, folder: Path
) -> tuple[LanguageModel, Vocabulary]:
    """Read the language model of a checkpoint.

    Args:
        options_file: Options of the ELMo.
        weight_file: Its weights.
        compression: What to compress; None for nothing.
        folder: Folder of the softmax and the vocabulary.

    Returns:
        The model in evaluation mode, and the words of the softmax.

    Raises:
        InputError: A file is missing or does not match the others.
    """
    options = BilmOptions.from_file(options_file)
    vocabulary = softmax_words(options, options_file, folder)
    width = options.lstm.projection_dim
    softmax = read_softmax(folder / SOFTMAX_FILE, width, len(vocabulary))  # fails before the work of a compression
    bilm = Bilm.from_files(options_file, weight_file, compression)
    return LanguageModel(bilm, softmax).eval(), vocabulary
