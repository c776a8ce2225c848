"""Measured statements of the documentation, with their numbers computed from the records.

A page must contain each text literally, except for line breaks.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from statistics import median
from typing import Any

import numpy as np

from docs.tables.compression import board, board_records, elsewhere, reports, sized_encoders
from docs.tables.page import DOCS, read_json
from docs.tables.performance import Case, Column, bench, short_label

Claims = Callable[[], Iterator[str]]
"""Yields texts of one page."""

_BUDGET, _JOINT = "budget 161792 parameters", "whitened_svd joint+projection"
_DEMO, _BASE = f"{_JOINT} {_BUDGET}", f"{_JOINT} budget 403456 parameters"
_SHARED = f"{_JOINT} budget 501760 parameters with highways"
_SVD, _RANDOM = "svd all rank 32", "random all rank 32"


def claims() -> Iterator[tuple[str, Claims]]:
    """Yield pairs of a page below `docs` and a function of texts that it must contain."""
    pages: dict[str, list[Claims]] = {
        "../README.md": [_probed, _sizes_in_short],
        "encoder.md": [_embedded],
        "factorization.md": [_what_to_choose],
        "language-models.md": [_language_in_short],
        "how-to.md": [_accelerated, _precisions_in_short],
        "sweeps.md": [_processors, _processors_in_short, _sweeps],
        "compression.md": [
            _errors,
            _allocation,
            _compressing,
            _scores,
            _task_gradients,
            _language,
            _sizes,
            _elmo,
            _cells,
            _highways,
            _longer,
        ],
        "performance.md": [_limits, _precisions, _memory, _gpu, _gpu_in_short, _pretraining],
    }
    for page, functions in pages.items():
        yield from ((page, function) for function in functions)


def _accelerated() -> Iterator[str]:
    for name in ("tagger", "sst", "snli", "squad"):
        for part in read_json(f"acceleration/{name}.json")["predict"]:
            assert part["archives"][1]["equal_outputs"] == part["examples"]
    yield "every one of the outputs of the first command's results is the original's"
    tagger, squad = (read_json(f"acceleration/{name}.json") for name in ("tagger", "squad"))
    f1, baseline = tagger["search"]["test"]["original"]["f1-measure-overall"], tagger["baseline"]["f1-measure-overall"]
    yield f"F1 on test data is {100 * f1:.1f}, where the most frequent tag of each word reaches {100 * baseline:.1f}"
    yield f"with F1 {100 * squad['training']['best_validation_f1']:.1f}"


def _what_to_choose() -> Iterator[str]:
    rows = board("syntax-probe", "base")
    plain, budget = (rows[name] for name in ("svd all rank 32", f"{_JOINT} budget 12.5%"))
    assert 2 < plain["parameters"] / budget["parameters"] < 2.5
    yield f"with less than half of the parameters of `svd` at rank 32 it loses {-100 * budget['difference']:.1f} points"
    yield f"of the syntax probe's accuracy, where `svd` loses {-100 * plain['difference']:.1f}"


def _language_in_short() -> Iterator[str]:
    ratios = [*_additive("ptb"), *_additive("wikitext2")]
    yield f"{min(ratios):.1f} to {max(ratios):.1f} times as much perplexity as `recurrent`"


def _probed() -> Iterator[str]:
    rows = board("syntax-probe", "base")
    dense, shuffled, words = (100 * rows[name]["score"] for name in ("dense", "shuffled weights", "words alone"))
    yield f"right for {dense:.1f} % of 42,405 words, where words alone reach {words:.1f} % and shuffled"
    yield f"weights {shuffled:.1f} %"
    quarter, int8 = rows[f"{_JOINT} budget 25% with highways"], rows["dense in int8"]
    assert {quarter["verdict"], int8["verdict"]} == {"equivalent"}
    low, high = (-100 * quarter[name] for name in ("high", "low"))
    assert abs(int8["difference"]) < 5e-4
    yield f"a quarter of the parameters loses {-100 * quarter['difference']:.1f} points ({low:.1f} to {high:.1f})"
    yield f"{quarter['encoder_32_original']:.1f} times as fast as AllenNLP's at batch 32"
    scored = board("wikitext2-bilm", "base")
    more = scored[f"{_JOINT} budget 25% with highways"]["score"] / scored["dense"]["score"] - 1
    yield f"as a language model, it has {100 * more:.0f} % more perplexity"
    smallest, whole = (rows[name]["megabytes"] for name in (f"{_JOINT} budget 25% with highways in int8", "dense"))
    yield f"it takes {smallest:.2f} MB instead of {whole:.1f}"
    tasks = [board(task, "base", "swapped") for task in ("sst", "snli")]
    names = ("dense", "no ELMo")
    scores = [[f"{100 * rows[name]['score']:.1f} %" for rows in tasks] for name in names]
    dense, glove = (" and ".join(of) for of in scores)
    yield f"reach {dense} with this small ELMo and {glove} without"
    assert all(
        0 < one - other < 0.025 for one, other in zip(*[[r[n]["score"] for r in tasks] for n in names], strict=True)
    )
    yield "within two and a half points of models with this small ELMo"
    yield from _squad_in_short()


def _squad_in_short() -> Iterator[str]:
    rows = board("squad", "base", "swapped")
    f1 = {name: 100 * row["score"] for name, row in rows.items()}
    quarter, eighth = (_lost(rows[f"{_JOINT} budget {share}% with highways"]) for share in (25, 12.5))
    yield f"A model for SQuAD has an F1 of {f1['dense']:.1f} (two seeds); with a quarter of the encoder's parameters it"
    yield f"loses {quarter.replace(' [', ' points [')}, with an eighth {eighth}, and with shuffled weights it has"
    yield f"it has {f1['shuffled weights']:.1f}"
    glove, dense = f1["no ELMo"], f1["no ELMo"] - 100 * rows["no ELMo"]["difference"]
    yield f"trained with GloVe alone has {glove:.1f} with its only seed, with which dense has {dense:.1f}"


def _gpu_in_short() -> Iterator[str]:
    one, many = (_gpu_ratios(label) for label in ("batch 1", "batch 32"))
    cudnn, dense, high, low = (round(ratio) for ratio in one)
    yield f"biLSTM of one sentence is {dense} times as fast as AllenNLP's there, {high} and {low} at ranks 128 and 32"
    yield "of 32 sentences {1:.1f}, {2:.1f} and {3:.1f}".format(*many)
    yield f"is at {cudnn} and {many[0]:.1f}"
    eight = _gpu_ratios("batch 8")
    assert eight[3] > eight[0] > eight[2] and many[0] > max(many[1:]) and one[0] > one[1]


def _gpu_ratios(label: str) -> list[float]:
    """Return the speed-ups of cuDNN, dense, rank 128 and rank 32 over AllenNLP, for the biLSTM alone."""
    variants = ("torch.nn.LSTM", "dense", "svd all rank 128", "svd all rank 32")
    case = next(case for case in bench("gpu", "lstm") if short_label(case) == label)
    return [Column("", "gpu", "lstm", variant).of(case)["ratio"] for variant in variants]


def _embedded() -> Iterator[str]:
    for name in ("demo", "base", "books", "quarter"):
        training = json.loads((DOCS.parent / "weights" / name / "pretrain.json").read_text(encoding="utf-8"))
        size = (DOCS.parent / "weights" / name / "weights.hdf5").stat().st_size / 1e6
        held_out = training["held_out_perplexity"]
        both = f"{held_out['forward']:.1f}, {held_out['backward']:.1f}"
        yield f"| {both} ({training['held_out_unigram_perplexity']:.1f})"
        yield f"| {size:.1f} |"
        yield f"{training['held_out_words']:,} words of a held-out book"


def _processors() -> Iterator[str]:
    n, apart, seeds = _between_processors()
    yield f"{n} runs were scored on two processors"
    yield f"their scores differ by {apart:.1f} points (root mean square), where two seeds differ by {seeds:.1f}"


def _processors_in_short() -> Iterator[str]:
    _, apart, seeds = _between_processors()
    yield f"scores differ by {apart:.1f} points (root mean square, where this was measured)"
    yield f"against {seeds:.1f} between two seeds"


@cache
def _between_processors() -> tuple[int, float, float]:
    """Return the number of runs that two processors scored, and how much two processors and two seeds differ.

    The differences are root mean squares in points.
    """
    record = read_json("sweeps/processors.json")
    first, second = record["scores"]["AVX2"], record["scores"]["AVX512"]
    assert [machine["instructions"] for machine in record["machines"]] == list(record["scores"])
    apart = [100 * (score - second[task][seed]) for task, scores in first.items() for seed, score in scores.items()]
    pairs = (itertools.combinations(scores.values(), 2) for scores in second.values())
    seeds = [100 * (one - other) for one, other in itertools.chain.from_iterable(pairs)]
    return len(apart), _root_mean_square(apart), _root_mean_square(seeds)


def _sweeps() -> Iterator[str]:
    record = read_json("sweeps/measured.json")
    one, two = record["workers"]["seconds"].values()
    yield f"took {one} seconds one after another with two threads, and {two} with two workers of one thread each"
    cells = record["cells of --workers 1"]
    dense, small = ([cells[f"sst-{name}-seed-{seed}"] for seed in (1, 2, 3)] for name in ("dense", "svd-all-rank-8"))
    yield f"spent {dense[0]['phases']['activations']:.1f} of {dense[0]['seconds']} seconds on activations"
    yield f"({dense[1]['seconds']} and {dense[2]['seconds']} seconds in all)"
    phases = small[0]["phases"]
    yield f"{phases['encoder']:.1f} seconds on the encoder and {phases['activations']:.1f} of {small[0]['seconds']} on"
    busy = {
        run["machine"]["threads"]: run["latency"]["encoder"]["1"]["median_ms"]
        for run in read_json("sweeps/busy-core.json")["runs"]
    }
    yield f"encoder {busy[2]:.0f} ms with `--threads 2` on two cores and {busy[1]:.0f} ms with one"
    steps = read_json("sweeps/training_step.json")["tasks"]
    sst, snli, squad = (steps[task]["times as fast"]["elmo_mf_lstm, bfloat16"] for task in ("sst", "snli", "squad"))
    yield f"A step on one thread is {sst:.1f} (SST), {snli:.1f} (SNLI) and {squad:.1f} (SQuAD) times as fast"
    load = record["load"]["result"]
    yield f"| a run, first fifth of the sweep | {load['ms_a_run_first_fifth']:.0f} ms |"
    yield f"| a run, last fifth | {load['ms_a_run_last_fifth']:.0f} ms |"
    yield f"| `--status` on 10,000 records | {load['status_seconds']:.1f} s |"
    former, current = record["leaderboard"]["runs"]
    yield (
        f"takes {current['leaderboard_processor_seconds']:.0f} seconds of processor time and "
        f"{current['leaderboard_megabytes']:.0f} MB of memory, and its page {current['page_megabytes']:.1f} MB"
    )
    yield (
        f"these were {former['leaderboard_processor_seconds']:.0f} seconds, "
        f"{former['leaderboard_megabytes']:.0f} MB and {former['page_megabytes']:.1f} MB"
    )


def _errors() -> Iterator[str]:
    """Yield the text below the first table."""
    errors = {encoder: report["activation_error"]["all"] for encoder, report in reports().items()}
    plain, spent, both = (
        errors[label] for label in ("svd all rank 8", f"svd all {_BUDGET}", f"whitened_svd all {_BUDGET}")
    )
    yield {7: "Seven tenths of this gain come from the budget"}[round(10 * (plain - spent) / (plain - both))]
    yield f"(`whitened_svd`, rank 7, 153,344 parameters) {errors['whitened_svd all by gate rank 7']:.2f}"
    joint = [errors[f"svd joint+projection {_BUDGET}{how}"] for how in ("", " by matrices")]
    yield "`svd` with `joint+projection` and a budget {:.2f} (by matrices {:.2f})".format(*joint)
    longer = [errors[f"{_DEMO}{how} calibrated on 728c77e8"] for how in ("", " by matrices")]
    yield "(`joint+projection`, budget) {:.2f} (by matrices {:.2f})".format(*longer)
    yield f"brings {errors[_DEMO]:.2f} down to {longer[0]:.2f}"


def _allocation() -> Iterator[str]:
    """Yield the ranks that a budget gives the layers of the larger embedded ELMo."""
    gates, projections = _ranks(_BASE)
    yield f"the first layer's gates get ranks of {gates[0]} and its projections {projections[0]}"
    yield f"the second layer's {gates[1]}, {projections[1]}"
    gates, projections = _ranks(f"{_BASE} by matrices")
    yield f"by matrices it is {gates[0]} and {projections[0]}, {gates[1]}, {projections[1]}"


def _ranks(encoder: str) -> tuple[list[str], list[str]]:
    """Return the ranks of the gates and of the projections, for each layer of the larger embedded ELMo."""
    ranks = _compressed(encoder)["ranks"]
    texts: list[list[str]] = []
    for target in ("joint", "projection"):
        ranks_by_layer = [
            sorted({str(one["rank"]) for one in ranks if (one["target"], one["layer"]) == (target, layer)}, key=int)
            for layer in (0, 1)
        ]
        texts.append([" and ".join(map(str, ranks)) for ranks in ranks_by_layer])
    return texts[0], texts[1]


def _compressed(encoder: str) -> dict[str, Any]:
    """Return what a compression of the larger embedded ELMo chose."""
    return next(one for one in read_json("compression/ranks.json")["encoders"] if one["encoder"] == encoder)


def _scores() -> Iterator[str]:
    """Yield what is said of trained models and of the probe of syntax."""
    tasks = [board(task, "base", "swapped") for task in ("sst", "snli")]
    shuffled, random = ([-100 * rows[name]["difference"] for rows in tasks] for name in ("shuffled weights", _RANDOM))
    yield f"shuffled, SST loses {shuffled[0]:.1f} points and SNLI {shuffled[1]:.1f}"
    yield f"with random factors {random[0]:.1f} and {random[1]:.1f}"
    worst, quarter = (tasks[0][name] for name in (_RANDOM, f"{_JOINT} budget 25% with highways"))
    yield f"cost SST {worst['nats']:.3f} nats ({worst['nats_low']:.3f} to {worst['nats_high']:.3f})"
    yield f"{quarter['nats']:.3f} ({quarter['nats_low']:.3f} to {quarter['nats_high']:.3f})"
    for rows, title in zip(tasks, ("SST", "SNLI"), strict=True):
        dense, without, words = (100 * rows[name]["score"] for name in ("dense", "no ELMo", "words alone"))
        yield f"{title} {dense:.1f}, {without:.1f} without ELMo, {words:.1f} by words alone"
    for name, text in (("dense", "with ELMo reach {} and {}"), ("no ELMo", "without {} and {}.")):
        records = sorted(board_records("snli", "base", name, "swapped"), key=lambda record: record.run.seed)
        yield text.format(*(f"{100 * record.scores['accuracy']:.1f}" for record in records))
    probe = board("syntax-probe", "base")
    lost = {name: -100 * row["difference"] for name, row in probe.items()}
    assert probe[f"{_JOINT} budget 50% with highways"]["low"] < 0 < probe[f"{_JOINT} budget 50% with highways"]["high"]
    for share, text in ((25, "a quarter {} to {} points"), (12.5, "an eighth {} to {};")):
        both = sorted(lost[f"{_JOINT} budget {share}%{more}"] for more in ("", " with highways"))
        yield text.format(*(f"{one:.1f}" for one in both))
    gains = [_lost(rows["no ELMo"]) for rows in tasks]
    assert all(rows["no ELMo"]["low"] < 0 < rows["no ELMo"]["high"] for rows in tasks)
    yield f"by {_points_lost(tasks[0]['no ELMo'])} on SST and {gains[1]} on SNLI"
    assert abs(lost[_RANDOM] - lost["shuffled weights"]) < 0.3
    quarter, rounded, int8 = (
        probe[name]
        for name in (*(f"{_JOINT} budget 25% with highways{more}" for more in ("", " in int8")), "dense in int8")
    )
    assert abs(quarter["difference"] - rounded["difference"]) < 3e-4
    yield f"({rounded['megabytes']:.2f} MB) as in float32 ({quarter['megabytes']:.2f} MB)"
    yield f"loses nothing in {int8['megabytes']:.2f} MB"
    small, same = probe["smaller ELMo, from scratch"], probe[f"{_JOINT} budget 25%"]
    scratch = json.loads((DOCS.parent / "weights" / "quarter" / "pretrain.json").read_text(encoding="utf-8"))
    base = json.loads((DOCS.parent / "weights" / "base" / "pretrain.json").read_text(encoding="utf-8"))
    assert scratch["train_sha256"] == base["train_sha256"] and abs(small["parameters"] / same["parameters"] - 1) < 0.01
    scores = board("wikitext2-bilm", "base")
    by_loss = scores["cells budget kfac_svd joint+projection in order budget 25% by loss"]["score"]
    from_scratch = scores["smaller ELMo, from scratch"]["score"]
    yield f"perplexity of {from_scratch:.1f} and loses {-100 * small['difference']:.1f}"
    yield f"{scores[f'{_JOINT} budget 25%']['score']:.1f} by `whitened_svd` and loses {-100 * same['difference']:.1f}"
    yield f"and {by_loss:.1f} with `kfac_svd`"
    faster = (row["encoder_32_original"] for row in (quarter, int8))
    yield "low rank: {:.1f} times AllenNLP's at batch 32, against {:.1f} with int8 alone".format(*faster)
    bilm = {name: row["score"] for name, row in board("wikitext2-bilm", "base").items()}
    yield from _methods_at_rank_32(lost, bilm, tasks[1])
    more = {name: 100 * (score / bilm["dense"] - 1) for name, score in bilm.items()}
    yield f"half of the parameters {more[f'{_JOINT} budget 50% with highways']:.1f} %"
    quarters = [more[f"{_JOINT} budget 25%{with_highways}"] for with_highways in ("", " with highways")]
    yield "a quarter {:.0f} to {:.0f} %".format(*quarters)
    targets = [bilm[f"svd {target} rank 16"] for target in ("input", "recurrent")]
    yield "takes perplexity from {:.1f} to {:.1f}, `recurrent` to {:.1f}".format(bilm["dense"], *targets)
    yield f"and perplexity {bilm['svd projection rank 16']:.1f}"
    assert abs(more["dense in int8"]) < 0.1 and more[_RANDOM] > 1000
    assert all(lost[f"svd {target} rank 16"] < 0 for target in ("input", "recurrent"))
    yield f"alone at rank 16 it costs {lost['svd projection rank 16']:.1f} points"
    of_sst = [tasks[0][f"svd {target} rank 16"] for target in ("input", "recurrent", "projection")]
    assert all(row["low"] < 0 < row["high"] for row in of_sst)
    yield f"model of SNLI loses {_points_lost(tasks[1]['svd projection rank 16'])} with it"
    rows = tasks[1]
    highways = [rows[f"{_JOINT} budget {share}% with highways"] for share in (25, 6.25)]
    yield f"highway layers loses {_points_lost(highways[0])}, a sixteenth {_lost(highways[1])}"
    whitened = _lost(rows["whitened_svd all rank 32"])
    yield f"At rank 32 it loses {whitened} with `whitened_svd` and {_lost(rows[_SVD])} with `svd`"
    first, second = (_lost_by_seed("snli", _SVD, seed) for seed in (1, 2))
    yield f"whose two models lose {first:.1f} and {second:.1f}"


def _lost_by_seed(task: str, encoder: str, seed: int) -> float:
    """Return the points that the model of a seed loses with an encoder swapped in."""
    dense, compressed = (
        next(one for one in board_records(task, "base", name, "swapped") if one.run.seed == seed)
        for name in ("dense", encoder)
    )
    return 100 * (dense.scores["accuracy"] - compressed.scores["accuracy"])


def _lost(row: dict[str, Any]) -> str:
    """Format how many points less a row has than dense, with the interval."""
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(-100 * row[name] + 0.0 for name in ("difference", "high", "low")))


def _points_lost(row: dict[str, Any]) -> str:
    return _lost(row).replace(" [", " points [")


def _task_gradients() -> Iterator[str]:
    """Yield what is said of the gradients of SNLI's models."""
    scores = {name: f"{100 * row['score']:.1f} %" for name, row in board("snli", "base", "swapped").items()}
    budget = "joint+projection budget 6.25%"
    given, own = sorted(name for name in scores if name.startswith(f"kfac_svd {budget} by loss gradients"))
    assert own.endswith("of the task")
    yield f"SNLI's models score {scores[own]} with the gradients of their own loss, {scores[given]} with those of the"
    yield f"and {scores[f'whitened_svd {budget}']} with `whitened_svd`"
    yield f"{scores['fisher_svd all rank 32']} at rank 32, where `svd` has {scores['svd all rank 32']}"


def _methods_at_rank_32(lost: dict[str, float], bilm: dict[str, float], snli: dict[str, Any]) -> Iterator[str]:
    """Yield what is said of methods with as many parameters, on the probe, as a language model, and for SNLI."""
    methods = ("prune", "whitened_svd", "semi_nmf", "svd", "random")
    names = {method: f"{method} all rank 32" for method in methods}
    of_probe, perplexity = ({method: of[names[method]] for method in methods} for of in (lost, bilm))
    budget = {share: f"{_JOINT} budget {share}%" for share in ("25", "12.5")}
    assert sorted(of_probe, key=lambda method: of_probe[method]) == list(methods)
    assert lost[budget["12.5"]] < of_probe["whitened_svd"]
    assert bilm[budget["25"]] < min(perplexity.values()) == perplexity["whitened_svd"] < bilm[budget["12.5"]]
    plain, whitened = (f"{perplexity[method]:.1f}" for method in ("svd", "whitened_svd"))
    yield f"at rank 32 by {of_probe['svd'] - of_probe['whitened_svd']:.1f} points on the probe"
    yield f"with a perplexity of {whitened} instead of {plain}"
    yield f"with a quarter of the dense parameters ({bilm[budget['25']]:.1f})"
    yield f"but not with an eighth ({bilm[budget['12.5']]:.1f})"
    yield f"it loses {of_probe['prune']:.1f} points and `whitened_svd` {of_probe['whitened_svd']:.1f}"
    pruned, other = (_lost(snli[names[method]]) for method in ("prune", "whitened_svd"))
    yield f"perplexity is {perplexity['prune']:.1f} against {whitened}, and SNLI loses"
    yield f"{pruned.replace(' [', ' points [')} against {other}"
    others = [f"semi_nmf({settings}) all rank 32" for settings in ("nonnegative=left", "nonnegative=left,start=random")]
    yield "its perplexity is {:.1f}, and {:.1f} from a random start".format(*(bilm[name] for name in others))
    yield f"budget of 25 % loses {lost[budget['25']]:.1f} points on the probe"
    yield f"it loses {of_probe['semi_nmf']:.1f} points on the probe instead of {of_probe['svd']:.1f}"
    yield f"a perplexity of {perplexity['semi_nmf']:.1f} instead of {plain}"
    for rows in (board("ptb"), board("wikitext2")):
        rival, ours = (rows[f"{method} input rank 32"]["score"] for method in ("semi_nmf", "svd"))
        assert 1 < rival / ours < 1.03


def _sizes() -> Iterator[str]:
    """Yield what is said of encoders at equal bytes."""
    dense = board("wikitext2-bilm", "base")["dense"]["score"]
    found = {(one.label, one.dtype, one.share): one for one in sized_encoders()}
    more = {key: 100 * (one.perplexity / dense - 1) for key, one in found.items()}
    by_loss = {(dtype, share): one for (label, dtype, share), one in found.items() if label == "`kfac_svd`"}
    yield f"In int8 dense loses nothing, in int4 {more['dense', 'int4', 1 / 4]:.1f} %"
    quarter, eighth = (100 * (by_loss["int8", share].perplexity / dense - 1) for share in (1 / 4, 1 / 8))
    yield f"perplexity rises by {quarter:.1f} %, and in a sixteenth by {eighth:.1f} %"
    best = [min((value, key[1]) for key, value in more.items() if key[2] == share) for share in (1 / 16, 1 / 32)]
    assert all(dtype == "int4" for _, dtype in best)
    yield "by {:.0f} %, and in a thirty-second by {:.0f} %".format(*(value for value, _ in best))
    for share, text in ((1 / 8, "an eighth"), (1 / 16, "a sixteenth")):
        rival = found["`whitened_svd`", "int8", share].perplexity
        yield f"{by_loss['int8', share].perplexity:.1f} instead of {rival:.1f} at {text}"
    small, scratch = by_loss["int4", 1 / 32], found["trained from scratch", "float16", 1 / 4]
    alike = by_loss["float16", 1 / 4]
    assert round(alike.megabytes, 2) == round(scratch.megabytes, 2)
    yield f"from scratch has a perplexity of {scratch.perplexity:.1f}"
    yield f"`base` compressed to as many bytes in float16 has {alike.perplexity:.1f}, or {alike.general:.1f} with"
    yield "{:.1f} instead of {:.1f}, and {:.1f} instead of {:.1f}".format(
        *(value for one in (by_loss["int8", 1 / 8], small) for value in (one.perplexity, one.general))
    )
    lost = [-100 * one.probe["difference"] for one in (by_loss["int4", 1 / 8], small)]
    yield f"{lost[0]:.1f} points at an eighth, and {lost[1]:.1f} at a thirty-second"
    yield f"loses at most {max(-100 * one.snli['difference'] for one in found.values() if one.snli):.1f} points"


_RIVALS = "trained from scratch", "`kfac_svd`"


def _sizes_in_short() -> Iterator[str]:
    found = {(one.label, one.dtype, one.share): one for one in sized_encoders()}
    dense = board("wikitext2-bilm", "base")["dense"]["score"]
    sized = [found["`kfac_svd`", "int8", share] for share in (1 / 4, 1 / 8)]
    quarter, eighth = (100 * (one.perplexity / dense - 1) for one in sized)
    link = "(docs/compression.md#at-equal-bytes)"
    yield f"this ELMo has [{quarter:.1f} % more perplexity]{link} with an eighth of the bytes"
    yield f"and {eighth:.1f} % with a sixteenth"
    general = [100 * (one.general / dense - 1) for one in sized if one.general is not None]
    yield "({:.1f} % and {:.0f} % with the general text".format(*general)
    scratch, alike = (100 * (found[name, "float16", 1 / 4].perplexity / dense - 1) for name in _RIVALS)
    yield f"has {scratch:.0f} % more; this one, compressed to as many bytes in float16, has {alike:.1f} % more"


def _language() -> Iterator[str]:
    ptb, wikitext2 = board("ptb"), board("wikitext2")
    yield f"its mean is {ptb['dense']['score']:.1f}"
    yield f"with a dense mean of {wikitext2['dense']['score']:.1f}"
    tuned = [rows["dense fine-tuned 1"]["score"] for rows in (ptb, wikitext2)]
    yield f"{tuned[0]:.1f} on the Penn Treebank and at {tuned[1]:.1f} on WikiText-2"
    ratios = [_additive(task) for task in ("ptb", "wikitext2")]
    yield f"`input` costs {min(ratios[0]):.1f} to {max(ratios[0]):.1f} times as much perplexity as `recurrent`"
    yield f"on WikiText-2 {min(ratios[1]):.1f} to {max(ratios[1]):.1f} times as much"
    prune = [
        rows[f"prune {target} rank 8"]["difference"] / rows[f"svd {target} rank 8"]["difference"]
        for rows in (ptb, wikitext2)
        for target in ("input", "recurrent")
    ]
    yield f"with those of rank 8 it loses {min(prune):.1f} to {max(prune):.1f} times as much"
    lines = (DOCS.parent / "leaderboard" / "EXPLAIN.md").read_text(encoding="utf-8").splitlines()
    explained = "\n".join(line for line in lines if "AWD-LSTM" in line)
    norm = r"Frobenius norm with the loss, given size and rank: (\S+ \[[^]]*\])(?:, (p [\d.]+))?"
    (overall, _), *by_board, first, second = re.findall(norm, "\n".join(lines))
    probes, models = (" and ".join(f"{one.split()[0]} ({p})" for one, p in by_board[k : k + 2]) for k in (0, 2))
    yield f"given their sizes, of {first[0].split()[0]} on the Penn Treebank ({first[1]})"
    yield f"{second[0].split()[0]} on WikiText-2 ({second[1]})"
    yield f"as language models it is {models}, and by the probe of syntax {probes}"
    yield f"Over the four models it is {overall}"
    gain = board("syntax-probe", "base")["svd input rank 16"]
    yield "gains {:.1f} points [{:.1f}, {:.1f}] with `input`".format(
        *(100 * gain[n] for n in ("difference", "low", "high"))
    )
    pairs = [f"{more} of {of}" for more, of in re.findall(r"nats more .* in (\d+) of (\d+) pairs", explained)]
    yield f"more in {pairs[1]}"
    assert pairs[0] == "72 of 72"
    layers = [
        "{:.1f}, {:.1f} and {:.1f}".format(*(rows[f"svd {target} layers {n} rank 32"]["difference"] for n in range(3)))
        for rows in (ptb, wikitext2)
        for target in ("input", "recurrent")
    ]
    yield "`input` costs {} in the first, second and third layer, `recurrent` {}; on WikiText-2 {}, and {}".format(
        *layers
    )
    for size, fall in ((ptb, (29.7, 18.5)), (wikitext2, (33.2, 22.2))):
        names = ("svd all rank 32", "svd all budget 324000 parameters")
        assert tuple(round(size[name]["difference"], 1) for name in names) == fall
        yield f"{fall[0]} become {fall[1]}"
    yield from _speeds(ptb, wikitext2)
    yield from _budget_of_a_core()


def _additive(task: str) -> list[float]:
    """Return the costs of `input` divided by those of `recurrent`, where the dense encoder's processor scored both."""
    rows = board(task)
    methods = ("svd", "whitened_svd", "fisher_svd", "semi_nmf", "prune", "nmf", "random")
    ratios = []
    for method, rank in itertools.product(methods, (128, 32, 8)):
        names = [f"{method} {target} rank {rank}" for target in ("input", "recurrent")]
        if not any(elsewhere(task, None, name) for name in names):
            ratios.append(rows[names[0]]["difference"] / rows[names[1]]["difference"])
    return ratios


def _speeds(ptb: dict[str, Any], wikitext2: dict[str, Any]) -> Iterator[str]:
    def of(rows: dict[str, Any], encoder: str, part: str = "encoder") -> list[str]:
        return [f"{rows[encoder][f'{part}_{batch}_original']:.1f}" for batch in (1, 32)]

    first, second = of(ptb, "svd all rank 32"), of(wikitext2, "svd all rank 32")
    yield f"a step of generation {first[0]} times as fast and scores 32 texts {first[1]} times as fast"
    yield f"on WikiText-2 {second[0]} and {second[1]}"
    yield "at rank 8 it is {} and {}, and {} and {}".format(
        *of(ptb, "svd all rank 8"), *of(wikitext2, "svd all rank 8")
    )
    model = *of(ptb, "svd all rank 32", "model"), *of(wikitext2, "svd all rank 32", "model")
    yield "a step at rank 32 is {} times as fast and scoring {} times".format(*model)
    yield "where the softmax takes most of the time, {2} and {3}".format(*model)
    yield "Our dense core is at {} and {:.2f}, and {} and {:.2f}".format(
        *(
            number
            for rows in (ptb, wikitext2)
            for number in (of(rows, "dense")[0], rows["dense"]["encoder_32_original"])
        )
    )


def _budget_of_a_core() -> Iterator[str]:
    """Yield the median ranks that a language model's budget gives."""
    medians: dict[tuple[int, str], list[str]] = {}
    recurrent = []
    for task in ("ptb", "wikitext2"):
        records = board_records(task, None, "svd all budget 324000 parameters")
        for layer, target in itertools.product(range(3), ("input", "recurrent")):
            ranks = [
                one.rank or 0 for record in records for one in record.matrices
                if (one.layer, one.target) == (layer, target)
            ]  # fmt: skip
            medians.setdefault((layer, target), []).append(f"{median(ranks):.0f}")
            recurrent += [median(ranks)] if target == "recurrent" else []
    third, second, first = (" and ".join(medians[layer, "input"]) for layer in (2, 1, 0))
    yield f"the third layer's `input` gets rank {third}, the second's {second} and the first's {first}"
    yield f"`recurrent` {min(recurrent):.0f} to {max(recurrent):.0f}"


def _elmo() -> Iterator[str]:
    """Yield perplexities and ranks of an ELMo as a language model."""
    record = read_json("compression/perplexities.json")
    perplexities = {one["encoder"]: one["forward"] for one in record["perplexities"]}
    dense = perplexities["as it is"]
    targets = ("input", "recurrent")
    low, lower = ([perplexities[f"svd {target} rank {rank}"] - dense for target in targets] for rank in (32, 16))
    yield f"`input` costs {low[0]:.0f} and `recurrent` {low[1]:.0f} of {dense:.0f}"
    yield f"at rank 16 {lower[0]:.0f} and {lower[1]:.0f}"
    gates, projections = (
        sorted(int(rank) for text in texts for rank in text.split(" and ")) for texts in _ranks(f"{_BASE} by matrices")
    )
    yield f"gives it ranks of {projections[0]} to {projections[-1]}, and the gates {gates[0]} to {gates[-1]}"


def _cells() -> Iterator[str]:
    """Yield perplexities of encoders with fewer memory cells, within a budget and with the cells picked by hand."""
    score = {name: row["score"] for name, row in board("wikitext2-bilm", "base").items()}

    def of(cells: str, share: float) -> float:
        name = f"kfac_svd joint+projection in order budget {100 * share:g}% by loss"
        return float(score[f"{cells} {name}" if cells else name])

    picked = {0.25: "480 cells", 0.125: "320 cells", 0.0625: "160 cells"}
    named = {0.25: "a quarter of the parameters", 0.125: "an eighth", 0.0625: "a sixteenth"}
    yield f"dense has {score['dense']:.1f}, " + ", ".join(
        f"{named[share]} {of(cells, share):.1f} with {cells.removesuffix(' cells')}"
        + " cells" * (share == 0.25)
        + f" and {of('', share):.1f}"
        + " with all" * (share == 0.25)
        for share, cells in picked.items()
    )
    quarter, eighth, sixteenth = (of("cells budget", share) for share in picked)
    yield f"for a quarter, with a perplexity of {quarter:.1f}, 272 for an eighth with {eighth:.1f}, and 192"
    yield f"for a sixteenth with {sixteenth:.1f}: no worse than the numbers above"
    assert all(of("cells budget", share) <= of(cells, share) for share, cells in picked.items())


def _highways() -> Iterator[str]:
    record = read_json("compression/highways.json")
    perplexities = {one["encoder"]: (one["forward"], one["backward"]) for one in record["perplexities"]}
    alone = [" and ".join(f"{one:.1f}" for one in perplexities[f"highways {rank}"]) for rank in (256, 128, 64, 32)]
    yield "of the dense encoder into {}, {}, {}, {}".format(*alone)
    yield from _shared_budgets(perplexities)
    highway = record["report"]["highways"][0]
    error, input_error = highway["error"], highway["input_error"]
    yield f"is off by half ({error:.2f}), and what it gives for the words of a text by {input_error:.2f}"
    dense = board("syntax-probe", "base")["dense"]["megabytes"]
    sizes = [1e-6 * _compressed(name)["encoder_bytes"] for name in (_SHARED, _BASE)]
    yield f"is {dense / sizes[0]:.1f} times smaller than dense instead of {dense / sizes[1]:.1f}"


def _shared_budgets(perplexities: dict[str, tuple[float, float]]) -> Iterator[str]:
    """Yield perplexities of budgets that the highway layer shares, and of the same parameters without sharing."""

    def both(encoder: str) -> str:
        return " and ".join(f"{one:.1f}" for one in perplexities[encoder])

    separate = both(f"{_BASE} by matrices highways 64")
    yield f"the same rank of 64 gives {separate}"
    (rank,) = _compressed(_SHARED)["highway_ranks"]
    yield f"it chooses rank {rank} and reaches {both(_SHARED)} instead of {separate}"
    larger = both(f"{_JOINT} budget 894976 parameters with highways")
    yield f"(rank 32 and rank 64), {larger} instead of {both('whitened_svd all rank 32 highways 64')}"


def _longer_perplexities() -> Iterator[str]:
    """Yield the costs of compression in forward perplexity for both ELMos."""
    records = [read_json(f"compression/{name}.json") for name in ("perplexities", "highways", "longer")]
    embedded, highways, longer = (
        {one["encoder"]: one["forward"] for one in record["perplexities"]} for record in records
    )
    embedded = highways | embedded
    low, by_matrices = "svd all rank 32", f"{_BASE} by matrices"
    costs = [elmo[low] - elmo["as it is"] for elmo in (embedded, longer)]
    yield f"costs the embedded ELMo {costs[0]:.0f} and this one {costs[1]:.0f}"
    costs = [elmo[f"{by_matrices} highways 64"] - elmo[by_matrices] for elmo in (longer, embedded)]
    yield f"costs it {costs[0]:.0f} and the embedded ELMo {costs[1]:.0f}"
    projection, recurrent = "svd projection rank 64", "svd recurrent rank 16"
    yield f"gives {longer[projection]:.0f} where the embedded ELMo has {embedded[projection]:.0f}"
    yield f"({longer[recurrent]:.1f} and {embedded[recurrent]:.1f} at 16)"
    last = records[2]["pretrain_with_dropout_0.1"]["perplexity_by_epoch"][-1]
    yield f"the perplexities were {last['forward']:.1f} and {last['backward']:.1f}"


def _longer() -> Iterator[str]:
    yield from _longer_perplexities()
    norms = read_json("compression/longer.json")["norms"]
    for targets, text in (
        (
            ("input", "recurrent"),
            "are {:.1f} to {:.1f} times as large and their effective ranks {:.0f} to {:.0f} of 128",
        ),
        (("projection",), "are {:.1f} to {:.1f} times as large, and {:.0f} to {:.0f} instead of"),
    ):
        longer, other = ([one for one in norms[name] if one["target"] in targets] for name in ("longer", "embedded"))
        ratios = [one["frobenius"] / two["frobenius"] for one, two in zip(longer, other, strict=True)]
        ranks, fewer = ([one["effective_rank"] for one in norms] for norms in (longer, other))
        yield text.format(min(ratios), max(ratios), min(ranks), max(ranks))
        yield f"instead of {min(fewer):.0f} to {max(fewer):.0f}."


def _limits() -> Iterator[str]:
    """Yield the smallest speed-ups over AllenNLP."""
    former = ("-convolutions", "-4x4")  # of earlier code
    with_avx2 = [
        name
        for name, record in _benches().items()
        if record["machine"]["instructions"] == "AVX2" and not name.endswith(former)
    ]
    yield f"[With AVX2](#with-avx2) the lowest is {min(map(_least, with_avx2)):.1f}"
    yield f"and [without llvmlite](#without-llvmlite) {_least('original-without-llvmlite'):.1f}"
    with_avx512 = [name for name, record in _benches().items() if record["machine"]["instructions"] == "AVX512"]
    measured = [name for name in with_avx512 if not name.startswith(("gpu", "original-without"))]
    cases = [case for name in measured for case in _benches()[name]["cases"]]
    ours = [one for case in cases for one in case["variants"] if one["variant"] not in ("AllenNLP", "torch.nn.LSTM")]
    least = min(one["ratio"] for one in ours)
    plain = min(one["ratio"] for one in ours if one["precision"] == "float32")
    yield f"In all {len(cases)} cases with AVX-512"
    yield f"in float32 the lowest ratio is {plain:.1f} (the character CNN alone, one sentence)"
    yield f"over all precisions {least:.1f}"


def _least(name: str) -> float:
    """Return the smallest speed-up of this package's encoders in a benchmark."""
    cases = _benches()[name]["cases"]
    return min(
        float(one["ratio"])
        for case in cases
        for one in case["variants"]
        if one["variant"] not in ("AllenNLP", "torch.nn.LSTM")
    )


@cache
def _benches() -> dict[str, dict[str, Any]]:
    return {path.stem: read_json(f"performance/{path.name}") for path in sorted((DOCS / "performance").glob("*.json"))}


def _precisions() -> Iterator[str]:
    characters, encoder = _gains("characters"), _gains("encoder")
    yield f"the character CNN alone {characters['bfloat16']} times as fast with `bfloat16`"
    yield f"and {characters['int8']} with `int8`"
    yield f"the whole encoder at the lower rank of each table {encoder['bfloat16']} and {encoder['int8']} times"


def _compressing() -> Iterator[str]:
    measured = read_json("compression/compressing.json")["compressing"]
    wall, processor, megabytes = (measured[name] for name in ("seconds", "processor_seconds", "peak_mb"))
    yield f"in {wall:.0f} s and {processor:.0f} s of processor time on two cores"
    yield f"with {megabytes / 1000:.1f} GB of memory"


def _memory() -> Iterator[str]:
    rows = [row for row in read_json("compression/memory.json")["memory"] if row["stored"] == "int8"]
    loading, held = (
        {(row["elmo"], row["precision"], row["keep_float32"]): f"{row[field]:.0f}" for row in rows}
        for field in ("loading_mb", "resident_mb")
    )
    for elmo in ("original", "base"):
        only, both, float32 = (held[elmo, *form] for form in (("int8", False), ("int8", True), ("float32", True)))
        yield f"{only} MB instead of {both} with `keep_float32` and {float32} in `float32`"
    only, both = (loading["original", "int8", keep] for keep in (False, True))
    yield f"{only} MB at most while it is loaded, instead of {both}"


def _precisions_in_short() -> Iterator[str]:
    yield f"makes the whole encoder {_gains('encoder')['int8']} times as fast at inference"


def _gains(part: str) -> dict[str, str]:
    """Return the range of each precision's speed-up over float32 over all sizes; the encoder at its lower rank."""
    speed_ups: dict[str, list[float]] = {"bfloat16": [], "int8": []}
    for size, rank in (("original", 32), ("medium", 16), ("small", 8)):
        encoder = "dense" if part == "characters" else f"svd all rank {rank}"
        plain = Column("", f"{size}-encoder", part, encoder)
        for case, (precision, gains) in itertools.product(plain.cases, speed_ups.items()):
            other = plain._replace(variant=f"{encoder}, {precision}")
            gains.append(plain.milliseconds(case) / other.milliseconds(case))
    return {precision: f"{min(gains):.1f} to {max(gains):.1f}" for precision, gains in speed_ups.items()}


def _pretraining() -> Iterator[str]:
    record = read_json("compression/pretraining.json")
    for kind, speeds in record["words_per_second"].items():
        yield " | ".join(f"{before:,} / {after:,}" for before, after in speeds.values())
        perplexities = record["perplexity_after_200_steps"][kind]
        yield "{:.0f} / {:.0f}".format(*perplexities["before"])
        ratios = [
            new / old for old, new in zip(*(record["again"][kind][when] for when in ("before", "after")), strict=True)
        ]
        yield f"{min(ratios):.1f} to {max(ratios):.1f} times"


def _gpu() -> Iterator[str]:
    def of(record: str, label: str, variant: str) -> Case:
        case = next(case for case in bench(record, "lstm") if short_label(case) == label)
        return Column("", record, "lstm", variant).of(case)

    yield f"(at {of('gpu', 'batch 512', 'torch.nn.LSTM')['product_share']:.1f} times what a float32 product reaches)"
    shares = of("gpu", "batch 1", "dense"), of("gpu-long", "batch 1, length 150", "dense")
    yield "at {:.0f} % of the GPU's bandwidth, at length 150 at {:.0f} %".format(
        *(100 * share["read_share"] for share in shares)
    )
    yield f"{100 * of('gpu', 'batch 512', 'dense')['product_share']:.0f} % of what a large float32 product reaches"
    errors = {
        part: max(one["error"] or 0 for case in bench("gpu", part) for one in case["variants"])
        for part in ("encoder", "lstm")
    }
    yield f"differs by up to {errors['encoder']:.0e} from AllenNLP's, the biLSTM alone by {errors['lstm']:.0e}".replace(
        "e-0", "e-"
    )


def _root_mean_square(numbers: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(numbers))))
