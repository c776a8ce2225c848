"""Labels: short texts that describe an encoder to people. Labels are displayed, never compared."""

from __future__ import annotations

from elmo_mf.records.compression import ALL_TARGETS, Compression, FineTuning


def compression_label(compression: Compression) -> str:
    """Describe a compression in a few words.

    Examples:
        >>> from elmo_mf.records.compression import Compression
        >>> compression_label(Compression(method="svd", rank=8, targets="all", layers=[0]))
        'svd all layers 0 rank 8'
    """
    parts = _lstm_parts(compression) if compression.targets else []
    if compression.highway_rank is not None:
        parts.append("with highways" if compression.shares_budget else f"highways {compression.highway_rank}")
    if compression.distill is not None:
        parts.append(f"distilled {compression.distill.steps}")
    if compression.finetune is not None:
        parts.append(fine_tuning_label(compression.finetune))
    return " ".join(parts)


def fine_tuning_label(tuning: FineTuning) -> str:
    """Describe fine-tuning by its epochs, and by its learning rate unless that is the default."""
    default = FineTuning.model_fields["learning_rate"].default
    rate = "" if tuning.learning_rate == default else f" at {tuning.learning_rate:g}"
    return f"fine-tuned {tuning.epochs}{rate}"


def targets_label(compression: Compression) -> str:
    """Describe the targets: `all`, `none`, or their names."""
    return "all" if compression.targets == ALL_TARGETS else "+".join(compression.targets) or "none"


def size_label(compression: Compression) -> str:
    """Describe the rank or the budget."""
    budget = compression.budget
    if budget is not None:
        size = f"budget {100 * budget.amount:g}%" if budget.kind == "share" else f"budget {budget.amount} {budget.kind}"
        return size if compression.allocation == "outputs" else f"{size} by {compression.allocation}"
    ranks = compression.rank
    return f"rank {'+'.join(str(ranks[t]) for t in compression.targets) if isinstance(ranks, dict) else ranks}"


def _lstm_parts(compression: Compression) -> list[str]:
    settings = ",".join(f"{key}={value}" for key, value in sorted(compression.settings.items()))
    parts = [compression.method + (f"({settings})" if settings else ""), targets_label(compression)]
    if compression.layers != "all":
        parts.append("layers " + "+".join(map(str, compression.layers)))
    if compression.directions != "all":
        parts.append("+".join(compression.directions))
    if compression.granularity == "gate":
        parts.append("by gate")
    return [*parts, size_label(compression)]
