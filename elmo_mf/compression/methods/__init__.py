"""Factorization methods, one a file; `base` has the base class and the registry."""
