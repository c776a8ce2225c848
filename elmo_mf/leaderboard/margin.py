"""The margin of verdicts, which the command line names without loading what computes them."""

MARGIN = 1.0
"""Largest loss that is taken for none: in points, or for perplexity in its own unit."""
