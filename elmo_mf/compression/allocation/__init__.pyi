from ._budget import BudgetRoom, check_budget, ranks_within, with_absolute_budget
from ._ranks import Candidate, allocate_ranks
from ._sensitivity import MatrixFactorization, candidates_by_outputs

__all__ = [
    "BudgetRoom",
    "Candidate",
    "MatrixFactorization",
    "allocate_ranks",
    "candidates_by_outputs",
    "check_budget",
    "ranks_within",
    "with_absolute_budget",
]
