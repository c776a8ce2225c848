from ._explanation import answer_lines, cost_table, findings, norm_summary, write_explanation

__all__ = [
    "answer_lines",
    "cost_table",
    "findings",
    "norm_summary",
    "write_explanation",
]
