"""Training after factorization."""
