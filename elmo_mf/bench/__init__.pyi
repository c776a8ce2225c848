from ._benchmark import BenchResult, elmo_of_size, run_bench
from ._cases import PARTS, Case, cases
from ._display import bench_table, plot_bench
from ._measure import Timing, interleaved
from ._sizes import published_options
from ._timed_elmo import benchmark

__all__ = [
    "PARTS",
    "BenchResult",
    "Case",
    "Timing",
    "bench_table",
    "benchmark",
    "cases",
    "elmo_of_size",
    "interleaved",
    "plot_bench",
    "published_options",
    "run_bench",
]
