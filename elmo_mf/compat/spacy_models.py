"""spaCy's models where they are not installed: their tokenizers come with spaCy, and nothing else of them does."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
from spacy.util import is_package

_log = logging.getLogger(__name__)
_ANNOTATIONS = ("lemma_", "pos_", "tag_", "dep_", "ent_type_")


def model_getter(original: Callable[..., Any]) -> Callable[..., Any]:
    """AllenNLP's `get_spacy_model`, which downloads what is missing only where it is needed.

    A trained pipeline tokenizes by the rules of its language alone, so that for tokens the language without a pipeline
    gives the same.

    Raises:
        ConfigurationError: tags, parses or entities are asked for, and the model cannot be downloaded.
    """

    @functools.wraps(original)
    def get_spacy_model(spacy_model_name: str, pos_tags: bool = True, parse: bool = False, ner: bool = False) -> Any:
        if not (_installed(spacy_model_name) or pos_tags or parse or ner):
            return _rules(spacy_model_name)
        try:
            return original(spacy_model_name, pos_tags, parse, ner)
        except (Exception, SystemExit) as error:  # the latter of pip
            if _installed(spacy_model_name):
                raise
            _log.debug("%s", error)
            raise _missing(spacy_model_name, "a model that is installed: python -m spacy download MODEL") from None

    return get_spacy_model


def tag_where_asked(tokenizer: Any) -> None:
    """Have AllenNLP's `SpacyTokenizer` ask for tags where a config or a predictor does; by default only if it can.

    Tokens that were not tagged have None in place of tags, which indexers of tags refuse.
    """
    create, sanitize = tokenizer.__init__, tokenizer._sanitize
    signature = inspect.signature(create)

    @functools.wraps(create)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        language = given.arguments["language"]
        others = any(given.arguments[name] for name in ("parse", "ner", "keep_spacy_tokens"))
        by_default = "pos_tags" not in signature.bind(self, *args, **kwargs).arguments
        self._untagged = by_default and not others and not _installed(language)
        create(self, *args, **kwargs, **({"pos_tags": False} if self._untagged else {}))

    @functools.wraps(sanitize)
    def _sanitize(self: Any, tokens: Any) -> Any:
        tokens = sanitize(self, tokens)
        if self._untagged:
            for token in tokens:
                for name in _ANNOTATIONS:
                    setattr(token, name, None)
        return tokens

    tokenizer.__init__, tokenizer._sanitize = __init__, _sanitize


def _installed(name: str) -> bool:
    return is_package(name) or Path(name).exists()


def _rules(name: str) -> Any:
    try:
        model = spacy.blank(name.partition("_")[0])
    except ImportError:
        raise _missing(name, "the name of a model that begins with its language") from None
    _log.info("the spaCy model %s is not installed: the rules of its tokenizer are used, without tags", name)
    return model


def _missing(name: str, expected: str) -> Exception:
    from allennlp.common.checks import ConfigurationError

    error: Exception = ConfigurationError(f"spaCy model: found {name}, which is not installed, expected {expected}")
    return error
