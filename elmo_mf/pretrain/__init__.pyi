from ._corpus import Batch, Corpus
from ._evaluate import Evaluation
from ._model import LanguageModel
from ._perplexity import Perplexities, perplexity
from ._softmax_words import VOCABULARY_FILE, softmax_words
from ._train import Trainer
from ._training_log import StepMetrics
from .settings import PretrainSettings
from .start import Start
from .word_softmax import SOFTMAX_FILE, read_softmax, softmax_of, write_softmax

__all__ = [
    "SOFTMAX_FILE",
    "VOCABULARY_FILE",
    "Batch",
    "Corpus",
    "Evaluation",
    "LanguageModel",
    "Perplexities",
    "PretrainSettings",
    "Start",
    "StepMetrics",
    "Trainer",
    "perplexity",
    "read_softmax",
    "softmax_of",
    "softmax_words",
    "write_softmax",
]
