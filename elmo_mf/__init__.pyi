from .acceleration import accelerate, accelerate_archive
from .bench import benchmark
from .bilm import Bilm
from .compression import compress_checkpoint
from .leaderboard import read_leaderboard
from .pretrain import perplexity
from .records.compression import Compression
from .tasks import sweep

__version__: str

__all__ = [
    "Bilm",
    "Compression",
    "accelerate",
    "accelerate_archive",
    "benchmark",
    "compress_checkpoint",
    "perplexity",
    "read_leaderboard",
    "sweep",
]
