"""Replacements for spaCy models that are not installed: spaCy itself contains their tokenizers."""

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
    """Wrap AllenNLP's `get_spacy_model`, so that it downloads missing models only for tags, parses or entities.

    A trained pipeline tokenizes only by the rules of its language, so a blank pipeline of the language gives the same
    tokens.

    Raises:
        ConfigurationError: Raised by the wrapped function if tags, parses or entities are requested and the model
            cannot be downloaded.
    """

    @functools.wraps(original)
    def get_spacy_model(spacy_model_name: str, pos_tags: bool = True, parse: bool = False, ner: bool = False) -> Any:
        if not (_installed(spacy_model_name) or pos_tags or parse or ner):
            return _rules(spacy_model_name)
        try:
            return original(spacy_model_name, pos_tags, parse, ner)
        except (Exception, SystemExit) as error:  # pip raises SystemExit
            if _installed(spacy_model_name):
                raise
            _log.debug("%s", error)
            raise _missing(spacy_model_name, "a model that is installed: python -m spacy download MODEL") from None

    return get_spacy_model


def tag_where_asked(tokenizer: Any) -> None:
    """Patch AllenNLP's `SpacyTokenizer`, so that it requests tags by default only if the model is installed.

    Tags that a config or a predictor requests explicitly are always requested. Untagged tokens have None as their tags,
    which indexers of tags reject.
    """
    create, sanitize = tokenizer.__init__, tokenizer._sanitize
    signature = inspect.signature(create)

    @functools.wraps(create)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        language = bound.arguments["language"]
        others = any(bound.arguments[name] for name in ("parse", "ner", "keep_spacy_tokens"))
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
