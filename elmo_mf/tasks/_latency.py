"""Inference times of a run's encoder and whole model, compared with the dense encoder in the same process.

Times are measured by `torch.utils.benchmark` after warming up, with a fixed number of threads, alternating between the
encoders, on examples spread over the lengths of the scored split. The activation cache is off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.records.record import BATCHES, Batch, Latency, Times

if TYPE_CHECKING:
    from allennlp.data import Instance
    from allennlp.models import Model

    from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder

Example = TypeVar("Example")


def measure(
    model: Model,
    instances: Sequence[Instance],
    dense: Bilm | None,
    sentences: int,
    rounds: int,
    allennlp: Callable[[Tensor], object] | None = None,
) -> Latency:
    """Measure milliseconds per batch, median and 95th percentile, and the speed-up over dense and over AllenNLP.

    Args:
        model: A trained AllenNLP model with one `elmo_mf` embedder.
        instances: Instances of the scored split, indexed.
        dense: The encoder before compression; None if the model's encoder is dense.
        sentences: Number of examples timed at batch size 1; one batch of 32 is timed for every 8 of them.
        rounds: Number of times each batch is timed.
        allennlp: See `allennlp_encoder`; None to leave it out.

    Returns:
        The times; without those of the model if the vectors of `dense` have another size than those of the model's
        encoder.
    """
    model.eval()
    embedder = embedder_of(model)
    compressed = embedder.bilm
    by_length = sorted(instances, key=_length)
    in_turns = dense is None or dense.options.output_dim == compressed.options.output_dim
    encoder: dict[Batch, Times] = {}
    whole: dict[Batch, Times] = {}
    for size in BATCHES:
        batches = _batches(by_length, int(size), sentences if size == "1" else max(1, sentences // 8), model)
        inputs = [_encoder_inputs(model, embedder, batch) for batch in batches]
        encoder[size] = times([partial(_encode, ids) for ids in inputs], compressed, dense, rounds, allennlp=allennlp)
        if in_turns:
            calls = [partial(_forward, model, embedder, batch) for batch in batches]
            whole[size] = times(calls, compressed, dense, rounds)
    return Latency(encoder=encoder, model=whole or None)


def measure_encoder(
    sentences: Sequence[list[str]], encoder: Bilm, dense: Bilm | None, files: tuple[str, str], count: int, rounds: int
) -> Latency:
    """Measure the times of an encoder alone, as `measure` does.

    Args:
        sentences: Sentences of the scored split.
        encoder: The encoder of the run.
        dense: The encoder before compression; None if `encoder` is dense.
        files: Options and weights of the dense encoder, for AllenNLP's.
        count: Number of sentences timed at batch size 1.
        rounds: Number of times each batch is timed.
    """
    by_length, theirs = sorted(sentences, key=len), allennlp_encoder(*files, encoder.device)
    measured: dict[Batch, Times] = {}
    for size in BATCHES:
        batches = _chosen(by_length, int(size), count if size == "1" else max(1, count // 8))
        inputs = [[encoder.token_ids(batch).to(encoder.device)] for batch in batches]
        measured[size] = times([partial(_encode, ids) for ids in inputs], encoder, dense, rounds, allennlp=theirs)
    return Latency(encoder=measured)


def allennlp_encoder(options: str, weights: str, device: torch.device) -> Callable[[Tensor], object] | None:
    """Return AllenNLP's encoder for these files, without carried states; None if AllenNLP cannot load them.

    Args:
        options: Options of a dense ELMo.
        weights: Its weights.
        device: Device to run on.
    """
    from allennlp.common.checks import ConfigurationError
    from allennlp.modules.elmo import _ElmoBiLm

    try:
        module: Any = _ElmoBiLm(options, weights).to(device).eval()
    except ConfigurationError:  # for example, a checkpoint without skip connections
        return None

    def run(ids: Tensor) -> object:
        module._elmo_lstm.reset_states()
        return module(ids)

    return run


def embedder_of(model: Model) -> ElmoMfTokenEmbedder:
    """Return the first `elmo_mf` embedder of a model."""
    from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder

    return next(module for module in model.modules() if isinstance(module, ElmoMfTokenEmbedder))


def _length(instance: Instance) -> int:
    return sum(field.sequence_length() for field in instance.fields.values() if hasattr(field, "sequence_length"))


def on_its_device(tensors: dict[str, Any], model: Model) -> dict[str, Any]:
    """Move a batch to the device of the model's parameters."""
    from allennlp.nn.util import move_to_device

    return dict(move_to_device(tensors, next(model.parameters()).device))


def _batches(by_length: list[Instance], size: int, count: int, model: Model) -> list[dict[str, Any]]:
    """Return `count` batches of examples spread evenly over the lengths."""
    from allennlp.data.batch import Batch

    batches = []
    for chosen in _chosen(by_length, size, count):
        batch = Batch(chosen)
        batch.index_instances(model.vocab)
        batches.append(on_its_device(batch.as_tensor_dict(), model))
    return batches


def _chosen(by_length: Sequence[Example], size: int, count: int) -> list[list[Example]]:
    """Return `count` lists of `size` examples that are spread evenly over the lengths."""
    total = count * size
    chosen = [by_length[(2 * index + 1) * len(by_length) // (2 * total)] for index in range(total)]
    return [chosen[start::count] for start in range(count)]


@contextmanager
def _running(embedder: ElmoMfTokenEmbedder, bilm: Bilm) -> Iterator[None]:
    """Replace the embedder's encoder and disable its cache within the context."""
    module = embedder.elmo_module
    kept = module.bilm, module.cache
    module.bilm, module.cache = bilm, None
    try:
        yield
    finally:
        module.bilm, module.cache = kept


def _encode(inputs: list[Tensor], encoder: Callable[[Tensor], object]) -> None:
    for ids in inputs:
        encoder(ids)


def _forward(model: Model, embedder: ElmoMfTokenEmbedder, batch: dict[str, Any], bilm: Bilm) -> None:
    with _running(embedder, bilm):
        model(**batch)


def _encoder_inputs(model: Model, embedder: ElmoMfTokenEmbedder, batch: dict[str, Any]) -> list[Tensor]:
    """Return the character ids that the model passes to its encoder for a batch."""
    seen: list[Tensor] = []
    hook = embedder.bilm.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    try:
        with torch.no_grad():
            _forward(model, embedder, batch, embedder.bilm)
    finally:
        hook.remove()
    return seen


def times(
    calls: Sequence[Callable[[Any], object]],
    encoder: object,
    dense: object | None,
    rounds: int,
    repeats: int = 1,
    allennlp: object | None = None,
) -> Times:
    """Time every call with each encoder, alternating between the encoders.

    Args:
        calls: Functions of an encoder, one for each batch.
        encoder: The encoder of the run.
        dense: The encoder before compression; None if `encoder` is dense.
        rounds: Number of times each call is timed.
        repeats: Number of executions that each time is the mean of. Defaults to 1.
        allennlp: AllenNLP's encoder; None to leave it out.
    """
    encoders = {"compressed": encoder, "dense": dense, "allennlp": allennlp}
    encoders = {name: one for name, one in encoders.items() if one is not None}
    timers = [{name: _timer(call, one) for name, one in encoders.items()} for call in calls]
    measured: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(rounds):
        for each in timers:
            for name, timer in each.items():
                measured[name].append(timer.timeit(repeats).median * 1000)  # after a warm-up
    ms = {name: np.array(values) for name, values in measured.items()}
    compressed, theirs = ms["compressed"], ms.get("allennlp")
    before = ms.get("dense", compressed)
    return Times(
        median_ms=float(np.median(compressed)),
        p95_ms=float(np.percentile(compressed, 95)),
        dense_median_ms=float(np.median(before)),
        dense_p95_ms=float(np.percentile(before, 95)),
        speed_up=float(np.median(before / compressed)),
        allennlp_median_ms=None if theirs is None else float(np.median(theirs)),
        allennlp_speed_up=None if theirs is None else float(np.median(theirs / compressed)),
    )


def _timer(call: Callable[[Any], object], encoder: object) -> Timer:
    names = {"call": torch.no_grad()(call), "encoder": encoder}
    return Timer("call(encoder)", globals=names, num_threads=torch.get_num_threads())
