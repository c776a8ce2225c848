"""Pretraining of small biLMs from plain text, exported in the official layout."""
