"""Classes registered with AllenNLP: for ELMo in task models, for these models and their data, and a language model."""

from elmo_mf.plugin.awd_lstm import AwdLstm
from elmo_mf.plugin.characters_indexer import ElmoMfCharactersIndexer
from elmo_mf.plugin.language_text import LanguageTextReader, TextStreams
from elmo_mf.plugin.nt_asgd import NtAsgd, TriggeredAverage
from elmo_mf.plugin.padded_lstm import PaddedLstm
from elmo_mf.plugin.sst_phrases import SstPhrasesReader
from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder
from elmo_mf.plugin.tokenizer import SpacyRulesTokenizer
from elmo_mf.plugin.unicode_indexer import ElmoMfUnicodeIndexer
from elmo_mf.plugin.words_indexer import ElmoMfWordsIndexer

__all__ = [
    "AwdLstm",
    "ElmoMfCharactersIndexer",
    "ElmoMfTokenEmbedder",
    "ElmoMfUnicodeIndexer",
    "ElmoMfWordsIndexer",
    "LanguageTextReader",
    "NtAsgd",
    "PaddedLstm",
    "SpacyRulesTokenizer",
    "SstPhrasesReader",
    "TextStreams",
    "TriggeredAverage",
]
