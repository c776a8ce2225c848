"""Recovery after factorization: training that makes up for part of the error."""
