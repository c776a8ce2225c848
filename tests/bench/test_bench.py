"""Tests that the benchmark compares the same functions, counts their work, and alternates between them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from elmo_mf.bench import PARTS, Case, cases, elmo_of_size, published_options
from elmo_mf.bench._cases import Part, character_ids, token_vectors
from elmo_mf.bench._limits import measure_limits
from elmo_mf.bench._measure import measure, work
from elmo_mf.bench._sizes import SIZES
from elmo_mf.bench._variants import BASELINE, AllenNlp, Ours, TorchLstm, Variant, WordCache
from elmo_mf.bilm import BilmOptions
from elmo_mf.bilm.runtime import PRECISIONS, Precision, supports
from elmo_mf.bilm.runtime_settings import use_settings
from elmo_mf.cli.main import main
from elmo_mf.records import Compression
from elmo_mf.records.labels import compression_label
from tests.conftest import stages_call

Files = Callable[..., tuple[Path, Path]]
CPU = torch.device("cpu")
RAGGED = (3, 1, 5, 5)


def test_cases() -> None:
    grid = cases(["lstm", "encoder"], [1, 4], [6, 9], ragged=True)
    assert len(grid) == 2 * 2 * 2 + 2
    assert grid[0] == Case("lstm", (6,)) and str(grid[1]) == "lstm, batch 4, length 6"
    assert sorted(grid[-1].lengths) == [3, 4, 5, 6] and str(grid[-1]) == "encoder, batch 4, length 3 to 6"


@pytest.mark.parametrize("part", PARTS)
def test_every_variant_runs_the_same_case(part: Part, elmo_files: Files) -> None:
    files = elmo_files()
    dense = Ours(*files, None, CPU)
    case = Case(part, RAGGED)
    with torch.no_grad():
        ours, theirs = (v.prepare(case, CPU)() for v in (dense, AllenNlp(*files, dense.size, CPU)))
    assert ours.shape == ((1, 4, case.steps, 6) if part == "characters" else (2, 4, case.steps, 12))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_words_kept_from_the_call_before(elmo_files: Files) -> None:
    files, case = elmo_files(), Case("characters", RAGGED)
    dense = Ours(*files, None, CPU)
    kept = WordCache(*files, dense.size)
    assert kept.runs(case) and not kept.runs(Case("encoder", RAGGED))
    assert not Ours(*files, Compression(method="svd", rank=2, targets="all"), CPU).runs(case)
    assert Ours(*files, Compression(method="svd", rank=2, targets="all", highway_rank=3), CPU).runs(case)
    with torch.no_grad():
        run, expected = kept.prepare(case, CPU), dense.prepare(case, CPU)()
        assert torch.equal(run(), run())
        torch.testing.assert_close(run(), expected, atol=1e-6, rtol=1e-6)


def test_the_baseline_forgets_its_state(elmo_files: Files) -> None:
    files = elmo_files()
    run = AllenNlp(*files, Ours(*files, None, CPU).size, CPU).prepare(Case("encoder", RAGGED), CPU)
    with torch.no_grad():
        assert torch.equal(run(), run())


def test_the_native_reference_has_the_same_arithmetic(elmo_files: Files) -> None:
    dense = Ours(*elmo_files(), None, CPU)
    native = TorchLstm(dense.bilm.options.lstm, dense.size, CPU)
    matrices = sum(p.numel() for lstm in native.directions for p in lstm.parameters() if p.dim() == 2)
    assert matrices == dense.size.lstm_multiply_adds
    assert native.runs(Case("lstm", (2,))) and not native.runs(Case("encoder", (2,)))
    assert native.prepare(Case("lstm", RAGGED), CPU)().shape == (4, 5, 12)


def test_work_counted_by_hand(elmo_files: Files) -> None:
    """With d = p = 6 and n = 12, W_x and W_h are 48 x 6 and W_p is 6 x 12, in two layers and two directions."""
    dense = Ours(*elmo_files(), None, CPU)
    read, products = work(Case("lstm", RAGGED), dense)
    assert read == 4 * 4 * (48 * 6 + 5 * (48 * 6 + 6 * 12)) and products == 4 * (3 + 1 + 5 + 5) * (2 * 48 * 6 + 6 * 12)
    more = work(Case("encoder", RAGGED), dense)
    assert more[0] == 4 * 4 * (48 * 6 + 7 * (48 * 6 + 6 * 12)) + 4 * dense.size.around_parameters
    words = work(Case("characters", RAGGED), dense)
    assert words == (4 * dense.size.around_parameters, (14 + 8) * dense.size.around_multiply_adds)
    assert more[1] == (14 + 8) * (4 * (2 * 48 * 6 + 6 * 12) + dense.size.around_multiply_adds)


@pytest.mark.parametrize(
    ("precision", "compression", "each"),
    [
        ("bfloat16", None, (2, 2)),
        ("int8", None, (1, 2)),
        ("bfloat16", Compression(method="svd", rank=2, targets="all"), (2, 2)),
    ],
)
def test_bytes_read_in_less_precision(
    precision: Precision,
    compression: Compression | None,
    each: tuple[int, int],
    elmo_files: Files,
) -> None:
    """`each` holds the bytes per weight of the gates and of the projection."""
    w_h, w_p = (48 * 6, 6 * 12) if compression is None else (2 * (48 + 6), 2 * (6 + 12))
    with use_settings(quantized_numbers=48 * 6):
        ours = Ours(*elmo_files(), compression, CPU).in_precision(precision)
        assert work(Case("lstm", RAGGED), ours)[0] == 4 * (each[0] * w_h + 5 * (each[0] * w_h + each[1] * w_p))


@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize(("precision", "each"), [("float32", (4, 4)), ("bfloat16", (2, 2)), ("int8", (1, 2))])
def test_bytes_of_the_character_cnn(
    rank: int | None, precision: Precision, each: tuple[int, int], elmo_files: Files
) -> None:
    """`each` holds the bytes per weight of the highway layers (at least 2 for factors) and of the projection."""
    compression = None if rank is None else Compression(method="svd", rank=2, targets="all", highway_rank=rank)
    dense = Ours(*elmo_files(), compression, CPU)
    ours = dense if precision == "float32" else dense.in_precision(precision)
    options = dense.bilm.options.char_cnn
    n = options.n_filters
    matrix = 2 * n * n if rank is None else rank * 3 * n
    highways, projection = options.n_highway * (matrix + 2 * n), n * 6 + 6
    each = each if rank is None else (max(each[0], 2), each[1])
    others = dense.size.around_parameters - highways - projection
    assert others > 0 and ours.around_bytes == each[0] * highways + each[1] * projection + 4 * others


def test_int8_is_not_shown_where_it_is_bfloat16(elmo_files: Files) -> None:
    files = elmo_files()
    dense, thin, half = (
        Ours(*files, c, CPU)
        for c in (
            None,
            Compression(method="svd", rank=2, targets="all"),
            Compression(method="svd", rank=2, targets="input"),
        )
    )
    lstm, encoder, characters = (Case(part, RAGGED) for part in PARTS[1:] + PARTS[:1])
    with use_settings(quantized_numbers=48 * 6):
        shown = [
            [ours.in_precision("int8").runs(case) for case in (lstm, encoder, characters)]
            for ours in (dense, thin, half)
        ]
    assert shown == [[True, True, True], [False, True, False], [True, True, False]]
    assert thin.in_precision("bfloat16").runs(lstm)
    with use_settings(quantized_numbers=48 * 6 + 1):
        assert not dense.in_precision("int8").runs(lstm)


class _Counting(Variant):
    def __init__(self, name: str, order: list[str], size: object) -> None:
        self.name, self.order, self.size = name, order, size  # type: ignore[assignment]

    def prepare(self, case: Case, device: torch.device) -> Callable[[], torch.Tensor]:
        def run() -> torch.Tensor:
            self.order.append(self.name)
            return torch.zeros(1)

        return run


def test_variants_take_turns(elmo_files: Files) -> None:
    size, order = Ours(*elmo_files(), None, CPU).size, list[str]()
    variants: list[Variant] = [_Counting(name, order, size) for name in ("AllenNLP", "dense", "x")]
    timings = measure(Case("lstm", (2,)), variants, CPU, budget=0, least_rounds=3)
    assert order[:3] == ["AllenNLP", "dense", "x"]  # the warm-up
    rounds = [order[start : start + 3] for start in range(3, len(order), 3)]
    assert len(rounds) == 3 and all(sorted(r) == sorted(order[:3]) for r in rounds)
    assert len({r[0] for r in rounds}) == 3
    assert [timing.rounds for timing in timings] == [3, 3, 3]
    assert timings[0].ratio == 1 and all(timing.error is None for timing in timings)


def test_errors_are_those_of_the_same_maths(elmo_files: Files) -> None:
    files = elmo_files()
    compression = Compression(method="svd", rank=2, targets="input")
    variants: list[Variant] = [AllenNlp(*files, Ours(*files, None, CPU).size, CPU), Ours(*files, None, CPU)]
    thin = Ours(*files, compression, CPU)
    variants += [thin, *(thin.in_precision(precision) for precision in PRECISIONS[1:])]
    label = compression_label(compression)
    timings = measure(Case("lstm", RAGGED), variants, CPU, budget=0, least_rounds=1)
    assert [timing.error_to for timing in timings] == [None, BASELINE, None, label, label]
    assert timings[1].error is not None and timings[1].error < 1e-6 and timings[2].error is None
    assert all(timing.error is not None and timing.error < 0.1 for timing in timings[3:])


def test_inputs_are_the_same_every_time() -> None:
    case = Case("encoder", RAGGED)
    assert torch.equal(character_ids(case, 50, CPU), character_ids(case, 50, CPU))
    assert torch.equal(token_vectors(case, 6, CPU), token_vectors(case, 6, CPU))
    assert (character_ids(case, 50, CPU) > 0).any(2).sum(1).tolist() == list(RAGGED)


def test_words_repeat_as_in_a_text() -> None:
    ids = character_ids(Case("encoder", (1000,)), 50, CPU)[0]
    assert 300 < len(torch.unique(ids, dim=0)) < 800


@pytest.mark.slow
def test_limits() -> None:
    limits = measure_limits(CPU, repeats=1)
    known = [value for value in limits.to_dict().values() if value is not None]
    assert min(known) > 0 and len(known) == (4 if supports("bfloat16") else 3)
    assert "GB/s" in str(limits) and ("bfloat16" in str(limits)) == supports("bfloat16")


@pytest.mark.parametrize("size", SIZES)
def test_published_sizes(size: str) -> None:
    lstm = published_options(size).lstm
    assert lstm.dim == 8 * lstm.projection_dim and lstm.n_layers == 2


@pytest.mark.slow
def test_elmo_of_size() -> None:
    begun: list[str] = []
    with stages_call(begun=begun.append), elmo_of_size("small") as (options, weights):
        assert begun == ["random weights"]
        assert BilmOptions.from_file(options).lstm.dim == 1024 and weights.is_file()
    assert not weights.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("short_limits")
def test_command(elmo_files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, weights = elmo_files()
    out = [f"--json={tmp_path / 'b.json'}", f"--plot={tmp_path / 'b.svg'}"]
    grid = "--parts characters,lstm,encoder --ranks 2 --highway-rank 5 --batches 1,3 --lengths 4 --seconds 0".split()
    assert main(["bench", f"--options={options}", f"--weights={weights}", *grid, *out]) == 0
    text = capsys.readouterr().out
    assert text.startswith("loading the encoders: 3 encoders\n") and "\nlimits of the machine\ntiming " in text
    assert "encoder, batch 3, length 2 to 4" in text and "svd all rank 2 highways 5" in text and "torch.nn.LSTM" in text
    assert "characters, batch 3, length 4" in text and "dense, words kept" in text
    if supports("bfloat16"):
        assert "dense, bfloat16" in text and "svd all rank 2 highways 5, bfloat16" in text
    result = json.loads((tmp_path / "b.json").read_text())
    assert len(result["cases"]) == 9 and result["limits"]["gflop_s"] > 0 and result["machine"]["threads"] >= 1
    for case in result["cases"]:
        dense, allennlp = (next(v for v in case["variants"] if v["variant"] == name) for name in ("dense", "AllenNLP"))
        assert dense["error"] < 1e-5 and allennlp["ratio"] == 1 != dense["ratio"]
        assert dense["read_share"] == pytest.approx(dense["gb_s"] / result["limits"]["read_gb_s"])
    assert "<svg" in (tmp_path / "b.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "huge"], "--size: found 'huge'"),
        (["--parts", "cnn"], "--parts: found 'cnn'"),
        (["--ranks", "0"], "--ranks: found '0'"),
        (["--batches", "x"], "--batches: found 'x'"),
        (["--plot", "b.txt"], "--plot: found b.txt"),
        (["--precisions", "float16"], "--precisions: found 'float16'"),
        (["--plot", __file__ + "/b.svg"], "--plot: found "),
        (["--json", "."], "--json: "),
        (["--device", "tpu"], "--device: found tpu"),
        (["--options", "o.json"], "o.json: "),
        (["--weights", "w.hdf5"], "--weights requires"),
        (["--targets", "inputs"], "targets: found 'inputs'"),
    ],
)
def test_errors(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
