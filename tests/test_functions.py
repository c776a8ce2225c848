"""The functions of the package: what they import, their errors, and how their results are shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import elmo_mf
from elmo_mf import accelerate_archive, benchmark, compress_checkpoint, perplexity, read_leaderboard, sweep
from elmo_mf.acceleration import SearchSettings
from elmo_mf.errors import InputError
from elmo_mf.tabular import Tabular
from elmo_mf.tasks import SweepSpec
from elmo_mf.tasks._sweep import SweepKeys


def test_the_package_imports_little() -> None:
    code = "import sys, elmo_mf; print(*{'torch', 'pandas', 'numpy', 'allennlp', 'lazy_loader'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_names_are_listed() -> None:
    assert {"Bilm", "sweep", "__version__"} <= set(dir(elmo_mf))
    with pytest.raises(AttributeError, match="no attribute 'sweeep'"):
        _ = elmo_mf.sweeep  # type: ignore[attr-defined]


def test_without_allennlp() -> None:
    code = "import sys; sys.modules['allennlp'] = None; from elmo_mf import accelerate"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    expected = (
        "InputError: the Python module allennlp is not installed; install AllenNLP 2.10.1 with `elmo-mf setup-allennlp`"
    )
    assert done.stderr.splitlines()[-1].endswith(expected)


def test_keys_of_sweeps_are_typed() -> None:
    assert set(SweepKeys.__annotations__) == set(SweepSpec.model_fields)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accelerate_archive("gone.tar.gz", "x"), "gone.tar.gz: no such model archive"),
        (lambda: accelerate_archive("gone.tar.gz", "x", stock=True), "stock: found no compression, expected one"),
        (lambda: accelerate_archive("x", "y", search=SearchSettings("gone")), "data: found gone"),
        (
            lambda: accelerate_archive("x", "y", search=SearchSettings(__file__, calibration="gone")),
            "calibration: found gone",
        ),
        (
            lambda: accelerate_archive("x", "y", search=SearchSettings(__file__, calibration=Path(__file__).parent)),
            "calibration: found the folder",
        ),
        (lambda: accelerate_archive("x", "y", search=SearchSettings(__file__, batch=2)), "batch: found 2"),
        (lambda: compress_checkpoint("weights/demo", out="x"), "compression: missing, expected one, or the dtype"),
        (lambda: compress_checkpoint("weights/demo", out="x", dtype="int7"), "dtype: found int7"),
        (lambda: compress_checkpoint("gone", out="x", dtype="int8"), "gone: no such file"),
        (lambda: perplexity("gone.txt"), "gone.txt: no such text"),
        (lambda: perplexity([], weights="w.hdf5"), "options: missing, expected the options.json of the weights w.hdf5"),
        (lambda: perplexity([], device="tpu"), "device: found tpu"),
        (lambda: benchmark(size="huge"), "size: found 'huge'"),
        (lambda: benchmark(batches=[0]), "batches: found"),
        (lambda: benchmark(weights="w.hdf5"), "options: missing, expected the options.json of the weights w.hdf5"),
        (lambda: read_leaderboard("gone"), "gone/records: found no records"),
        (lambda: read_leaderboard("gone", float("nan")), "margin: found nan"),
        (lambda: sweep("gone.jsonnet"), "gone.jsonnet: "),
        (lambda: sweep(output=__file__), "output: found the file"),
        (lambda: sweep(tasks=["ssst"]), "tasks: found 'ssst'"),
        (lambda: sweep(tasks="sst", ranks=[0]), "compression.rank: found 0"),
    ],
)
def test_errors(call: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


class _Table(Tabular):
    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame({"name": [f"<b>{number}" for number in range(50)], "share": 1 / 3})

    def notes(self) -> list[str]:
        return ["<i>note"]


def test_tables_are_shown_shortened_and_escaped() -> None:
    text, page = repr(_Table()), _Table()._repr_html_()
    for shown in (text, page):
        assert "0.3333" in shown and "0.33333" not in shown and "and 10 more" in shown
    assert "&lt;b&gt;39" in page and "&lt;b&gt;40" not in page and "&lt;i&gt;note" in page
    assert "<b>" not in page and text.endswith("<i>note")
