"""ELMo's bidirectional language model (Peters et al. 2018) in plain PyTorch, dense or factored."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.characters import batch_to_ids, sentence_bound, token_lists
from elmo_mf.bilm.checkpoint import read_weights, write_weights
from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.lstm import BiLstmLayer, run_layers
from elmo_mf.bilm.packing import Packing, State
from elmo_mf.bilm.priming import primed_state
from elmo_mf.bilm.runtime.packed_linear import PRECISIONS, Precision, supports
from elmo_mf.bilm.weights import Array, BilmWeights
from elmo_mf.bilm.word_vectors import WordVectors
from elmo_mf.errors import InputError, one_of
from elmo_mf.io import atomic_files, write_json

if TYPE_CHECKING:
    from elmo_mf.compression import Compression

VERSION = 1
"""Number of the encoder's results, part of a run's identity: raised when what the encoder computes changes."""

StatePolicy = Literal["zero", "carried", "primed"]
STATE_POLICIES: tuple[StatePolicy, ...] = ("zero", "carried", "primed")


class Activations(NamedTuple):
    """`layers` (n_layers + 1, sentences, longest + 2, 2p), zero where `mask` (sentences, longest + 2) is False.

    Layer 0 is the character CNN's vector, twice. Both include the tokens that begin and end a sentence.
    """

    layers: Tensor
    mask: Tensor


class Bilm(nn.Module):
    """The encoder: character CNN and stacked projected biLSTM.

    Args:
        options: sizes.
        weights: arrays, as `checkpoint.read_weights` gives them.
        state: what the LSTMs start a batch with. `zero`: zeros, so that a sentence's vectors depend on nothing else.
            `carried`: the state in which the sentence in the same row of the previous batch ended, as in bilm-tf and
            AllenNLP; `reset_state` forgets it. `primed`: one fixed state, in which a text left the LSTMs, see
            `priming.py`; that of the checkpoint if it has one and no matrix is factored anew, else computed here.
            `save` stores it.
        word_cache_mb: memory for word vectors in inference, see `WordVectors`.
        precision: of the weights in inference on a CPU: `float32`, `bfloat16`, or `int8` for the character CNN's
            highway layers, and for the gates' matrices where they are dense and large, with all others in bfloat16.
            Characters and convolutions are always in float32. Where the processor lacks the instructions it is float32,
            with a warning. Parameters stay float32.
    """

    def __init__(
        self,
        options: BilmOptions,
        weights: BilmWeights,
        state: StatePolicy = "zero",
        word_cache_mb: float = 0,
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        for field, found, expected in (("state", state, STATE_POLICIES), ("precision", precision, PRECISIONS)):
            if found not in expected:
                raise InputError(f"{field}: found {found!r}, {one_of(found, expected)}")
        if precision != "float32" and not supports(precision):
            warnings.warn(
                f"precision: this processor has no {precision} products; float32 in their place", stacklevel=2
            )
        self.options = options
        self.state_policy = state
        self.char_cnn = CharCnn(options.char_cnn, options.lstm.projection_dim, weights.char_cnn, precision)
        self.layers = nn.ModuleList(
            BiLstmLayer(
                weights.lstms[0, k], weights.lstms[1, k], options.lstm.cell_clip, options.lstm.proj_clip, precision
            )
            for k in range(options.lstm.n_layers)
        )
        length = options.char_cnn.max_characters_per_token
        bounds = torch.tensor([sentence_bound(True, length), sentence_bound(False, length)])
        self.register_buffer("_bounds", bounds, persistent=False)
        self.carried_state: list[State] | None = None
        self._word_vectors = WordVectors(word_cache_mb)
        if state == "primed":
            h, c = _stored_state(weights) or primed_state(self)
            self.register_buffer("_primed_h", h)
            self.register_buffer("_primed_c", c)

    @classmethod
    def from_files(
        cls,
        options_file: str | Path,
        weight_file: str | Path,
        compression: Compression | None = None,
        state: StatePolicy = "zero",
        word_cache_mb: float = 0,
        precision: Precision = "float32",
    ) -> Bilm:
        """Read a checkpoint, dense or factored, and factorize it where `compression` is given.

        Raises:
            InputError: see `BilmOptions.from_file`, `read_weights` and `Compression.apply`.
        """
        options = BilmOptions.from_file(options_file)
        weights = read_weights(weight_file, options)
        if compression is not None:
            weights = compression.apply(weights, options)
            options = compression.noted_in(options)
        return cls(options, weights, state, word_cache_mb, precision).eval()

    @property
    def output_dim(self) -> int:
        """Width of a layer's vectors, 2p."""
        return self.options.output_dim

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.char_cnn.embedding.device

    def forward(self, ids: Tensor) -> Activations:
        """Character ids (sentences, longest, characters), 0 past a sentence's end, to all layers' vectors.

        Raises:
            InputError: see `accepted`.
        """
        ids = self.accepted(ids)
        if not len(ids):
            shape = self.options.lstm.n_layers + 1, 0, ids.shape[1] + 2, self.output_dim
            return Activations(self.char_cnn.embedding.new_zeros(shape), ids.new_zeros(shape[1:3], dtype=torch.bool))
        ids, lengths = self.with_bounds(ids)
        packing = Packing.of(lengths, ids.shape[1])
        layers = self.contextualize(self.token_vectors(packing.pack(ids)), packing)
        steps = torch.arange(ids.shape[1], device=ids.device)
        return Activations(packing.unpack(torch.stack(layers)), steps < lengths.unsqueeze(1))

    def accepted(self, ids: Tensor) -> Tensor:
        """Character ids as int64, where the parameters are.

        Raises:
            InputError: they are of another shape, or of a type that cannot hold them.
        """
        characters = self.options.char_cnn.max_characters_per_token
        if ids.dim() != 3:
            found, expected = tuple(ids.shape), f"(sentences, longest, {characters})"
            raise InputError(f"character ids: found shape {found}, expected {expected}")
        if ids.shape[2] != characters:
            raise InputError(f"character ids: found {ids.shape[2]} characters a token, expected {characters}")
        if ids.dtype not in _ID_TYPES:
            raise InputError(f"character ids: found {ids.dtype}, expected int64, or another integer of 16 bits or more")
        return ids.to(self.device, torch.long)

    def with_bounds(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Add the tokens that begin and end a sentence to ids as `forward` takes them; the new ids and lengths."""
        lengths = (ids > 0).any(dim=2).sum(dim=1)
        bounded = ids.new_zeros(len(ids), ids.shape[1] + 2, ids.shape[2])
        bounded[:, 1:-1] = ids
        begin, end = self.bounds
        bounded[:, 0] = begin
        bounded[torch.arange(len(ids), device=ids.device), lengths + 1] = end
        return bounded, lengths + 2

    def contextualize(self, tokens: Tensor, packing: Packing) -> list[Tensor]:
        """Token vectors (tokens, p) in packed order to each layer's vectors (tokens, 2p), in the same order."""
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
        """All biLSTM layers; see `lstm.run_layers`, with token vectors as each direction meets them for `stacked`."""
        return run_layers(self.layers, stacked, batch_sizes, states, self.options.lstm.use_skip_connections)

    def token_vectors(self, ids: Tensor) -> Tensor:
        """Character ids (tokens, characters) to the character CNN's vectors (tokens, p)."""
        return self._word_vectors(self.char_cnn, ids)

    @property
    def bounds(self) -> Tensor:
        """Character ids of the tokens that begin and end a sentence, (2, characters)."""
        return cast(Tensor, self._bounds)

    def fixed_states(self, sentences: int) -> list[State] | None:
        """Where each layer starts whatever came before: the primed state for each of so many sentences, or zeros."""
        if self.state_policy != "primed":
            return None
        h, c = (cast(Tensor, part).unsqueeze(2).repeat(1, 1, sentences, 1) for part in (self._primed_h, self._primed_c))
        return list(zip(h, c, strict=True))

    def _starting_states(self, order: Tensor) -> list[State] | None:
        batch = len(order)
        if self.carried_state is None:
            return self.fixed_states(batch)

        def fitted(state: Tensor) -> Tensor:
            state = state.to(self.char_cnn.embedding)  # which may have been moved or converted since
            missing = batch - state.shape[1]
            if missing > 0:
                state = torch.cat([state, state.new_zeros(state.shape[0], missing, state.shape[2])], dim=1)
            return state[:, order]

        return [(fitted(h), fitted(c)) for h, c in self.carried_state]

    def _carry(self, finals: list[State], order: Tensor) -> None:
        """Keep final states in the batch's order; rows beyond this batch keep what they had."""
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
        """Forget what `carried` carries."""
        self.carried_state = None

    @torch.no_grad()
    def embed(self, sentences: Iterable[Iterable[str]], batch_size: int = 32) -> list[Array]:
        """Tokenised sentences to one float32 array each, (n_layers + 1, tokens, 2p), in the order given.

        Sentences run in batches of `batch_size`, in order. But for `carried`, the vectors do not depend on that but for
        rounding.

        Raises:
            InputError: a sentence is a text, and no list of tokens; or `batch_size` is below 1.
        """
        if batch_size < 1:
            raise InputError(f"batch_size: found {batch_size!r}, expected an integer from 1 on")
        lists, vectors = list(token_lists(sentences)), list[Array]()
        for start in range(0, len(lists), batch_size):
            batch = lists[start : start + batch_size]
            layers = self(batch_to_ids(batch, self.options.char_cnn.max_characters_per_token)).layers
            vectors += [layers[:, i, 1 : len(sentence) + 1].cpu().numpy().copy() for i, sentence in enumerate(batch)]
        return vectors

    def weights(self) -> BilmWeights:
        """The parameters as arrays, dense or factored as they run."""
        lstms = {
            (d, k): w for k, layer in enumerate(self.layers) for d, w in enumerate(cast(BiLstmLayer, layer).weights())
        }
        if self.state_policy == "primed":
            h, c = (cast(Tensor, part).cpu().numpy() for part in (self._primed_h, self._primed_c))
            lstms = {(d, k): replace(w, primed=(h[k, d], c[k, d])) for (d, k), w in lstms.items()}
        return BilmWeights(self.char_cnn.arrays(), lstms)

    def save(self, folder: str | Path, dtype: str = "float32") -> None:
        """Write `options.json` and `weights.hdf5` into `folder`, both or neither; `from_files` reads them as they are.

        With more files that belong to them, save into the staging folder of `elmo_mf.io.atomic_files`.
        """
        with atomic_files(folder) as staging:
            write_weights(staging / "weights.hdf5", self.weights(), dtype, self.options.compressions)
            write_json(staging / "options.json", self.options.to_dict())


_ID_TYPES = (torch.int64, torch.int32, torch.int16, torch.uint64, torch.uint32, torch.uint16)


def _stored_state(weights: BilmWeights) -> tuple[Tensor, Tensor] | None:
    """A checkpoint's primed h (n_layers, 2, p) and c (n_layers, 2, n), None where any part is missing."""
    stacked = []
    for part in range(2):
        layers = []
        for layer in range(len(weights.lstms) // 2):
            states = [weights.lstms[direction, layer].primed for direction in (0, 1)]
            if any(state is None for state in states):
                return None
            layers.append(np.stack([state[part] for state in states if state is not None]))
        stacked.append(torch.from_numpy(np.stack(layers)))
    return stacked[0], stacked[1]
