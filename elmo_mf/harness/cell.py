"""One cell: train with AllenNLP in process, evaluate, time, and say what made the result."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from elmo_mf.bilm.bilm import Bilm
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.factorize import size_report
from elmo_mf.factorize.activations import activation_error
from elmo_mf.harness import latency
from elmo_mf.harness.encoders import encoder_of
from elmo_mf.harness.formats import majority_accuracy, random_span_f1
from elmo_mf.harness.grid import Cell, SweepSpec, cell_config
from elmo_mf.harness.task import Split, Task
from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder
from elmo_mf.provenance import provenance

_TEXTS = 300


def run_cell(spec: SweepSpec, cell: Cell, output: Path) -> dict[str, Any]:
    """Run a cell and return its record; `output/data` keeps the data files as cut to the sweep's limits.

    AllenNLP's log of a cell that fails stays in `output/failed/<cell>/`.
    """
    started = time.perf_counter()
    with trained(spec, cell, output) as (loop, embedder, training, data, report):
        scores, instances = _score(loop, cell.task.scored)
        dense = Bilm.from_files(spec.options, spec.weights) if cell.compression else None
        times = latency.measure(loop.model, instances, dense, spec.latency_sentences, spec.latency_rounds)
        own = embedder.bilm
        error = None if dense is None else activation_error(dense, own, _sentences(instances))
    return {
        "cell": cell.identity,
        "scores": {name: scores[name] for name in cell.task.metrics},
        "validation": {name: training[f"best_validation_{name}"] for name in cell.task.metrics},
        "best_epoch": training["best_epoch"] + 1,
        "epochs": training["epoch"] + 1,
        **_data_facts(cell.task, data),
        "size": size_report(own.weights(), own.options).to_dict(),
        "activation_error": error,
        "matrices": report.get("matrices", []),
        "factorization_seconds": report.get("seconds"),
        "latency": times,
        "elmo": _elmo_facts(spec),
        "data": "demo" if spec.data is None else Path(spec.data).name,
        "seconds": round(time.perf_counter() - started, 1),
        **provenance(),
    }


class Trained(NamedTuple):
    """AllenNLP's training loop, done, with the best weights; its `elmo_mf` embedder; its training metrics; the folder
    of the data; the report of the encoder, empty if it is dense."""

    loop: Any
    embedder: ElmoMfTokenEmbedder
    metrics: dict[str, Any]
    data: Path
    report: dict[str, Any]


@contextlib.contextmanager
def trained(spec: SweepSpec, cell: Cell, output: Path) -> Iterator[Trained]:
    """Train a cell. While the context lasts, logs go to the cell's own file."""
    data = _limited_data(spec, cell, output)
    with _work_folder(output, cell) as work, _logging_to(work / "out.log"):
        encoder = encoder_of(spec, cell, output)
        files = encoder.options, encoder.weights
        config = cell_config(spec, cell.task, None, cell.seed, str(data), files, spec.cache_mb)
        loop, training = _train(config, work)
        yield Trained(loop, latency.embedder_of(loop.model), training, data, encoder.report)


def _elmo_facts(spec: SweepSpec) -> dict[str, Any]:
    lstm = BilmOptions.from_file(spec.options).lstm
    name = Path(spec.weights).parent.name + "/" + Path(spec.weights).name
    return {"name": name, "layers": lstm.n_layers, "cell": lstm.dim, "projection": lstm.projection_dim}


def _limited_data(spec: SweepSpec, cell: Cell, output: Path) -> Path:
    """The data folder of a cell: the given one, or one with its files cut to size."""
    source, task = spec.data_of(cell.task), cell.task
    limits = {split: spec.limit_of(task.name, split) for split in task.files}
    if not any(limits.values()):
        return source
    numbers = "-".join(str(limits[split] or "all") for split in task.files)
    folder = output / "data" / f"{task.name}-{numbers}"
    for split, name in task.files.items():
        count = limits[split] or len(task.format.read(source / name))
        task.format.cut(source / name, folder / name, count)
    return folder


@contextlib.contextmanager
def _work_folder(output: Path, cell: Cell) -> Iterator[Path]:
    """AllenNLP's serialization folder: gone when the cell is done, kept when it fails."""
    output.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{cell.name}-", dir=output))
    try:
        yield work
    except Exception:
        failed = output / "failed" / cell.name
        shutil.rmtree(failed, ignore_errors=True)
        failed.parent.mkdir(exist_ok=True)
        work.rename(failed)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """AllenNLP logs to the cell's file; the console is the sweep's."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception:
            logging.exception("the cell failed")
            raise
        finally:
            root.handlers = handlers
            root.setLevel(level)
            handler.close()


def _train(config: dict[str, Any], work: Path) -> tuple[Any, dict[str, Any]]:
    """AllenNLP's training loop with the best weights loaded, and its metrics."""
    from allennlp.commands.train import TrainModel
    from allennlp.common import Params
    from allennlp.common.plugins import import_plugins
    from allennlp.common.util import import_module_and_submodules, prepare_environment

    import_plugins()
    import_module_and_submodules("elmo_mf.plugin")
    params = Params(config)
    prepare_environment(params)
    loop = TrainModel.from_params(params=params, serialization_dir=str(work), local_rank=0)
    return loop, loop.run()


def _score(loop: Any, split: Split) -> tuple[dict[str, float], list[Any]]:
    """Metrics of the best weights on the scored split, and its instances."""
    from allennlp.training.util import evaluate

    loader = loop.evaluation_data_loader if split == "test" else loop.trainer._validation_data_loader
    scores = evaluate(loop.model, loader, cuda_device=loop.trainer.cuda_device)
    return scores, list(loader.iter_instances())


def _sentences(instances: list[Any]) -> list[list[str]]:
    """The texts of the first instances, tokenised; at most 300."""
    fields = [field for instance in instances[:_TEXTS] for field in instance.fields.values()]
    texts = [[token.text for token in field.tokens] for field in fields if getattr(field, "tokens", None)]
    return texts[:_TEXTS]


def _data_facts(task: Task, data: Path) -> dict[str, Any]:
    """How many examples each split has, and what chance scores."""
    examples = {split: task.format.read(data / name) for split, name in task.files.items()}
    baseline = majority_accuracy if task.chance == "majority" else random_span_f1
    return {
        "examples": {split: len(read) for split, read in examples.items()},
        "chance": baseline(examples["train"], examples[task.scored]),
    }
