from ._export_kinds import check_kinds
from ._leaderboard import BoardTable, Leaderboard, read_leaderboard
from ._machines import SIGN, machine_kind
from ._margin import MARGIN
from ._recommend import recommended
from ._recommended import Recommendations, read_recommendations
from ._table import reference, table
from ._units import Unit
from ._write_reports import write_reports
from .aggregate import Board, boards
from .read_records import check_records, outputs_of, records_of
from .sweep_comparison import Comparison, compare, verdict

__all__ = [
    "MARGIN",
    "SIGN",
    "Board",
    "BoardTable",
    "Comparison",
    "Leaderboard",
    "Recommendations",
    "Unit",
    "boards",
    "check_kinds",
    "check_records",
    "compare",
    "machine_kind",
    "outputs_of",
    "read_leaderboard",
    "read_recommendations",
    "recommended",
    "records_of",
    "reference",
    "table",
    "verdict",
    "write_reports",
]
