"""What measured the documentation's models: configs of stock models, and the timing of `allennlp predict`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from docs.acceleration import baseline, predict, train
from elmo_mf.acceleration import (
    EncoderSettings,
    StockSettings,
    accelerated,
    load_stock,
    open_archive,
    write_accelerated,
)
from elmo_mf.tasks._jsonnet import evaluate_jsonnet
from tests.acceleration.models import TAGGER, stock_config, trained
from tests.conftest import ROOT, random_bilm


@pytest.mark.parametrize("model", train.EXAMPLES)
def test_models_have_allennlps_elmo(model: str) -> None:
    config = evaluate_jsonnet(ROOT / "jsonnet" / "stock" / f"{model}.jsonnet", {"data": '"data"', "glove_file": '"g"'})
    embedders = config["model"]["text_field_embedder"]["token_embedders"]
    assert {name: one["type"] for name, one in embedders.items()} == {
        "elmo_mf": "elmo_token_embedder",
        "tokens": "embedding",
    }
    assert config["train_data_path"].startswith("data/")


def test_names_are_tagged(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text(" = Heading of it = \nThe king of New York met John Smith . Ann Lee did not go .\nToo short .\n")
    assert "".join(train.tagged_sentences(text)).splitlines() == [
        "the###O king###O of###O new###B-NAME york###I-NAME met###O john###B-NAME smith###I-NAME",
        "ann###B-NAME lee###I-NAME did###O not###O go###O .###O",
    ]


def test_the_most_frequent_tags() -> None:
    train = [[("new", "B-NAME"), ("york", "I-NAME"), ("is", "O")], [("new", "B-NAME"), ("new", "O")]]
    test = [[("new", "B-NAME"), ("york", "I-NAME")], [("is", "O"), ("ann", "B-NAME"), ("new", "O")]]
    assert baseline.baseline_f1(train, test) == pytest.approx(2 * 1 / (2 + 2))  # one of two found, one of two there


@pytest.mark.slow
def test_predictions_are_timed_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random_bilm(seed=5).save(tmp_path / "elmo")
    files = tmp_path / "elmo" / "options.json", tmp_path / "elmo" / "weights.hdf5"
    original, fast = trained(stock_config(TAGGER, files, tmp_path / "data"), tmp_path / "out"), tmp_path / "fast.tar.gz"
    data = tmp_path / "data" / "dev.tsv"
    with open_archive(original) as archive:
        settings = EncoderSettings()
        write_accelerated(fast, archive, accelerated(load_stock(archive, StockSettings()), settings), settings)
    monkeypatch.setattr(sys, "argv", ["predict", str(data), str(original), str(fast), "--examples", "5"])
    capsys.readouterr()
    predict.main()
    one, many = json.loads(capsys.readouterr().out)
    assert (one["batch"], many["batch"], one["examples"]) == (1, 32, 5)
    for archive in one["archives"] + many["archives"]:
        assert archive["equal_outputs"] == 5
        assert list(archive["seconds"]) == ["reading", "indexing", "ELMo", "task model", "output"]
    assert one["archives"][0]["ratio"] == 1
    assert not predict.same_output({"tags": ["B"]}, {"tags": ["O"]}) and not predict.same_output([0.1], [0.2])
