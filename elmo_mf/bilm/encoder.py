"""ELMo's bidirectional language model (Peters et al. 2018, arXiv 1802.05365), dense or factored."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.addresses import local_path
from elmo_mf.bilm._priming import primed_state, priming_sentences
from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.characters import token_lists
from elmo_mf.bilm.checkpoint import StoredWeights, read_weights, rounded_to, stored_weights, write_weights
from elmo_mf.bilm.checkpoint_files import VOCABULARY, checkpoint_files
from elmo_mf.bilm.choices import STATE_POLICIES
from elmo_mf.bilm.choices import StatePolicy as StatePolicy
from elmo_mf.bilm.lstm import BiLstmLayer, run_layers
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.packing import Packing, State
from elmo_mf.bilm.runtime import PRECISIONS, Precision, supports
from elmo_mf.bilm.small_types import load_small_types
from elmo_mf.bilm.token_embeddings import read_token_embeddings
from elmo_mf.bilm.token_layer import TokenLayer
from elmo_mf.bilm.token_layers import token_layer
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.bilm.weights import Array, BilmWeights
from elmo_mf.bilm.word_vectors import WordVectors
from elmo_mf.errors import InputError, one_of
from elmo_mf.io import atomic_files, write_json

if TYPE_CHECKING:
    from elmo_mf.records.compression import Compression

VERSION = 1
"""Number of the encoder's results, part of a run's identity: raised when what the encoder computes changes."""


class Activations(NamedTuple):
    """The vectors of all layers. They include the tokens that begin and end a sentence.

    Attributes:
        layers: (n_layers + 1, sentences, longest + 2, 2p), zero where `mask` is False. Layer 0 is the token layer's
            vector, twice.
        mask: Where there are tokens, (sentences, longest + 2).
    """

    layers: Tensor
    mask: Tensor


class Bilm(nn.Module):
    """The encoder: token layer and stacked projected biLSTM.

    The token layer is a character CNN, in a word-level ELMo a word table, and in one of ELMoForManyLangs a Unicode CNN.

    Args:
        options: Sizes.
        weights: Arrays, as from `read_weights`.
        state: The LSTMs' state at the start of a batch. `zero`: zeros, so that a sentence's vectors depend on nothing
            else. `carried`: the state at the end of the sentence in the same row of the previous batch, as in bilm-tf
            and AllenNLP; `reset_state` drops it. `primed`: one fixed state, the one at the end of a text (see
            `_priming.py`); it is read from the checkpoint if it has one, else computed here, and stored by `save`.
            Defaults to `zero`.
        word_cache_mb: Memory in MB for word vectors in inference, see `WordVectors`. Defaults to 0.
        precision: Precision of the weights in inference on a CPU: `float32`; `bfloat16`; or `int8` for the character
            CNN's highway layers and for large dense matrices of the gates, with all others in bfloat16. Characters and
            convolutions are always in float32. If the processor lacks the instructions, a warning is issued and float32
            is used. Defaults to float32.
        keep_float32: Whether weights in a lower precision are kept in float32 too, for training and other devices. If
            not, `forward` raises an error where gradients are needed. `weights`, `save`, `state_dict` and moves to
            another device or type then convert the weights to float32: to the numbers of the checkpoint if that is
            stored in int8 or int4, else to rounded ones, with which the vectors are the same. Defaults to True.

    Packed copies of the parameters, and word vectors, are kept between calls. A change of a parameter is detected
    exactly, except for writes that PyTorch does not count; see `clear_derived_caches`.

    Raises:
        InputError: `state` or `precision` is unknown.

    Example:
        >>> from elmo_mf import Bilm
        >>> from elmo_mf.resources import demo_options, demo_weights
        >>> bilm = Bilm.from_files(demo_options(), demo_weights())
        >>> cat, dog = bilm.embed([["The", "cat", "sat"], ["A", "dog"]])
        >>> cat.shape  # layers, tokens, numbers
        (3, 3, 128)
    """

    char_cnn: CharCnn  # there is one where the options have `char_cnn`

    def __init__(
        self,
        options: BilmOptions,
        weights: BilmWeights | StoredWeights,
        state: StatePolicy = "zero",
        word_cache_mb: float = 0,
        precision: Precision = "float32",
        keep_float32: bool = True,
    ) -> None:
        super().__init__()
        for field, found, expected in (("state", state, STATE_POLICIES), ("precision", precision, PRECISIONS)):
            if found not in expected:
                raise InputError(field, f"found {found!r}, {one_of(found, expected)}")
        if precision != "float32" and not supports(precision):
            warnings.warn(f"precision: this processor has no {precision} products; using float32", stacklevel=2)
        self.options = options
        self.state_policy = state
        self.word_cache_mb = word_cache_mb
        self.precision, self.keep_float32 = precision, keep_float32
        self._has_only_copies = not keep_float32 and precision != "float32" and supports(precision)
        self._scales: Mapping[str, Array] = {}
        layer = token_layer(options, weights, precision)
        self._token_layer = layer.kind
        self.add_module(layer.kind, layer)
        if self._has_only_copies:
            layer.keep_only_copies()
        self.layers, primed = nn.ModuleList(), list[tuple[_Primed, _Primed]]()
        for k in range(options.lstm.n_layers):
            lstms = weights.lstms[0, k], weights.lstms[1, k]
            self.layers.append(BiLstmLayer(*lstms, options.lstm.cell_clip, options.lstm.proj_clip, precision))
            primed.append((lstms[0].primed, lstms[1].primed))
            del lstms
            if self._has_only_copies:
                cast(BiLstmLayer, self.layers[k]).keep_only_copies()
        for module in self.modules():
            module.register_load_state_dict_pre_hook(load_small_types)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_keep_only_copies_again)  # type: ignore[no-untyped-call]
        self.register_buffer("_bounds", layer.bounds(), persistent=False)
        self.carried_state: list[State] | None = None
        self._word_vectors = WordVectors(word_cache_mb)
        if state == "primed":
            h, c = _stored_state(primed) or primed_state(self, priming_sentences())
            self.register_buffer("_primed_h", h)
            self.register_buffer("_primed_c", c)

    @classmethod
    def from_files(
        cls,
        options_file: str | Path,
        weight_file: str | Path | None = None,
        compression: Compression | None = None,
        state: StatePolicy = "zero",
        word_cache_mb: float = 0,
        precision: Precision = "float32",
        vocabulary: str | Path | None = None,
        keep_float32: bool = False,
    ) -> Bilm:
        """Read a checkpoint, dense or factored, and compress it.

        Args:
            options_file: `options.json` of the checkpoint, as a path or a URL (`https`, `s3`, `gs` or `hf`); without
                `weight_file`, a folder or zip with both, see `checkpoint_files`.
            weight_file: Its HDF5 file, likewise.
            compression: What to compress; None for nothing.
            state: See `Bilm`.
            word_cache_mb: See `Bilm`.
            precision: See `Bilm`.
            vocabulary: The vocabulary of a word table or a Unicode CNN, likewise; by default the one in the folder of
                the other files.
            keep_float32: See `Bilm`. Defaults to False.

        Returns:
            The encoder, in evaluation mode.

        Raises:
            InputError: See `checkpoint_files`, `BilmOptions.from_file`, `read_weights` and
                `elmo_mf.compression.compress`.
        """
        with checkpoint_files(options_file, weight_file, vocabulary) as files:
            options = BilmOptions.from_file(files.options)
            if compression is None:
                with stored_weights(files.weights, options, files.vocabulary) as stored:
                    bilm = cls(options, stored, state, word_cache_mb, precision, keep_float32).eval()
                    bilm._scales = stored.scales()
                return bilm
            weights = read_weights(files.weights, options, files.vocabulary)
        from elmo_mf.compression import compress_elmo, with_history

        compressed = compress_elmo(weights, options, compression)
        options = with_history(compressed.options, compressed.applied(compression))
        return cls(options, compressed.weights, state, word_cache_mb, precision, keep_float32).eval()

    @property
    def output_dim(self) -> int:
        """Width of a layer's vectors, 2p: both directions."""
        return self.options.output_dim

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self.token_layer.embedding.device

    @property
    def token_layer(self) -> TokenLayer:
        """The character CNN, the word table or the Unicode CNN."""
        return cast(TokenLayer, getattr(self, self._token_layer))

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words that the encoder has vectors of; None if it reads characters only."""
        return self.token_layer.vocabulary

    def use_token_embeddings(self, path: str | Path, vocabulary: str | Path | None = None) -> None:
        """Look words up instead of running the character CNN, which then runs for other words only.

        They are kept in addition to the words of `word_cache_mb`: in inference on a CPU, and until a parameter of the
        character CNN changes. Vectors stay the same, except for rounding.

        Args:
            path: `elmo_token_embeddings.hdf5` of bilm-tf or of `elmo-mf embed --vocabulary`, as a path or a URL.
            vocabulary: Its words, one per line, likewise; by default the vocabulary in the same folder.

        Raises:
            InputError: See `read_token_embeddings`.
        """
        words = None if vocabulary is None else Path(local_path(vocabulary))
        self._word_vectors.start_with(read_token_embeddings(Path(local_path(path)), words, self.token_layer))

    def token_ids(self, sentences: Iterable[Iterable[str]]) -> Tensor:
        """Turn tokenised sentences into what `forward` takes.

        Args:
            sentences: Lists of tokens.

        Returns:
            Ids (sentences, longest, width), 0 past a sentence's end: of each token's characters, the one of the
            word, or both.

        Raises:
            InputError: See `token_lists`.
        """
        return self.token_layer.ids(sentences)

    def forward(self, ids: Tensor) -> Activations:
        """Compute all layers' vectors.

        Args:
            ids: Ids (sentences, longest, width), 0 past a sentence's end; see `token_ids`. For a character CNN, those
                of `batch_to_ids`.

        Returns:
            The vectors, and where there are tokens.

        Raises:
            InputError: See `check_ids`.
        """
        ids = self.check_ids(ids)
        if not len(ids):
            shape = self.options.lstm.n_layers + 1, 0, ids.shape[1] + 2, self.output_dim
            return Activations(self.token_layer.embedding.new_zeros(shape), ids.new_zeros(shape[1:3], dtype=torch.bool))
        ids, lengths = self.with_bounds(ids)
        packing = Packing.of(lengths, ids.shape[1])
        layers = self.contextualize(self.token_vectors(packing.pack(ids)), packing)
        steps = torch.arange(ids.shape[1], device=ids.device)
        return Activations(packing.unpack(torch.stack(layers)), steps < lengths.unsqueeze(1))

    def check_ids(self, ids: Tensor) -> Tensor:
        """Check ids, and return them as int64 on the device of the parameters.

        Args:
            ids: Ids (sentences, longest, width), of an integer type of 16 bits or more.

        Returns:
            The same ids.

        Raises:
            InputError: They have the wrong shape, or a type that cannot hold them.
        """
        width, unit = self.token_layer.width, self.token_layer.unit
        if ids.dim() != 3:
            found, expected = tuple(ids.shape), f"(sentences, longest, {width})"
            raise InputError(f"{unit} ids", f"found shape {found}, expected {expected}")
        if ids.shape[2] != width:
            raise InputError(f"{unit} ids", f"found {ids.shape[2]} {unit}s per token, expected {width}")
        if ids.dtype not in _ID_TYPES:
            raise InputError(f"{unit} ids", f"found {ids.dtype}, expected int64, or another integer of 16 bits or more")
        return ids.to(self.device, torch.long)

    def with_bounds(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Add the tokens that begin and end a sentence.

        Args:
            ids: Ids (sentences, longest, width), 0 past a sentence's end.

        Returns:
            Ids (sentences, longest + 2, width), and the lengths of the sentences (sentences,).
        """
        lengths = (ids > 0).any(dim=2).sum(dim=1)
        bounded = ids.new_zeros(len(ids), ids.shape[1] + 2, ids.shape[2])
        bounded[:, 1:-1] = ids
        begin, end = self.bounds
        bounded[:, 0] = begin
        bounded[torch.arange(len(ids), device=ids.device), lengths + 1] = end
        return bounded, lengths + 2

    def contextualize(self, tokens: Tensor, packing: Packing) -> list[Tensor]:
        """Run the biLSTM.

        Args:
            tokens: Token vectors (tokens, p) in packed order.
            packing: The packing.

        Returns:
            Each layer's vectors (tokens, 2p), in packed order.
        """
        flip = packing.flip
        stacked = torch.stack([tokens, tokens[flip]])
        outputs, finals = self.run_layers(stacked, packing.batch_sizes, self._starting_states(packing.order))
        if self.state_policy == "carried":
            self._carry(finals, packing.order)
        contextual = [torch.cat([output[0], output[1][flip]], dim=1) for output in outputs]
        return [torch.cat([tokens, tokens], dim=1), *contextual]

    def run_layers(
        self, stacked: Tensor, batch_sizes: list[int], states: list[State] | None
    ) -> tuple[list[Tensor], list[State]]:
        """Run all biLSTM layers, see `lstm.run_layers`.

        Args:
            stacked: Token vectors in the order in which each direction reads them, (2, tokens, p).
            batch_sizes: Number of sequences still running at each step, never rising.
            states: Starting h (2, sequences, p) and c (2, sequences, n) of each layer; None for zeros.

        Returns:
            Each layer's outputs (2, tokens, p) and final states, in the same order.
        """
        return run_layers(self.layers, stacked, batch_sizes, states, self.options.lstm.use_skip_connections)

    def token_vectors(self, ids: Tensor) -> Tensor:
        """Compute the token layer's vectors, or look them up.

        Args:
            ids: (tokens, width).

        Returns:
            (tokens, p).
        """
        vectors: Tensor = self._word_vectors(self.token_layer, ids)
        return vectors

    @property
    def bounds(self) -> Tensor:
        """Ids of the tokens that begin and end a sentence, (2, width)."""
        return cast(Tensor, self._bounds)

    def fixed_states(self, sentences: int) -> list[State] | None:
        """Return each layer's starting states without a carried state: the primed one, or None for zeros.

        Args:
            sentences: Number of sentences; h is (2, sentences, p), c (2, sentences, n).
        """
        if self.state_policy != "primed":
            return None
        h, c = (cast(Tensor, part).unsqueeze(2).repeat(1, 1, sentences, 1) for part in (self._primed_h, self._primed_c))
        return list(zip(h, c, strict=True))

    def _starting_states(self, order: Tensor) -> list[State] | None:
        batch = len(order)
        if self.carried_state is None:
            return self.fixed_states(batch)

        def fitted(state: Tensor) -> Tensor:
            state = state.to(self.token_layer.embedding)  # the module may have been moved or converted since
            missing = batch - state.shape[1]
            if missing > 0:
                state = torch.cat([state, state.new_zeros(state.shape[0], missing, state.shape[2])], dim=1)
            return state[:, order]

        return [(fitted(h), fitted(c)) for h, c in self.carried_state]

    def _carry(self, finals: list[State], order: Tensor) -> None:
        """Keep final states in the batch's order; rows beyond this batch keep their states."""
        restore = order.argsort()
        kept = [(h.detach()[:, restore], c.detach()[:, restore]) for h, c in finals]
        if self.carried_state is not None:
            batch = len(order)
            kept = [
                (torch.cat([h, old_h[:, batch:]], dim=1), torch.cat([c, old_c[:, batch:]], dim=1))
                for (h, c), (old_h, old_c) in zip(kept, self.carried_state, strict=True)
            ]
        self.carried_state = kept

    def reset_state(self) -> None:
        """Drop the carried state."""
        self.carried_state = None

    @torch.no_grad()
    def embed(self, sentences: Iterable[Iterable[str]], batch_size: int = 32) -> list[Array]:
        """Compute the vectors of tokenised sentences.

        Sentences run in batches, in order. Except with the state policy `carried`, a sentence's vectors depend on the
        other sentences only in their rounding.

        Args:
            sentences: Lists of tokens.
            batch_size: Sentences in a batch. Defaults to 32.

        Returns:
            One float32 array (n_layers + 1, tokens, 2p) for each sentence, in order.

        Raises:
            InputError: A sentence is a string instead of a list of tokens, or `batch_size` is below 1.
        """
        if batch_size < 1:
            raise InputError("batch_size", f"found {batch_size!r}, expected a positive integer")
        lists, vectors = list(token_lists(sentences)), list[Array]()
        for start in range(0, len(lists), batch_size):
            batch = lists[start : start + batch_size]
            layers = self(self.token_ids(batch)).layers
            vectors += [layers[:, i, 1 : len(sentence) + 1].cpu().numpy().copy() for i, sentence in enumerate(batch)]
        return vectors

    def weights(self) -> BilmWeights:
        """Return the parameters as arrays, dense or factored as they run."""
        lstms = {
            (d, k): w for k, layer in enumerate(self.layers) for d, w in enumerate(cast(BiLstmLayer, layer).weights())
        }
        if self.state_policy == "primed":
            h, c = (cast(Tensor, part).cpu().numpy() for part in (self._primed_h, self._primed_c))
            lstms = {(d, k): replace(w, primed=(h[k, d], c[k, d])) for (d, k), w in lstms.items()}
        weights = BilmWeights(self.token_layer.arrays(), lstms, self.vocabulary)
        return rounded_to(weights, self._scales) if self._has_only_copies else weights

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return the parameters, see `torch.nn.Module.state_dict`; without `keep_float32`, see `Bilm`."""
        if not self._has_only_copies:
            return super().state_dict(*args, **kwargs)
        return self._in_float32().state_dict(*args, **kwargs)

    def _in_float32(self) -> Bilm:
        return Bilm(self.options, self.weights(), self.state_policy, self.word_cache_mb, self.precision)

    def _restore_float32(self) -> None:
        """Give each parameter its numbers again."""
        whole, trained = self._in_float32().train(self.training), dict(self.named_parameters())
        for name, parameter in whole.named_parameters():
            parameter.requires_grad_(trained[name].requires_grad)
        self.add_module(self._token_layer, whole.token_layer)
        self.layers, self._has_only_copies = whole.layers, False

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Bilm:
        if self._has_only_copies:
            before, after = self.token_layer.embedding, fn(self.token_layer.embedding.detach())
            if (before.device, before.dtype) == (after.device, after.dtype):
                return self  # copies cannot be moved
            self._restore_float32()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        if self._has_only_copies:
            self._restore_float32()
        self._scales = {}
        super()._load_from_state_dict(*args, **kwargs)

    def save(self, folder: str | Path, dtype: str = "float32") -> None:
        """Write `options.json` and `weights.hdf5`, all or nothing; `from_files` reads them back.

        For a word table or a Unicode CNN, the vocabulary is written too, as `vocabulary.txt`.

        To write them together with other files, save into the staging folder of `elmo_mf.io.atomic_files`.

        Args:
            folder: Where to write them; it is created if needed.
            dtype: `float32`, `float16`, `int8` or `int4`, see `write_weights`. Defaults to float32.

        Raises:
            InputError: See `write_weights`.
        """
        with atomic_files(folder) as staging:
            write_weights(staging / "weights.hdf5", self.weights(), dtype, self.options.history, self._scales)
            write_json(staging / "options.json", self.options.to_dict())
            if self.vocabulary is not None:
                self.vocabulary.save(staging / VOCABULARY)


_Primed: TypeAlias = tuple[Array, Array] | None
_ID_TYPES = (torch.int64, torch.int32, torch.int16, torch.uint64, torch.uint32, torch.uint16)


def _stored_state(primed: Sequence[tuple[_Primed, _Primed]]) -> tuple[Tensor, Tensor] | None:
    """A checkpoint's primed h (n_layers, 2, p) and c (n_layers, 2, n); None if any part is missing."""
    stored = [[state for state in states if state is not None] for states in primed]
    if any(len(states) < 2 for states in stored):
        return None
    h, c = (torch.from_numpy(np.array([[s[part] for s in states] for states in stored])) for part in range(2))
    return h, c


def _keep_only_copies_again(module: nn.Module, _: object) -> None:
    """Free loaded parameters, see `Bilm`."""
    bilm = cast(Bilm, module)
    if bilm.keep_float32 or bilm.precision == "float32" or not supports(bilm.precision):
        return
    if bilm.device.type == "cpu" and bilm.token_layer.embedding.dtype == torch.float32:
        bilm.token_layer.keep_only_copies()
        for layer in bilm.layers:
            cast(BiLstmLayer, layer).keep_only_copies()
        bilm._has_only_copies = True
