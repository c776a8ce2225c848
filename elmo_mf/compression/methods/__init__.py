"""Factorization methods, one a file."""
