"""elmo-mf: low-rank factorization of ELMo's biLSTM, and the harness that evaluates it."""

from elmo_mf.compat import install

__version__ = "0.2.0"

install()

# without lazy_loader, whose import takes time: every Python start of the environment imports this file
_MODULES = {
    "Bilm": "elmo_mf.bilm",
    "Compression": "elmo_mf.records.compression",
    "accelerate": "elmo_mf.acceleration",
    "accelerate_archive": "elmo_mf.acceleration",
    "benchmark": "elmo_mf.bench",
    "compress_checkpoint": "elmo_mf.compression",
    "perplexity": "elmo_mf.pretrain",
    "read_leaderboard": "elmo_mf.leaderboard",
    "sweep": "elmo_mf.tasks",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> object:
    """Import the public names on first use.

    Raises:
        InputError: AllenNLP is missing, and the name needs it.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        from elmo_mf.errors import INSTALLATION, not_installed

        module = (error.name or "").partition(".")[0]
        if module not in INSTALLATION:
            raise
        raise not_installed(module) from None


def __dir__() -> list[str]:
    return [*globals(), *__all__]
