"""The margin of verdicts, which the command line names without loading what computes them."""

MARGIN = 1.0
"""Largest loss treated as negligible: in points, or for perplexity in its own unit."""
