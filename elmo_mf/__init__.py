"""elmo-mf: low-rank factorization of ELMo's biLSTM, and the harness that evaluates it."""

from elmo_mf.compat import install

__version__ = "0.2.0"

install()

TYPE_CHECKING = False  # not typing's: every Python start of the environment imports this file
if TYPE_CHECKING:
    from elmo_mf.acceleration import accelerate
    from elmo_mf.bilm import Bilm
    from elmo_mf.records.compression import Compression

__all__ = ["Bilm", "Compression", "__version__", "accelerate"]


def __getattr__(name: str) -> object:
    """Import the public names on first use."""
    if name == "Bilm":
        from elmo_mf.bilm import Bilm

        return Bilm
    if name == "Compression":
        from elmo_mf.records.compression import Compression

        return Compression
    if name == "accelerate":
        from elmo_mf.acceleration import accelerate

        return accelerate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
