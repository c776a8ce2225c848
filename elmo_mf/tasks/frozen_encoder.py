"""What records say of an encoder whose vectors are used as they are, without a task's model around it."""

from __future__ import annotations

from typing import Any

import numpy as np

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.compression import size_report
from elmo_mf.compression.activation_error import activation_error
from elmo_mf.experiments.workspace import Workspace
from elmo_mf.records.run import Run
from elmo_mf.tasks.encoders import Encoder, elmo_facts
from elmo_mf.tasks.latency import measure_encoder
from elmo_mf.tasks.spec import SweepSpec

_SENTENCES = 300  # on which activation errors are measured


def frozen_encoder_fields(
    spec: SweepSpec, run: Run, encoder: Encoder | None, scored: list[list[str]], workspace: Workspace
) -> dict[str, Any]:
    """Return the record fields that describe an encoder.

    Args:
        spec: The sweep.
        run: The run.
        encoder: The encoder; None for a baseline without one.
        scored: The sentences that are scored.
        workspace: Workspace of the run.
    """
    nothing: dict[str, Any] = {"activation_error": None, "matrices": [], "factorization_seconds": None}
    if encoder is None:
        return nothing | {"size": None, "latency": None, "elmo": None}
    bilm = encoder.load()
    error = None
    if not run.identity.is_dense and run.identity.baseline is None:
        with workspace.phase("errors"):
            dense = Bilm.from_files(spec.options, spec.weights)
            chosen = np.linspace(0, len(scored) - 1, min(_SENTENCES, len(scored))).astype(int)
            error = activation_error(dense, bilm, [scored[index] for index in chosen]).to_dict()
    return nothing | {
        "activation_error": error,
        "matrices": encoder.report.get("matrices", []),
        **({"highways": encoder.report["highways"]} if encoder.report.get("highways") else {}),
        "factorization_seconds": encoder.report.get("seconds"),
        "size": size_report(bilm.weights(), bilm.options).to_dict(),
        "latency": frozen_encoder_times(spec, run, encoder, scored, workspace),
        "elmo": elmo_facts(spec),
    }


def frozen_encoder_times(
    spec: SweepSpec, run: Run, encoder: Encoder, scored: list[list[str]], workspace: Workspace
) -> dict[str, Any]:
    """Measure an encoder's times while no other run of the sweep computes.

    Args:
        spec: The sweep.
        run: The run.
        encoder: The encoder.
        scored: The sentences that are scored.
        workspace: Workspace of the run.

    Returns:
        Times in milliseconds, see `measure_encoder`.
    """
    bilm = encoder.load()
    dense = None if run.identity.is_dense else Bilm.from_files(spec.options, spec.weights)
    with workspace.phase("measuring"), workspace.machine.exclusive():
        files = spec.options, spec.weights
        return {"encoder": measure_encoder(scored, bilm, dense, files, spec.latency_sentences, spec.latency_rounds)}
