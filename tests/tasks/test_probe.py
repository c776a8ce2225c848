"""Probes: their examples, features and classifier, and runs of the whole kind."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from nltk.tree import Tree
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from elmo_mf.bilm import BilmOptions, read_weights
from elmo_mf.bilm.weights import to_dense
from elmo_mf.errors import InputError
from elmo_mf.experiments import workspace
from elmo_mf.records import Outputs, RecordStore
from elmo_mf.records.labels import encoder_label
from elmo_mf.records.record import parse_record
from elmo_mf.tasks import check_needs, cost_of, expand, load_task, picked
from elmo_mf.tasks._encoders import encoder_of, no_gradients
from elmo_mf.tasks._measurement import execute, measure_times
from elmo_mf.tasks._portable import PortableSweep
from elmo_mf.tasks._shuffled import shuffled
from elmo_mf.tasks.formats import Example
from elmo_mf.tasks.probe.classifier import STRENGTHS, fit, outputs_of
from elmo_mf.tasks.probe.examples import ProbeData, probe_data
from elmo_mf.tasks.probe.features import features, layer_vectors, word_vectors
from elmo_mf.tasks.probe.words import words_alone
from elmo_mf.tasks.spec import SweepSpec
from tests.conftest import random_bilm, small_data
from tests.records.samples import record, signed
from tests.sweeps import TinySweep, records_here

TREES = ["(3 (2 (2 A) (2 film)) (3 (2 that) (3 works)))", "(1 (2 (2 A) (2 film)) (1 fails))", "(2 Why)"]


def _examples(lines: list[str]) -> list[Example]:
    return [Example(str(Tree.fromstring(line).label()), line) for line in lines]


def test_texts_and_pairs_share_their_sentences() -> None:
    data = probe_data("text", _examples([*TREES, TREES[0]]))
    assert data.sentences == [("A", "film", "that", "works"), ("A", "film", "fails"), ("Why",)]
    assert data.rows.tolist() == [[0], [1], [2], [0]] and data.labels.tolist() == ["3", "1", "2", "3"]
    pair = '{"gold_label": "neutral", "sentence1": "It\'s late.", "sentence2": "Late."}'
    data = probe_data("pair", [Example("neutral", pair)])
    assert data.sentences == [("It", "'s", "late", "."), ("Late", ".")] and data.rows.tolist() == [[0, 1]]


def test_a_word_is_labelled_by_the_constituents_that_end_with_it() -> None:
    data = probe_data("word", _examples(TREES))
    for line, sentence in zip(TREES, data.sentences, strict=True):
        assert tuple(Tree.fromstring(line).leaves()) == sentence
    # the film: 1; works: "that works" and the sentence; fails: the sentence; a single word is no constituent of several
    assert data.labels.tolist() == ["0", "1", "0", "2", "0", "1", "1", "0"]
    deep = "(2 (2 a) (2 (2 b) (2 (2 c) (2 (2 d) (2 e)))))"
    assert probe_data("word", _examples([deep])).labels.tolist() == ["0", "0", "0", "0", "3+"]


def test_features_are_those_of_the_encoders_vectors() -> None:
    bilm = random_bilm()
    vectors = layer_vectors(bilm, slice(1, None), lambda: None)
    texts = probe_data("text", _examples(TREES))
    rows = features("text", texts, vectors)
    for sentence, row in zip(texts.sentences, rows, strict=True):
        (layers,) = bilm.embed([sentence])
        joined = np.concatenate(layers[1:], axis=1)
        np.testing.assert_allclose(row, np.concatenate([joined.mean(0), joined.max(0)]), atol=1e-5)
    words = features("word", probe_data("word", _examples(TREES)), vectors)
    np.testing.assert_allclose(words[:4, : rows.shape[1] // 4], bilm.embed([texts.sentences[0]])[0][1], atol=1e-5)
    pair = ProbeData(texts.sentences, np.array([[0, 1]]), np.array(["x"]))
    u, v = (np.concatenate(bilm.embed([texts.sentences[k]])[0][1:], axis=1).mean(0) for k in (0, 1))
    np.testing.assert_allclose(features("pair", pair, vectors)[0], np.concatenate([u, v, abs(u - v), u * v]), atol=1e-5)
    table = {"a": np.array([1, 2], np.float32), "film": np.array([3, 4], np.float32)}
    assert features("text", texts, word_vectors(table))[1].tolist() == pytest.approx([4 / 3, 2, 3, 4])


def test_the_strength_that_validates_best_is_chosen() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(20, 3))
    splits = []
    for _ in range(3):
        inputs = generator.normal(size=(300, 20)).astype(np.float32)
        splits.append((inputs, np.array(["a", "b", "c"])[(inputs @ truth + generator.gumbel(size=(300, 3))).argmax(1)]))
    (train, labels), (validation, held_out), (test, expected) = splits
    model = fit(train, labels, validation, held_out)
    scaler = StandardScaler().fit(train)
    losses = {}
    for strength in STRENGTHS:
        theirs = LogisticRegression(C=strength, max_iter=500).fit(scaler.transform(train), labels)
        losses[strength] = log_loss(held_out, theirs.predict_proba(scaler.transform(validation)))
    assert model.strength == min(losses, key=losses.__getitem__)
    theirs = LogisticRegression(C=model.strength, max_iter=500).fit(scaler.transform(train), labels)
    outputs = outputs_of(model.probabilities(test), model.classes, expected)
    assert outputs.log_likelihood is not None
    probabilities = theirs.predict_proba(scaler.transform(test))
    assert -outputs.log_likelihood.mean() == pytest.approx(log_loss(expected, probabilities), abs=1e-3)
    assert outputs.score.mean() == pytest.approx(theirs.score(scaler.transform(test), expected), abs=0.02)
    assert outputs_of(np.array([[0.5, 0.5]]), np.array(["a", "b"]), np.array(["new"])).score.tolist() == [0]


def test_one_label_cannot_be_learned() -> None:
    labels = np.array(["yes", "yes"])
    with pytest.raises(InputError, match="one label, yes"):
        fit(np.eye(2), labels, np.eye(2), labels)


def test_words_alone_beat_chance_where_words_decide() -> None:
    good, bad = ["(4 (2 a) (4 fine))", "(4 (4 lovely) (2 one))"], ["(0 (2 a) (0 dull))", "(0 (0 dull) (2 one))"]
    data = probe_data("text", _examples(5 * good + 5 * bad))
    outputs = words_alone("text", {"train": data, "validation": data, "test": data})
    assert outputs.keys() == {"validation", "test"} and outputs["test"].score.mean() == 1
    words = probe_data("word", _examples(20 * TREES))
    assert words_alone("word", {"train": words, "validation": words})["validation"].score.mean() == 1


def test_shuffled_weights_keep_their_values_and_lose_their_places(tmp_path: Path) -> None:
    random_bilm().save(tmp_path)
    options = BilmOptions.from_file(tmp_path / "options.json")
    weights = read_weights(tmp_path / "weights.hdf5", options)
    actual = shuffled(weights)
    for place, lstm in weights.lstms.items():
        for target, matrix in lstm.matrices.items():
            before, after = to_dense(matrix), to_dense(actual.lstms[place].matrices[target])
            assert not np.array_equal(after, before) and np.array_equal(np.sort(after.ravel()), np.sort(before.ravel()))
        assert np.array_equal(actual.lstms[place].bias, lstm.bias)
    again = shuffled(weights).lstms[0, 0].matrices["input"]
    assert np.array_equal(to_dense(again), to_dense(actual.lstms[0, 0].matrices["input"]))


@pytest.mark.slow
def test_probes_leave_records_with_outputs(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    glove = tmp_path / "glove.txt"
    glove.write_text("".join(f"{word} {len(word)} {k} 1.5\n" for k, word in enumerate(["the", "a", "film", "is", "."])))
    random_bilm(dim=6, projection_dim=3).save(tmp_path / "small")
    small_data("snli", tmp_path / "data" / "snli", 60)  # which are of all classes
    tasks = ["sst-probe", "snli-probe", "syntax-probe"]
    spec = tiny_sweep(
        tasks=tasks, seeds=[1, 2], glove=str(glove), precisions=["bfloat16", "int4"],
        compressed_precisions=["int8", "int4"], smaller=str(tmp_path / "small"),
        baselines=["shuffled", "token-layer", "no-encoder", "words", "smaller"],
    )  # fmt: skip
    runs = expand(spec)
    assert len(runs) == 3 * 11 and {run.seed for run in runs} == {0} and len({run.id for run in runs}) == len(runs)
    assert len({run.encoder_id for run in runs if run.task == "sst-probe"}) == 11
    records = records_here(spec, tmp_path / "out")
    store = RecordStore(tmp_path / "out")
    for run, entry in zip(runs, records, strict=True):
        kept = store.read(run)
        assert kept is not None
        outputs = store.outputs(kept)
        assert isinstance(outputs, Outputs) and outputs.splits.keys() == {"validation", "test"}
        test, validation = outputs.splits["test"], outputs.splits["validation"]
        assert (test.cluster is not None) == (run.task == "syntax-probe")
        if test.cluster is not None:
            trees = [
                Tree.fromstring(one.raw) for one in load_task("sst").format.read(tmp_path / "data" / "sst" / "test.txt")
            ]
            assert test.cluster.tolist() == [number for number, tree in enumerate(trees) for _ in tree.leaves()]
        assert [len(test.score), len(validation.score)] == [entry["examples"][key] for key in ("test", "validation")]
        assert test.score.mean() == pytest.approx(entry["scores"]["accuracy"])
        assert validation.score.mean() == pytest.approx(entry["validation"]["accuracy"])
        with_encoder = run.identity.baseline not in ("no-encoder", "words")
        assert (entry["size"] is not None) == with_encoder
        assert (entry["activation_error"] is not None) == (
            run.compression is not None or run.identity.precision is not None
        )
    entries = {encoder_label(run.identity): entry for run, entry in zip(runs, records, strict=True)}
    dense, in_bfloat16 = (entries[name]["size"]["encoder_bytes"] for name in ("dense", "dense in bfloat16"))
    assert in_bfloat16 == dense / 2
    factors, rounded = (entries[name] for name in ("svd input+recurrent rank 2", "svd input+recurrent rank 2 in int8"))
    assert rounded["size"]["encoder_bytes"] < 0.6 * factors["size"]["encoder_bytes"]
    in_int4 = entries["dense in int4"]["size"]
    assert in_int4["encoder_bytes"] < in_bfloat16 and entries["dense in int4"]["activation_error"]["all"] > 0.001
    four_bits = entries["svd input+recurrent rank 2 in int4"]["size"]
    assert four_bits["lstm_bytes"] < rounded["size"]["lstm_bytes"]
    assert rounded["activation_error"]["all"] != factors["activation_error"]["all"]
    (used,) = (
        run
        for run in runs
        if run.task == "sst-probe" and encoder_label(run.identity) == "svd input+recurrent rank 2 in int8"
    )
    with workspace(tmp_path / "out") as work:
        encoder = encoder_of(spec, used, work, no_gradients)
    with h5py.File(encoder.weights) as file:
        assert file["RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_0_input_left"].dtype == np.int8
    (used,) = (run for run in runs if run.task == "sst-probe" and encoder_label(run.identity) == "dense in int4")
    with workspace(tmp_path / "out") as work:
        encoder = encoder_of(spec, used, work, no_gradients)
    assert encoder.precision == "int8" and in_int4["lstm_bytes"] == _four_bits(spec)
    with workspace(tmp_path / "again") as work:
        again = execute(spec, runs[1], work)
        assert again.scores == records[1]["scores"]
        timed = spec.model_copy(update={"latency_sentences": 2})
        assert measure_times(timed, runs[1], work).latency.encoder["1"].median_ms > 0


@pytest.mark.slow
def test_what_a_sweep_of_probes_needs(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    glove = tmp_path / "glove.txt"
    glove.write_text("a 1 2\n")
    spec = tiny_sweep(tasks=["sst-probe"], glove=str(glove), data=None, baselines=["no-encoder", "words"])
    runs = expand(spec)
    assert cost_of(spec, runs).trainings == 0 and cost_of(spec, runs).encoders == 1
    sent = PortableSweep(spec, runs, tmp_path / "scratch")
    assert isinstance(sent.spec.glove, dict) and sent.bundle.paths[sent.spec.glove["sst-probe"]] == glove
    check_needs(spec, runs, tmp_path / "out", 1)
    glove.write_text("no vectors\n")
    with pytest.raises(InputError, match=r"glove\.txt: "):
        check_needs(spec, runs, tmp_path / "out", 1)


def test_what_has_no_encoder_is_not_timed_again(tiny_sweep: TinySweep) -> None:
    wanted = picked("all", tiny_sweep(tasks=["sst-probe"], data=None, latency_sentences=2), 1)
    dense = parse_record(json.dumps(signed(record(None, 0.4))).encode(), "x")
    assert wanted(dense) and not wanted(dense.model_copy(update={"latency": None, "size": None}))


@pytest.mark.slow
def test_sweeps_say_what_a_probe_lacks(tiny_sweep: TinySweep) -> None:
    with pytest.raises(InputError, match="glove: sst-probe: missing"):
        expand(tiny_sweep(tasks=["sst-probe"], baselines=["no-encoder"], data=None))
    with pytest.raises(InputError, match="sst-probe with fisher_svd"):
        expand(tiny_sweep(tasks=["sst-probe"], methods=["fisher_svd"], data=None))
    assert load_task("syntax-probe").demo_data == load_task("sst").demo_data


def _four_bits(spec: SweepSpec) -> int:
    """Bytes of the dense LSTMs: half a byte a number, and two for a scale of up to 32 inputs of each output."""
    options = BilmOptions.from_file(spec.options)
    total = 0
    for lstm in read_weights(spec.weights, options).lstms.values():
        total += 2 * lstm.bias.size
        joint = np.concatenate([to_dense(lstm.matrices["input"]), to_dense(lstm.matrices["recurrent"])], axis=1)
        for outputs, inputs in (joint.shape, lstm.matrices["projection"].shape):
            total += -(-outputs * inputs // 2) + 2 * outputs * -(-inputs // 32)
    return total
