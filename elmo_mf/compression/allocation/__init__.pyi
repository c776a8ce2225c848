from ._budget import parameters_within, with_absolute_budget
from ._ranks import Candidate, allocate_ranks
from ._sensitivity import MatrixFactorization, candidates_by_outputs

__all__ = [
    "Candidate",
    "MatrixFactorization",
    "allocate_ranks",
    "candidates_by_outputs",
    "parameters_within",
    "with_absolute_budget",
]
