from ._example_scores import Evaluation, Goal, evaluate
from ._figure import plot_search
from ._load import LoadedModel, load_stock, read_instances
from ._stock import StockSettings
from ._write_archive import accelerated, encoder_bytes, encoder_parameters, write_accelerated, write_stock
from .accelerate_archive import AcceleratedArchive, TestScores, accelerate_archive
from .archive import ModelArchive, check_archive, files_of_archive, open_archive
from .form_search import Candidate, Row, SearchResult, candidates, fastest, given_forms, in_sequence, search
from .model_comparison import Comparison, Loss
from .replace_encoder import EncoderSettings, accelerate
from .search_settings import SearchSettings, search_folder
from .speed import Speed, peak_memory, speeds, vector_difference

__all__ = [
    "AcceleratedArchive",
    "Candidate",
    "Comparison",
    "EncoderSettings",
    "Evaluation",
    "Goal",
    "LoadedModel",
    "Loss",
    "ModelArchive",
    "Row",
    "SearchResult",
    "SearchSettings",
    "Speed",
    "StockSettings",
    "TestScores",
    "accelerate",
    "accelerate_archive",
    "accelerated",
    "candidates",
    "check_archive",
    "encoder_bytes",
    "encoder_parameters",
    "evaluate",
    "fastest",
    "files_of_archive",
    "given_forms",
    "in_sequence",
    "load_stock",
    "open_archive",
    "peak_memory",
    "plot_search",
    "read_instances",
    "search",
    "search_folder",
    "speeds",
    "vector_difference",
    "write_accelerated",
    "write_stock",
]
