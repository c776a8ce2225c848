"""What runs on a GPU, on the emulated one, against the same on the CPU.

Run by `test_emulated.py`, in a process of its own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pytest
import torch
from allennlp.common import Params
from allennlp.common.plugins import import_plugins
from allennlp.modules.elmo_lstm import ElmoLstm
from allennlp.modules.token_embedders import TokenEmbedder
from torch import Tensor

from elmo_mf import Compression
from elmo_mf.bench import _benchmark
from elmo_mf.bench._measure import measure
from elmo_mf.bilm import lstm
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.lstm import ProjectedLstm
from elmo_mf.bilm.runtime_settings import use_settings
from elmo_mf.bilm.weights import to_dense
from elmo_mf.cli.main import main
from elmo_mf.experiments import workspace
from elmo_mf.lm import CoreLstm, compress_core
from elmo_mf.pretrain import PretrainSettings, Trainer
from elmo_mf.records import RecordStore
from elmo_mf.tasks import _language_model_latency, expand, picked
from elmo_mf.tasks._measurement import execute, measure_times
from tests.bilm.layers import DENSE, FACTORED, Layer, assert_close, plain_layer
from tests.bilm.reference import PlainWeights
from tests.emulated.device import GPU, EmulatedGpu, register
from tests.pretrain.conftest import TINY, Texts, texts, trainer
from tests.pretrain.conftest import replace as with_settings
from tests.sweeps import TinySweep, tiny_sweep

SHORT = with_settings(TINY, limit=40)
Files = Callable[..., tuple[Path, Path]]
__all__ = ["texts", "tiny_sweep"]  # fixtures
_gpu = register()


@pytest.fixture
def gpu() -> Iterator[EmulatedGpu]:
    with _gpu:
        yield _gpu


@pytest.fixture(params=["steps", "graphs"])
def in_graphs(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the biLSTM runs, without gradients, in graphs."""
    captures = {"gpu": _gpu.capture} if request.param == "graphs" else {}
    with use_settings(graph_captures=captures, graph_max_sequences=64):
        yield bool(captures)


def test_what_the_device_refuses(gpu: EmulatedGpu) -> None:
    here = torch.ones(2, device=GPU)
    assert (here + torch.tensor(1.0)).tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="two devices"):
        here + torch.ones(2)
    for waits in (here.sum().item, here.cpu, lambda: here.copy_(torch.ones(2))):
        with pytest.raises(RuntimeError, match="while a graph is captured"):
            gpu.capture(lambda waits=waits: waits())  # type: ignore[misc]
        gpu._captured = None


def test_a_graph_runs_again_where_it_ran(gpu: EmulatedGpu) -> None:
    factor, result = 2, torch.zeros(2, device=GPU)
    start = torch.ones(2, device=GPU)

    def run() -> None:
        result.copy_(start * factor + result)

    replay = gpu.capture(run)
    result.zero_()
    factor = 5
    start.fill_(3)
    launches = gpu.launches
    replay()
    replay()
    assert result.tolist() == [12, 12] and gpu.launches == launches + 2


LAYERS = [
    Layer(16, 8, DENSE, (3.0, 3.0), 1.0),
    Layer(16, 8, FACTORED, (0.1, 0.1), 2.0),
    Layer(16, 8, FACTORED, (None, None), 1.0, blocks=4),
    Layer(16, 8, FACTORED, (3.0, 3.0), 1.0, joint=True),
    Layer(16, 8, ((2, 3, 2), (None, None, None)), (3.0, 3.0), 1.0),
    Layer(16, 8, DENSE, (3.0, 3.0), 1.0, pruned=True),
    Layer(1024, 8, FACTORED, (3.0, 3.0), 1.0),  # a long sum, in parts
]


def _on_gpu(layer: Layer, module: lstm.BiLstmLayer, lengths: list[int]) -> list[Tensor]:
    inputs, sizes, (h, c) = layer.batch(lengths)
    output, (h, c) = module(inputs.to(GPU), sizes, (h.to(GPU), c.to(GPU)))
    return [output, h, c]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer(layer: Layer, gpu: EmulatedGpu, in_graphs: bool) -> None:
    module = layer.build().to(GPU)
    for lengths in ([1], [9], [9, 7, 4, 4, 1], [3] * 80):
        inputs, sizes, state = layer.batch(lengths)
        expected = plain_layer(layer, inputs, sizes, state, [PlainWeights.of(weights) for weights in layer.weights()])
        with torch.inference_mode():
            actual = _on_gpu(layer, module, lengths)
        for one, other in zip(actual, expected, strict=True):
            assert one.device == torch.device(GPU)
            assert_close(one.cpu(), other, 1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_gradients_of_a_layer(layer: Layer, gpu: EmulatedGpu) -> None:
    lengths, here, there = [9, 4, 4], layer.build().to(GPU), layer.build()
    inputs, sizes, state = layer.batch(lengths)
    for output in (there(inputs, sizes, state)[0], _on_gpu(layer, here, lengths)[0]):
        output.square().sum().backward()
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        assert_close(one.grad.cpu(), other.grad, 1e-5)


def test_graphs_are_captured_again_for_other_parameters(gpu: EmulatedGpu, in_graphs: bool) -> None:
    layer = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0)
    module, changed = layer.build().to(GPU), layer.build()
    with torch.no_grad():
        before = _on_gpu(layer, module, [9, 4])[0].cpu()
        for lstm in (cast(ProjectedLstm, module.groups[0]), cast(ProjectedLstm, changed.groups[0])):
            lstm.recurrent.left.mul_(2)
        after = _on_gpu(layer, module, [9, 4])[0].cpu()
        inputs, sizes, state = layer.batch([9, 4])
        torch.testing.assert_close(after, changed(inputs, sizes, state)[0], atol=1e-5, rtol=0)
    assert (after - before).abs().max() > 1e-3


def _launched(gpu: EmulatedGpu, run: Callable[[], object]) -> tuple[int, int]:
    """How much a second call launches, and how often it waits."""
    run()
    launches, waits = gpu.launches, gpu.waits
    run()
    return gpu.launches - launches, gpu.waits - waits


@pytest.mark.parametrize(("layer", "steps", "graphs"), [(LAYERS[0], 244, 14), (LAYERS[1], 293, 14)])
def test_launches(layer: Layer, steps: int, graphs: int, gpu: EmulatedGpu, in_graphs: bool) -> None:
    """Of a sentence of 24 tokens in one layer, without waiting to see whether parameters that could be trained have
    changed; docs/performance.md has the numbers."""
    module, (inputs, sizes, (h, c)) = layer.build().to(GPU), layer.batch([24])
    there = inputs.to(GPU), sizes, (h.to(GPU), c.to(GPU))
    with torch.no_grad():
        assert _launched(gpu, lambda: module(*there)) == (graphs if in_graphs else steps, 0)


def test_launches_of_allennlp(gpu: EmulatedGpu) -> None:
    module = ElmoLstm(8, 8, 16, 1, memory_cell_clip_value=3.0, state_projection_clip_value=3.0).to(GPU).eval()
    inputs, mask = torch.randn(1, 24, 8).to(GPU), torch.ones(1, 24, dtype=torch.bool).to(GPU)
    with torch.no_grad():
        assert _launched(gpu, lambda: module(inputs, mask)) == (1236, 2)


def _embedder(files: tuple[Path, Path], **keys: Any) -> Any:
    import_plugins()
    params = {"type": "elmo_mf", "options_file": str(files[0]), "weight_file": str(files[1]), **keys}
    return TokenEmbedder.from_params(Params(params))


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"word_cache_mb": 1},
        {"cache_mb": 1},
        {"state": "primed"},
        {"state": "carried"},
        {"compression": {"method": "svd", "rank": 2, "targets": "all", "highway_rank": 3}},
        {"precision": "bfloat16"},
        {"requires_grad": True},
    ],
    ids=str,
)
def test_the_embedder(keys: dict[str, Any], elmo_files: Files, gpu: EmulatedGpu, in_graphs: bool) -> None:
    files = elmo_files()
    here, there = _embedder(files, **keys).eval().to(GPU), _embedder(files, **(keys | {"precision": "float32"})).eval()
    for words in ([["The", "cat", "sat"], ["Yes"]], [["Yes", "The"], ["a", "b"]], [["The", "cat", "sat"], ["Yes"]]):
        ids = batch_to_ids(words)
        with torch.no_grad():
            actual = here(ids.to(GPU))
        assert actual.device == torch.device(GPU)
        torch.testing.assert_close(actual.cpu(), there(ids).detach(), atol=1e-5, rtol=1e-5)


def test_training_the_embedder(elmo_files: Files, gpu: EmulatedGpu) -> None:
    files, ids = elmo_files(), batch_to_ids([["The", "cat", "sat"], ["Yes"]])
    keys = {"requires_grad": True, "dropout": 0.0, "compression": {"method": "svd", "rank": 2, "targets": "all"}}
    here, there = _embedder(files, **keys).to(GPU), _embedder(files, **keys)
    here(ids.to(GPU)).square().sum().backward()
    there(ids).square().sum().backward()
    trained = 0
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad.cpu(), other.grad, atol=1e-5, rtol=1e-4)
            trained += 1
    assert trained > 10


def _pretrained(texts: Texts, out: Path, settings: PretrainSettings, device: str | None) -> dict[str, Any]:
    trainer = Trainer([texts[0]], [texts[1]], out, settings, device=None if device is None else torch.device(device))
    return trainer.run().to_dict()


@pytest.mark.parametrize(
    "changes",
    [
        {"softmax": "sampled", "stateful": True},
        {"softmax": "adaptive", "accumulate": 2},
        {"compression": {"method": "svd", "rank": 4, "targets": "all"}, "patience": 1},
    ],
    ids=str,
)
def test_pretraining(changes: dict[str, Any], texts: Texts, tmp_path: Path, gpu: EmulatedGpu) -> None:
    settings = with_settings(SHORT, dropout=0.0, **changes)
    here = _pretrained(texts, tmp_path / "here", settings, GPU)
    there = _pretrained(texts, tmp_path / "there", settings, None)
    assert here["device"] == GPU and there["device"] == "cpu"
    assert here["machine"] == there["machine"] | {"gpu": "an emulated GPU"}
    assert here["held_out_perplexity"] == pytest.approx(there["held_out_perplexity"], rel=1e-3)


@pytest.mark.parametrize("mixed", ["bfloat16", "float16"])
def test_pretraining_in_mixed_precision(mixed: Any, texts: Texts, tmp_path: Path, gpu: EmulatedGpu) -> None:
    """Near what full precision gives, and not the same."""
    settings = with_settings(SHORT, dropout=0.0, limit=60)
    here = _pretrained(texts, tmp_path / "here", with_settings(settings, mixed=mixed), GPU)
    there = _pretrained(texts, tmp_path / "there", settings, GPU)
    for direction in ("forward", "backward"):
        one, other = (math.log(record["held_out_perplexity"][direction]) for record in (here, there))
        assert one != other and one == pytest.approx(other, abs=0.05)


class _Cut(Exception):
    pass


def test_pretraining_goes_on(texts: Texts, tmp_path: Path, gpu: EmulatedGpu) -> None:
    def cut(progress: Any) -> None:
        if progress.step == 3:
            raise _Cut

    whole = _pretrained(texts, tmp_path / "whole", SHORT, GPU)
    with pytest.raises(_Cut):
        Trainer([texts[0]], [texts[1]], tmp_path / "cut", SHORT, device=torch.device(GPU)).run(cut, 0)
    resumed = _pretrained(texts, tmp_path / "cut", SHORT, GPU)
    assert resumed["weights_sha256"] == whole["weights_sha256"]


def test_a_budget_of_a_core(gpu: EmulatedGpu) -> None:
    """The outputs that it is spent by are compared on the device."""
    torch.manual_seed(0)
    core, text = CoreLstm.random([5, 17, 16]).eval(), torch.randn(12, 3, 5)
    compression = Compression(method="whitened_svd", targets="all", budget={"share": 0.6})
    expected = compress_core(core, compression, [text[:7], text[7:]]).weights()
    weights = compress_core(core.to(GPU), compression, [text[:7].to(GPU), text[7:].to(GPU)]).weights()
    for key, lstm_weights in expected.lstms.items():
        for target, matrix in lstm_weights.matrices.items():
            other = to_dense(weights.lstms[key].matrices[target])
            np.testing.assert_allclose(other, to_dense(matrix), atol=1e-4)


def _vectors(path: Path) -> list[Any]:
    with h5py.File(path) as file:
        return [file[str(number)][()] for number in range(len(file) - 1)]


def test_embed(elmo_files: Files, texts: Texts, tmp_path: Path, gpu: EmulatedGpu, in_graphs: bool) -> None:
    options, weights = map(str, elmo_files())
    for device in (GPU, "cpu"):
        files = ["embed", str(texts[1]), str(tmp_path / f"{device}.hdf5"), "--options", options, "--weights", weights]
        assert main([*files, "--rank", "2", "--batch", "4", "--device", device]) == 0
    for one, other in zip(_vectors(tmp_path / f"{GPU}.hdf5"), _vectors(tmp_path / "cpu.hdf5"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_perplexity(texts: Texts, tmp_path: Path, gpu: EmulatedGpu, in_graphs: bool) -> None:
    trainer(texts, tmp_path / "elmo", SHORT).run()
    files = "--options", str(tmp_path / "elmo/options.json"), "--weights", str(tmp_path / "elmo/weights.hdf5")
    perplexities = []
    for device in (GPU, "cpu"):
        out = tmp_path / f"{device}.json"
        assert main(["perplexity", str(texts[1]), *files, "--rank", "2", "--json", str(out), "--device", device]) == 0
        written = json.loads(out.read_text())
        assert ("gpu" in written["machine"]) == (device == GPU)
        perplexities.append([(row["forward"], row["backward"]) for row in written["perplexities"]])
    assert perplexities[0] == [pytest.approx(row, rel=1e-4) for row in perplexities[1]]


@pytest.mark.usefixtures("short_limits")
def test_bench(
    elmo_files: Files, tmp_path: Path, gpu: EmulatedGpu, in_graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_benchmark, "measure", partial(measure, least_rounds=1))
    options, weights = map(str, elmo_files())
    files = ["bench", "--options", options, "--weights", weights, "--json", str(tmp_path / "bench.json")]
    sizes = ["--ranks", "2", "--parts", "characters,lstm,encoder", "--batches", "1,3", "--lengths", "3"]
    assert main([*files, *sizes, "--seconds", "0", "--device", GPU]) == 0
    assert json.loads((tmp_path / "bench.json").read_text())["machine"]["gpu"] == "an emulated GPU"


@pytest.fixture
def one_gpu(gpu: EmulatedGpu, monkeypatch: pytest.MonkeyPatch) -> EmulatedGpu:
    """What AllenNLP finds."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda module, _: module.to(GPU))
    monkeypatch.setattr(_language_model_latency, "_STEPS", 5)  # every step takes milliseconds here
    monkeypatch.setattr(_language_model_latency, "_REPEATS", 2)
    return gpu


def _shorten(data: Path) -> None:
    """Keep five words of eight sentences of each file, because every step of a sequence takes milliseconds here."""
    for path in data.glob("*.txt"):
        path.write_text("".join(f"{_beginning(line)}\n" for line in path.read_text().splitlines()[:8]))


def _beginning(line: str) -> str:
    leaves = re.findall(r"\(\d [^()]+\)", line)
    return f"({line[1]} {' '.join(leaves[:5])})" if leaves else " ".join(line.split()[:5])


_FISHER = {"method": "fisher_svd", "rank": 2, "targets": "all"}


@pytest.mark.parametrize(
    ("task", "compression", "in_graphs"),
    [
        ("sst", _FISHER | {"highway_rank": 2}, "graphs"),
        ("ptb", _FISHER | {"finetune": {"epochs": 1, "learning_rate": 0.01}}, "graphs"),
    ],
    ids=str,
    indirect=["in_graphs"],
)
def test_a_run(
    task: str, compression: dict[str, Any], tiny_sweep: TinySweep, tmp_path: Path, one_gpu: EmulatedGpu, in_graphs: bool
) -> None:
    """It is trained, judged and timed there, and its record says so."""
    records = []
    for place, changes in (("here", {}), ("there", {"trainer.cuda_device": -1})):
        overrides = {task: {"trainer.num_epochs": 1, **changes}}
        sizes: dict[str, Any] = {"latency_sentences": 1}
        spec = tiny_sweep(tasks=[task], methods=[], compressions=[compression], overrides=overrides, **sizes)
        _shorten(Path(str(spec.data)) / task)
        run = expand(spec)[-1]
        launches = one_gpu.launches
        with workspace(tmp_path / place) as work:
            records.append(execute(spec, run, work))
        assert (one_gpu.launches > launches) == (place == "here")
        assert not picked("stale", spec, torch.get_num_threads())(RecordStore(tmp_path / place).write(run, records[-1]))
        if place == "here":
            with workspace(tmp_path / place) as work:
                assert measure_times(spec, run, work).timed.machine == records[-1].machine
    here, there = records
    assert here.machine == there.machine.model_copy(update={"gpu": "an emulated GPU"})
    assert here.versions == there.versions | {"cuda": torch.version.cuda}
    assert (here.size, here.examples) == (there.size, there.examples)
    smooth = "perplexity" if task == "ptb" else "loss"  # rounding turns the answer to one example of eight
    assert here.scores[smooth] == pytest.approx(there.scores[smooth], rel=5e-3)
    assert here.validation[smooth] == pytest.approx(there.validation[smooth], rel=5e-3)
    assert here.activation_error and there.activation_error
    assert here.activation_error.all == pytest.approx(there.activation_error.all, rel=1e-3)
