"""What AllenNLP sees by name: the token embedder `elmo_mf` and the tokenizer `spacy_rules`."""

from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder
from elmo_mf.plugin.tokenizer import SpacyRulesTokenizer

__all__ = ["ElmoMfTokenEmbedder", "SpacyRulesTokenizer"]
