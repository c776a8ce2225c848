"""Golden entries of what runs of tasks compute: data formats, baselines, probes, trainings of models."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from allennlp.commands.train import train_model
from allennlp.common import Params
from allennlp.data import Vocabulary

from elmo_mf.bilm import Bilm, BilmOptions, read_weights
from elmo_mf.bilm.weights import to_dense
from elmo_mf.experiments import workspace
from elmo_mf.plugin import LanguageTextReader, PaddedLstm, SpacyRulesTokenizer, SstPhrasesReader, TextStreams
from elmo_mf.records import Compression, FineTuning, Measurements, Outputs, Run, SplitOutputs
from elmo_mf.records.identity import Split
from elmo_mf.resources import base_elmo, demo_options, demo_weights
from elmo_mf.tasks import SweepSpec, TaskWork, expand, load_task
from elmo_mf.tasks._chance import CHANCES
from elmo_mf.tasks._language_model_training import LanguageModelTraining
from elmo_mf.tasks._run_data import limited_data
from elmo_mf.tasks._shuffled import shuffled
from elmo_mf.tasks._training import plugins
from elmo_mf.tasks._word_overlap import fit_overlap, overlap_outputs
from elmo_mf.tasks.formats import FORMATS, Example
from elmo_mf.tasks.probe.examples import probe_data
from elmo_mf.tasks.probe.features import features, layer_vectors
from elmo_mf.tasks.probe.words import words_alone
from tests.conftest import ROOT, small_data

Arrays = dict[str, np.ndarray]


# --- data formats


_SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": title,
            "paragraphs": [
                {
                    "context": "It is\u00a0red, or green.",
                    "qas": [
                        {"id": "1", "question": "What colour?", "answers": [{"text": "red", "answer_start": 6}]},
                        {
                            "question": " Or else? ",
                            "answers": [{"text": "green", "answer_start": 14}, {"text": "It", "answer_start": 0}],
                        },
                    ],
                }
            ],
        }
        for title in ("A", "B")
    ],
}
_PAIRS = [
    {"gold_label": label, "sentence1": "A man\u2028sleeps.", "sentence2": f"{label} é", "pairID": "x"}
    for label in ("neutral", "-", "entailment", "contradiction", "-", "neutral")
]
_FILES = {
    "ptb-trees": "\ufeff(3 (2 It) (3 works))\r\n\r\n(0 (2 (2 U.S.) (2 -LRB-)) (1 n't))\r(4 é)\n  (2  (2 a)\t(2 b)) \n",
    "snli-jsonl": "\n\n".join(map(json.dumps, _PAIRS)),
    "squad-json": json.dumps(_SQUAD),
    "labelled-texts": '\ufeffid,label,text\r\n\r\n1, pos,"It\u2028is, ""so"",\nfine"\r2,0,é b\n3,neg,c\n',
    "text-lines": "\n the <unk> film \n\nis  N\u2028quiet\r\n= title =\n",
}


def _digest(text: str) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(text.encode()).digest(), "<u2").astype(float)


def _format(folder: Path, name: str) -> Arrays:
    """What a format reads from a file with oddities, and what it writes of the first and of some examples."""
    data_format, path = FORMATS[name], folder / "data"
    path.write_bytes(_FILES[name].encode())
    contents = data_format.contents(path)
    examples = [(one.label, one.raw, data_format.document(one)) for one in contents.examples]
    data_format.write(contents.examples, folder / "all")
    data_format.cut(path, folder / "some", 2)
    return {
        "examples": _digest(json.dumps(examples)),
        "number of examples, and whether they are plain": np.array([len(examples), contents.plain]),
        **{file: _digest((folder / file).read_text(encoding="utf-8")) for file in ("all", "some")},
    }


# --- readers of AllenNLP, and what probes classify


def _texts(values: object) -> np.ndarray:
    return _digest(json.dumps(values))


def _phrases(folder: Path) -> Arrays:
    """The phrases of SST's demo trees, all of them and those of four words or more."""
    trees = load_task("sst").demo_data / load_task("sst").files["test"]
    read = {least: list(SstPhrasesReader(least).read(str(trees))) for least in (1, 4)}
    return {
        f"phrases of {least} words or more": _texts(
            [([t.text for t in one["tokens"]], one["label"].label) for one in all_]
        )
        for least, all_ in read.items()
    }


def _language_text(folder: Path) -> Arrays:
    """Lines of WikiText-2 as words, and as the batches of several streams, with and without varied lengths."""
    text, reader = load_task("wikitext2").demo_data / load_task("wikitext2").files["validation"], LanguageTextReader()
    arrays = {"lines": _texts([[token.text for token in one["tokens"]] for one in reader.read(str(text))])}
    for vary in (False, True):
        loader = TextStreams(reader, str(text), batch_size=4, steps=20, vary=vary)
        vocabulary = Vocabulary.from_instances(loader.iter_instances(), oov_token="<unk>", padding_token="<eos>")
        loader.index_with(vocabulary)
        random.seed(1)
        batches = [(one["tokens"].tolist(), one["targets"].tolist(), one["start"]) for one in loader]
        arrays[f"batches, vary={vary}"] = _texts(batches)
    return arrays


def _tokens(folder: Path) -> Arrays:
    """Tokens and offsets of SNLI's demo sentences, and of some oddities."""
    texts = [json.loads(example.raw)["sentence1"] for example in _examples("snli", 40)["test"]]
    odd = "Don't tell Mr. O'Neill (U.S.)  it's $5.\u2028 C'est-a-dire... e.g. 3km :-) it,or\u00a0not\n"
    split = SpacyRulesTokenizer().tokenize
    return {"tokens": _texts([[(t.text, t.idx, t.idx_end) for t in split(text)] for text in (*texts, odd)])}


def _probe_examples(folder: Path, task: str) -> Arrays:
    probe = load_task(task).probe
    assert probe is not None
    data = probe_data(probe.examples, _examples(task, 60)["test"])
    return {"examples": _texts([data.sentences, data.rows.tolist(), data.labels.tolist()])}


# --- runs


def _run(folder: Path, is_chosen: Callable[[Run], bool], **keys: Any) -> Arrays:
    """The scores of one run of a sweep, and what each example contributes."""
    spec = SweepSpec.from_file(None, methods=[], latency_sentences=1, latency_rounds=1, **keys)
    (run,) = filter(is_chosen, expand(spec))
    result = TaskWork(spec)(run, folder / "out", lambda _: None)
    measurements = result.measured
    assert isinstance(measurements, Measurements), result.error
    scores = {"scores": measurements.scores, "validation": measurements.validation}
    arrays = {f"{what}: {name}": np.array([score]) for what, one in scores.items() for name, score in one.items()}
    assert measurements.by_example is not None
    return arrays | _by_example(measurements.by_example)


def _by_example(outputs: Outputs) -> Arrays:
    return {
        f"{split}: {name}": array
        for split, one in outputs.splits.items()
        for name, array in (("score", one.score), ("log-likelihood", one.log_likelihood))
        if array is not None
    }


def _is_dense(run: Run) -> bool:
    return run.identity.is_dense


def _is_of_words(run: Run) -> bool:
    return run.identity.baseline == "words"


def _bilm(folder: Path) -> Arrays:
    """The larger embedded ELMo as a language model."""
    options, weights = map(str, base_elmo())
    return _run(folder, _is_dense, tasks=["wikitext2-bilm"], options=options, weights=weights, limit=12)


def _features(folder: Path, task: str) -> Arrays:
    probe = load_task(task).probe
    assert probe is not None
    vectors = layer_vectors(Bilm.from_files(demo_options(), demo_weights()), slice(1, None), lambda: None)
    examples = probe_data(probe.examples, _examples(task, 20)["test"])
    return {"features": features(probe.examples, examples, vectors)}


def _tuned(folder: Path) -> Arrays:
    """The view `tuned` of the dense encoder."""
    overrides = {"sst": {"trainer.num_epochs": 2}}
    return _run(folder, _is_dense, tasks=["sst"], views=["tuned"], limit=24, overrides=overrides)


# --- baselines


def _examples(task: str, most: int) -> dict[Split, list[Example]]:
    """The first demo examples of each split."""
    config = load_task(task)
    return {split: config.format.read(config.demo_data / file)[:most] for split, file in config.files.items()}


def _words(folder: Path, task: str) -> Arrays:
    probe = load_task(task).probe
    assert probe is not None
    examples = _examples(task, 60)
    outputs = words_alone(probe.examples, {split: probe_data(probe.examples, one) for split, one in examples.items()})
    return _by_example(Outputs(outputs))


def _word_overlap(folder: Path) -> Arrays:
    examples = _examples("squad", 60)
    overlap = fit_overlap(examples["train"])
    scores: dict[Split, SplitOutputs] = {"test": overlap_outputs(overlap, examples["test"])}
    rarity = np.array([overlap.rarity[word] for word in sorted(overlap.rarity)])
    return _by_example(Outputs(scores)) | {"length of answers": np.array([overlap.length]), "rarity": rarity}


def _shuffled(folder: Path) -> Arrays:
    weights = shuffled(read_weights(demo_weights(), BilmOptions.from_file(demo_options())))
    return {
        f"{place}: {target}": to_dense(matrix)
        for place, lstm in weights.lstms.items()
        for target, matrix in lstm.matrices.items()
    }


# --- training


def trained_by_allennlp(folder: Path, task: str) -> Arrays:
    """The model that `allennlp train jsonnet/TASK.jsonnet` leaves, on a few demo examples, and its losses."""
    plugins()
    data, files = small_data(task, folder / "data" / task), load_task(task).files
    splits: tuple[Split, ...] = ("train", "validation") if task == "squad" else ("train", "validation", "test")
    changes: dict[str, Any] = {f"{split}_data_path": str(data / files[split]) for split in splits}
    with contextlib.chdir(ROOT):
        params = Params.from_file(f"jsonnet/{task}.jsonnet", json.dumps(changes | {"trainer.num_epochs": 3}))
        model = train_model(params, str(folder / "out"))
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    weights = {name: one.numpy() for name, one in model.state_dict().items() if name not in frozen}
    metrics = json.loads((folder / "out/metrics.json").read_text())
    losses = {key: np.array([metrics[key]]) for key in ("training_loss", "validation_loss")}
    return {name: array for name, array in floats(weights).items() if array.ndim > 1} | losses


def floats(arrays: Arrays) -> Arrays:
    """Those that contain numbers other than zero that training can change."""
    return {name: array for name, array in arrays.items() if array.dtype.kind == "f" and array.any()}


def _padded_lstm(folder: Path, precision: str) -> Arrays:
    """The padded LSTM's parameters and outputs after some steps of gradient descent, and its outputs in the last."""
    torch.manual_seed(1)
    encoder = PaddedLstm(12, 16, num_layers=2, dropout=0.2, training_precision=precision)
    inputs, wanted = torch.randn(5, 9, 12), torch.randn(5, 9, 32)
    mask = torch.arange(9) < torch.tensor([[9], [7], [1], [4], [9]])
    optimizer = torch.optim.SGD(encoder.parameters(), 1.0)
    for _ in range(4):
        outputs = encoder(inputs, mask)
        loss = (outputs - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    arrays = {name: one.numpy() for name, one in encoder.state_dict().items()}
    with torch.no_grad():
        return arrays | {"last step": outputs.numpy(), "outputs": encoder.eval()(inputs, mask).numpy()}


@contextlib.contextmanager
def _language_model(folder: Path) -> Iterator[LanguageModelTraining]:
    """A small language model that is not trained, so that only what follows can change."""
    for name in ("train", "valid", "test"):
        file = folder / f"data/ptb/{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = (ROOT / f"tasks/ptb/demo/{name}.txt").read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(lines[:60]), encoding="utf-8")
    sizes = {"model.embedding_dim": 16, "model.hidden_size": 24, "data_loader.batch_size": 4}
    spec = SweepSpec.from_file(None, tasks=["ptb"], methods=[], data=str(folder / "data"), overrides={"ptb": sizes})
    (run,) = expand(spec)
    with workspace(folder / "out") as work:
        yield LanguageModelTraining(spec, run, work, folder / "data/ptb", trained=False)


def _finetuning(folder: Path, compression: Compression | None) -> Arrays:
    """A language model's weights after its fine-tuning, dense or compressed, and its perplexity."""
    with _language_model(folder) as training:
        if compression is not None:
            training.compress(compression, training.inputs("train"))
        training.finetune(FineTuning(epochs=4, learning_rate=0.03))
        weights = {name: one.numpy() for name, one in training.model.state_dict().items()}
        return floats(weights) | {"perplexity": np.array([training.scores("test")["perplexity"]])}


def _language_model_gradients(folder: Path) -> Arrays:
    with _language_model(folder) as training, h5py.File(training.gradients()) as file:
        arrays: Arrays = {}
        file.visititems(lambda name, one: arrays.update({name: one[()]} if isinstance(one, h5py.Dataset) else {}))
        return arrays


def _dealt(folder: Path) -> Arrays:
    """Where the questions of SQuAD's validation file are: their places in the two splits that it is dealt out to."""
    spec = SweepSpec.from_file(None, tasks=["squad"], methods=[], limit=200)
    (run,) = filter(_is_dense, expand(spec))
    task = load_task("squad")
    places = {example.raw[2]["id"]: place for place, example in enumerate(_examples("squad", 10_000)["validation"])}
    splits: tuple[Split, ...] = ("validation", "test")
    with workspace(folder / "out") as work:
        data = limited_data(spec, run, work)
        examples = {split: task.format.read(data / task.run_files[split]) for split in splits}
    return {split: np.array([places[one.raw[2]["id"]] for one in read]) for split, read in examples.items()}


def _chances(folder: Path) -> Arrays:
    scores = {}
    for task in ("sst", "squad", "ptb"):
        score, examples = load_task(task).score, _examples(task, 200)
        scored = examples.get(score.split, examples["validation"])
        scores[task] = np.array([CHANCES[score.chance](examples["train"], scored)])
    return scores


TASK_ENTRIES: dict[str, Callable[[Path], Arrays]] = {
    **{f"format: {name}": partial(_format, name=name) for name in FORMATS},
    "shuffled: demo": _shuffled,
    "words: text": partial(_words, task="sst-probe"),
    "words: pair": partial(_words, task="snli-probe"),
    "words: word": partial(_words, task="syntax-probe"),
    "word-overlap: squad": _word_overlap,
    "words-run: sst": partial(_run, is_chosen=_is_of_words, tasks=["sst"], baselines=["words"], limit=60),
    "words-run: squad": partial(_run, is_chosen=_is_of_words, tasks=["squad"], baselines=["words"], limit=60),
    "probe-examples: texts": partial(_probe_examples, task="sst-probe"),
    "probe-examples: pairs": partial(_probe_examples, task="snli-probe"),
    "probe-examples: words": partial(_probe_examples, task="syntax-probe"),
    "probe-features: texts": partial(_features, task="sst-probe"),
    "probe-features: pairs": partial(_features, task="snli-probe"),
    "probe-features: words": partial(_features, task="syntax-probe"),
    "probe: text": partial(_run, is_chosen=_is_dense, tasks=["sst-probe"], limit=60),
    "probe: pair": partial(_run, is_chosen=_is_dense, tasks=["snli-probe"], limit=60),
    "probe: word": partial(_run, is_chosen=_is_dense, tasks=["syntax-probe"], limit=24),
    "bilm: wikitext2": _bilm,
    "run-data: squad": _dealt,
    "sst-phrases: demo": _phrases,
    "language-text: wikitext2": _language_text,
    "tokenizer: english": _tokens,
    "chance: all kinds": _chances,
    "task: snli": partial(trained_by_allennlp, task="snli"),
    "task: squad": partial(trained_by_allennlp, task="squad"),
    "task: padded LSTM": partial(_padded_lstm, precision="float32"),
    "task: padded LSTM, bfloat16": partial(_padded_lstm, precision="bfloat16"),
    "tuned: sst": _tuned,
    "finetuning: dense": partial(_finetuning, compression=None),
    "finetuning: svd": partial(_finetuning, compression=Compression(method="svd", rank=3, targets="all")),
    "language-model-gradients: ptb": _language_model_gradients,
}
