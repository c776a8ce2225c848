"""The encoder: options, HDF5 checkpoint, character CNN, projected LSTM, and the biLM made of them.

Nothing here imports AllenNLP.
"""

from elmo_mf.bilm.bilm import Activations, Bilm, StatePolicy
from elmo_mf.bilm.checkpoint import read_weights, write_weights
from elmo_mf.bilm.options import BilmOptions, CharCnnOptions, LstmOptions
from elmo_mf.bilm.weights import DIRECTIONS, TARGETS, BilmWeights, Factors, LstmWeights, Matrix, Pruned, Target

__all__ = [
    "DIRECTIONS",
    "TARGETS",
    "Activations",
    "Bilm",
    "BilmOptions",
    "BilmWeights",
    "CharCnnOptions",
    "Factors",
    "LstmOptions",
    "LstmWeights",
    "Matrix",
    "Pruned",
    "StatePolicy",
    "Target",
    "read_weights",
    "write_weights",
]
