"""The token embedder `elmo_mf`: AllenNLP's ELMo with this project's encoder."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from math import prod
from typing import Any

from allennlp.data import Vocabulary
from allennlp.modules.elmo import Elmo
from allennlp.modules.time_distributed import TimeDistributed
from allennlp.modules.token_embedders import ElmoTokenEmbedder, TokenEmbedder
from torch import Tensor, nn

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.unicode_cnn import UnicodeCnn
from elmo_mf.bilm.vocabulary import Vocabulary as ElmoVocabulary
from elmo_mf.compat.loading import weights_being_loaded
from elmo_mf.compression import read_compression
from elmo_mf.errors import InputError
from elmo_mf.plugin.activation_cache import ActivationCache
from elmo_mf.plugin.stored_shapes import EncoderShapes, StoredShapes, shapes_being_loaded
from elmo_mf.plugin.unicode_indexer import add_unicode
from elmo_mf.plugin.words_indexer import NAMESPACE, add_words, saved_words


class ElmoModule(nn.Module):
    """Adapter that lets AllenNLP's `Elmo` use a `Bilm` as its `module`.

    Args:
        bilm: The encoder.
        cache: Activations by sentence; None for no cache.
    """

    def __init__(self, bilm: Bilm, cache: ActivationCache | None) -> None:
        super().__init__()
        self.bilm = bilm
        self.cache = cache
        self.num_layers = bilm.options.lstm.n_layers + 1

    def get_output_dim(self) -> int:
        """Return the width of a layer's vectors, 2p."""
        return self.bilm.output_dim

    def forward(self, inputs: Tensor, word_inputs: Tensor | None = None) -> dict[str, Any]:
        """Compute all layers' vectors, in the form of AllenNLP's `_ElmoBiLm`.

        Args:
            inputs: Ids (sentences, longest, width), 0 past a sentence's end; see `Bilm.token_ids`.
            word_inputs: Unused; AllenNLP passes it for word vectors that were computed before.

        Returns:
            `activations`, a tensor (sentences, longest + 2, 2p) for each layer, and `mask` (sentences, longest + 2).
        """
        activations = self.bilm(inputs) if self.cache is None else self.cache(self.bilm, inputs)
        return {"activations": list(activations.layers), "mask": activations.mask}


def files_of_config(options_file: str | None, weight_file: str | None) -> list[str]:
    """Return the files of an ELMo: options and weights, or one folder or zip.

    Args:
        options_file: Its options, or a folder or zip; None for that of AllenNLP's embedder.
        weight_file: Its weights; None for those of AllenNLP's embedder, or if `options_file` is given, for none.
    """
    theirs = signature(ElmoTokenEmbedder.__init__).parameters
    if options_file is not None and weight_file is None:
        return [options_file]
    return [options_file or theirs["options_file"].default, weight_file or theirs["weight_file"].default]


@TokenEmbedder.register("elmo_mf")
class ElmoMfTokenEmbedder(TokenEmbedder):  # type: ignore[misc]
    """Token embedder that computes a weighted sum of a biLM's layers, like AllenNLP's `elmo_token_embedder`.

    Args:
        options_file: Path or URL of the options of an ELMo checkpoint, official or factored; without `weight_file`, of
            a folder or zip with both. Defaults to the original ELMo, as in `elmo_token_embedder`.
        weight_file: Path or URL of the weights of the same checkpoint.
        compression: Keys of `Compression` (`method`, `rank`, `targets`, ...); None leaves the checkpoint unchanged.
        state: State policy `zero`, `primed` or `carried`, see `Bilm`. Defaults to `zero`.
        dropout: Dropout on the weighted sum. Defaults to 0.5.
        do_layer_norm: Whether to normalise each layer before the sum. Defaults to False.
        scalar_mix_parameters: Fixed weights of the layers before their softmax; None to learn them.
        projection_dim: Width to which the sum is projected; None for no projection.
        requires_grad: Whether to train the encoder, including its factors. Defaults to False.
        cache_mb: Size of the cache of a frozen encoder's activations by sentence, in megabytes. Defaults to 0, for no
            cache.
        word_cache_mb: Size of the cache of a frozen encoder's word vectors (the character CNN's outputs), in megabytes.
            Defaults to 0, for no cache.
        precision: Precision of the encoder's products in inference on a CPU: `float32`, `bfloat16` or `int8`, see
            `Bilm`. In a trained model that is loaded, a frozen encoder has no float32 copies of these weights. Defaults
            to `float32`.
        stored: Name of an encoder in the weights of a trained model, as `elmo-mf accelerate` writes it; the files and
            the compression are then unused.
        vocab_to_cache: Argument of `elmo_token_embedder`; rejected.
        token_embeddings: Path or URL of vectors of words, as `elmo-mf embed --vocabulary` and bilm-tf write them: a
            frozen encoder's character CNN then runs for other words only. A trained model that is loaded does without.
        token_vocabulary: Path or URL of the words of `token_embeddings`. Defaults to the vocabulary in the same folder.
        namespace: Namespace of the model's vocabulary that gets the words of a word-level ELMo, for the token indexer
            `elmo_mf_words`, or of a Unicode CNN, for `elmo_mf_unicode`. Unused otherwise. Defaults to `elmo_words`.
        vocab: The model's vocabulary, which AllenNLP passes.

    Raises:
        InputError: A file or the compression is invalid, `vocab_to_cache` is given, `cache_mb` is set for an encoder
            that is trained or `carried`, or no trained model with an encoder `stored` is being loaded.

    Examples:
        >>> from allennlp.modules.elmo import batch_to_ids
        >>> from elmo_mf.resources import demo_options, demo_weights
        >>> compression = {"method": "svd", "rank": 8, "targets": "all"}
        >>> embedder = ElmoMfTokenEmbedder(str(demo_options()), str(demo_weights()), compression)
        >>> embedder(batch_to_ids([["A", "dog"]])).shape
        torch.Size([1, 2, 128])
    """

    def __init__(
        self,
        options_file: str | None = None,
        weight_file: str | None = None,
        compression: dict[str, Any] | None = None,
        state: str = "zero",
        dropout: float = 0.5,
        do_layer_norm: bool = False,
        scalar_mix_parameters: list[float] | None = None,
        projection_dim: int | None = None,
        requires_grad: bool = False,
        cache_mb: int = 0,
        word_cache_mb: float = 0,
        precision: str = "float32",
        stored: str | None = None,
        vocab_to_cache: list[str] | None = None,
        token_embeddings: str | None = None,
        token_vocabulary: str | None = None,
        namespace: str = NAMESPACE,
        vocab: Vocabulary | None = None,
    ) -> None:
        super().__init__()
        if vocab_to_cache:
            raise InputError(
                "vocab_to_cache", "not supported; use `word_cache_mb`, which keeps the vectors of any words"
            )
        if cache_mb and (requires_grad or state == "carried"):
            raise InputError("cache_mb", "cannot be combined with `requires_grad` or with the state `carried`")
        if token_embeddings is not None and requires_grad:
            raise InputError("token_embeddings", "cannot be combined with `requires_grad`")
        files = files_of_config(options_file, weight_file) if stored is None else [stored]
        words = saved_words(vocab, namespace)
        bilm = self._encoder(files, stored, compression, words, state, word_cache_mb, precision, requires_grad)
        if token_embeddings is not None and weights_being_loaded() is None:
            bilm.use_token_embeddings(token_embeddings, token_vocabulary)
        if vocab is not None and isinstance(bilm.token_layer, UnicodeCnn):
            add_unicode(vocab, namespace, bilm.token_layer.unicode_ids)
        elif vocab is not None and bilm.vocabulary is not None:
            add_words(vocab, namespace, bilm.vocabulary)
        bilm.requires_grad_(requires_grad)
        module = ElmoModule(bilm, ActivationCache(cache_mb * 1_000_000) if cache_mb else None)
        self._elmo = Elmo(
            None, None, 1, do_layer_norm=do_layer_norm, dropout=dropout,
            scalar_mix_parameters=scalar_mix_parameters, module=module,
        )  # fmt: skip
        self._projection = nn.Linear(bilm.output_dim, projection_dim) if projection_dim else None
        self._output_dim = projection_dim or bilm.output_dim

    def _encoder(
        self,
        files: list[str],
        stored: str | None,
        compression: dict[str, Any] | None,
        words: ElmoVocabulary | None,
        state: Any,
        word_cache_mb: float,
        precision: Any,
        requires_grad: bool,
    ) -> Bilm:
        """Build the encoder from the files or, when a trained model is loaded, from the shapes in its weights."""
        rest = state, word_cache_mb, precision
        shapes = shapes_being_loaded(compression, files)
        if shapes is not None:
            options = BilmOptions.from_dict(shapes.options)
            bilm = shapes.built(lambda weights: Bilm(options, replace(weights, vocabulary=words), *rest).eval())
            bilm.keep_float32 = requires_grad  # from the moment when the parameters are loaded
        elif stored is not None:
            expected = "options_file and weight_file: only a trained model's archive has the key"
            raise InputError("stored", f"found {stored!r}, expected {expected}")
        else:
            wanted = None if compression is None else read_compression(compression)
            weight_file = files[1] if len(files) > 1 else None
            bilm = Bilm.from_files(files[0], weight_file, wanted, *rest, keep_float32=True)
        self._form = StoredShapes(
            EncoderShapes.of(bilm.weights(), files=files, compression=compression, options=bilm.options.to_dict())
        )
        return bilm

    @property
    def bilm(self) -> Bilm:
        """The encoder."""
        return self.elmo_module.bilm

    @property
    def elmo_module(self) -> ElmoModule:
        """The encoder with its cache."""
        return self._elmo._elmo_lstm  # type: ignore[no-any-return]

    def get_output_dim(self) -> int:
        """Return the width of the vectors: `projection_dim`, or 2p without one."""
        return self._output_dim

    def forward(self, elmo_tokens: Tensor, word_inputs: Tensor | None = None) -> Tensor:
        """Embed words.

        Args:
            elmo_tokens: Character ids (..., tokens, characters), word ids (..., tokens, 1), or both.
            word_inputs: Unused; AllenNLP's embedder has it for word vectors that were computed before.

        Returns:
            Vectors (..., tokens, output_dim).
        """
        if not elmo_tokens.shape[-1]:  # an indexer gives no ids if no text of a batch has a token
            elmo_tokens = elmo_tokens.new_zeros(*elmo_tokens.shape, self.bilm.token_layer.width)
        outer, (tokens, width) = elmo_tokens.shape[:-2], elmo_tokens.shape[-2:]
        vectors: Tensor = self._elmo(elmo_tokens.reshape(prod(outer), tokens, width))["elmo_representations"][0]
        if self._projection is not None:
            vectors = TimeDistributed(self._projection)(vectors)
        return vectors.reshape(*outer, tokens, self._output_dim)
