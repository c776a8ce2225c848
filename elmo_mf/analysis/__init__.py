"""Correlations and the explanation, from records."""
