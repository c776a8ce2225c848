from ._corpus import Batch, Corpus
from ._evaluate import VOCABULARY_FILE, evaluate_each
from ._model import LanguageModel
from ._progress import StepMetrics
from ._train import Trainer
from .settings import PretrainSettings
from .start import Start
from .word_softmax import SOFTMAX_FILE, read_softmax, softmax_of, write_softmax

__all__ = [
    "SOFTMAX_FILE",
    "VOCABULARY_FILE",
    "Batch",
    "Corpus",
    "LanguageModel",
    "PretrainSettings",
    "Start",
    "StepMetrics",
    "Trainer",
    "evaluate_each",
    "read_softmax",
    "softmax_of",
    "write_softmax",
]
