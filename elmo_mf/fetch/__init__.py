"""Download published weights and data: a catalogue of URLs, resumable and verified downloads, and archives."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
