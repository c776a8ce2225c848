from ._benchmark import elmo_of_size, run_bench
from ._cases import PARTS, Case, cases
from ._display import bench_table, plot_bench
from ._measure import interleaved
from ._sizes import published_options

__all__ = [
    "PARTS",
    "Case",
    "bench_table",
    "cases",
    "elmo_of_size",
    "interleaved",
    "plot_bench",
    "published_options",
    "run_bench",
]
