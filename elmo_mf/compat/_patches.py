"""Patches for modules of AllenNLP that fail to import or run, one context manager each.

A module is executed inside its context manager.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType
from typing import Any

from elmo_mf.compat._home import ensure_home


class _Absent(ModuleType):
    """A placeholder for a package that is not needed; calling it raises an `ImportError` that names the package."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{self.__name__}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise ImportError(f"{self.__name__} is not available here: elmo-mf runs AllenNLP without it")


class _AbsentRouge(_Absent):
    """A placeholder for py-rouge; the module that uses it builds an evaluator during its import."""

    def Rouge(self, **_: Any) -> _Absent:
        return _Absent("rouge.Rouge")


@contextmanager
def _stand_in(name: str, kind: type[_Absent] = _Absent, submodules: Sequence[str] = ()) -> Iterator[None]:
    """Make `import name` find a placeholder if the real package cannot be imported."""
    try:
        importlib.import_module(name)
    except Exception:
        names = [name, *(f"{name}.{submodule}" for submodule in submodules)]
        sys.modules.update({full: kind(full) for full in names})
        try:
            yield
        finally:
            for full in names:
                del sys.modules[full]
    else:
        yield


def _torchvision() -> AbstractContextManager[None]:
    return _stand_in("torchvision", submodules=("ops", "ops.boxes"))


@contextmanager
def _narrativeqa() -> Iterator[None]:
    """py-rouge imports pkg_resources, which setuptools removed; nltk.download accesses the network at every start."""
    import nltk

    with _swapped(nltk, "download", lambda *args, **kwargs: False), _stand_in("rouge", _AbsentRouge):
        yield


@contextmanager
def _transformers_adamw() -> Iterator[None]:
    """Set AdamW, which transformers removed, on the class of the lazy module, because the module is re-created."""
    import transformers

    if not hasattr(transformers, "AdamW"):
        from elmo_mf.compat._adamw import AdamW

        type(transformers).AdamW = AdamW
    yield


@contextmanager
def _transformers_tokenizers() -> Iterator[None]:
    """Restore tokenizer methods that AllenNLP calls and transformers 5 renamed or removed."""
    yield
    from elmo_mf.compat._transformers_tokenizers import tokenizer_getter

    module = sys.modules["allennlp.common.cached_transformers"]
    vars(module)["get_tokenizer"] = tokenizer_getter(module.get_tokenizer)


@contextmanager
def _augmented_lstm() -> Iterator[None]:
    """As an encoder, `AugmentedLstm` needs the attributes `input_size` and `hidden_size`."""
    yield
    lstm = sys.modules["allennlp.modules.augmented_lstm"].AugmentedLstm
    lstm.input_size, lstm.hidden_size = property(lambda self: self.embed_dim), property(lambda self: self.lstm_dim)


@contextmanager
def _trees() -> Iterator[None]:
    """The reader of nltk only opens files in its own data folders."""
    yield
    from elmo_mf.compat._trees import TreeFiles

    reader = sys.modules["allennlp_models.structured_prediction.dataset_readers.penn_tree_bank"]
    vars(reader)["BracketParseCorpusReader"] = TreeFiles


@contextmanager
def _huggingface_hub() -> Iterator[None]:
    """huggingface_hub 1.0 removed names that `allennlp push-to-hf` imports; that command does not work."""
    import huggingface_hub

    missing = [name for name in ("HfFolder", "Repository") if not hasattr(huggingface_hub, name)]
    for name in missing:
        setattr(huggingface_hub, name, _Absent(f"huggingface_hub.{name}"))
    try:
        yield
    finally:
        for name in missing:
            delattr(huggingface_hub, name)


@contextmanager
def _spacy_models() -> Iterator[None]:
    """AllenNLP downloads a missing spaCy model even if only its tokenizer is used."""
    yield
    from elmo_mf.compat._spacy_models import model_getter

    util = sys.modules["allennlp.common.util"]
    vars(util)["get_spacy_model"] = model_getter(util.get_spacy_model)


@contextmanager
def _spacy_tokenizer() -> Iterator[None]:
    """AllenNLP's spaCy tokenizer requests tags by default."""
    yield
    from elmo_mf.compat._spacy_models import tag_where_asked

    tag_where_asked(sys.modules["allennlp.data.tokenizers.spacy_tokenizer"].SpacyTokenizer)


@contextmanager
def _swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of `owner` during the context."""
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


@contextmanager
def _reduce_on_plateau() -> Iterator[None]:
    """PyTorch's ReduceLROnPlateau no longer has the argument `verbose`, which AllenNLP always passes."""
    yield
    import functools
    import inspect

    import torch

    schedulers = torch.optim.lr_scheduler
    plateau = schedulers.ReduceLROnPlateau
    if "verbose" in inspect.signature(plateau).parameters:
        return
    wrapper = sys.modules["allennlp.training.learning_rate_schedulers.pytorch_lr_schedulers"]
    scheduler = wrapper.ReduceOnPlateauLearningRateScheduler
    original = scheduler.__init__

    @functools.wraps(original)
    def without_verbose(self: Any, *args: Any, **kwargs: Any) -> None:
        with _swapped(schedulers, "ReduceLROnPlateau", lambda *a, verbose=None, **k: plateau(*a, **k)):
            original(self, *args, **kwargs)

    scheduler.__init__ = without_verbose


@contextmanager
def _recover() -> Iterator[None]:
    """Some schedulers keep NumPy scalars in the training state, which `torch.load` rejects by default."""
    yield
    import numpy as np
    import torch

    types = [type(np.dtype(name)) for name in ("float64", "float32", "int64")]
    scalar: Any = np.float64(0).__reduce__()[0]
    torch.serialization.add_safe_globals([np.dtype, scalar, *types])


@contextmanager
def _archives() -> Iterator[None]:
    """Extract untrusted model archives only inside their folder, as Python 3.14 does by default."""
    yield
    import tarfile

    if not hasattr(tarfile, "data_filter"):  # before Python 3.11.4
        from elmo_mf.compat import _tar as tar

        vars(sys.modules["allennlp.models.archival"])["tarfile"] = tar
    elif tarfile.TarFile.extraction_filter is None:
        tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)


@contextmanager
def _home() -> Iterator[None]:
    """AllenNLP needs a writable home folder, even to read local files."""
    ensure_home()
    yield


@contextmanager
def _model() -> Iterator[None]:
    """Record the weight file of a model that is being loaded, for the constructors of its modules."""
    yield
    import functools
    import os

    from elmo_mf.compat.loading import loading

    module = sys.modules["allennlp.models.model"]
    original = module.Model.load.__func__

    @functools.wraps(original)
    def load(cls: Any, config: Any, serialization_dir: Any, weights_file: Any = None, cuda_device: int = -1) -> Any:
        with loading(weights_file or os.path.join(serialization_dir, module._DEFAULT_WEIGHTS)):  # noqa: PTH118
            return original(cls, config, serialization_dir, weights_file, cuda_device)

    module.Model.load = classmethod(load)


@contextmanager
def _bfloat16() -> Iterator[None]:
    """`tiny_value_of_dtype` does not support bfloat16, which mixed precision uses on a CPU."""
    yield
    import functools

    import torch

    module = sys.modules["allennlp.nn.util"]
    original = module.tiny_value_of_dtype

    @functools.wraps(original)
    def tiny_value_of_dtype(dtype: Any) -> Any:
        return original(torch.float32 if dtype == torch.bfloat16 else dtype)  # both have the same exponents

    vars(module)["tiny_value_of_dtype"] = tiny_value_of_dtype


@contextmanager
def _fairscale() -> Iterator[None]:
    """Suppress two warnings of fairscale's import about functions that PyTorch will rename."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.cuda.amp", FutureWarning)
        yield


@contextmanager
def _trainer() -> Iterator[None]:
    """Suppress the same warning of AllenNLP's trainer, and clip sparse gradients, which PyTorch does not support."""
    warnings.filterwarnings("ignore", "`torch.cuda.amp", FutureWarning, r"allennlp\.training")
    yield
    import functools

    from torch.nn import utils

    from elmo_mf.compat._sparse_gradients import clip_grad_norm_, clip_grad_value_

    module = sys.modules["allennlp.training.gradient_descent_trainer"]
    vars(module)["clip_grad_norm_"] = clip_grad_norm_
    original = module.GradientDescentTrainer.clip_gradient

    @functools.wraps(original)
    def clip_gradient(self: Any) -> None:
        with _swapped(utils, "clip_grad_value_", clip_grad_value_):
            original(self)

    module.GradientDescentTrainer.clip_gradient = clip_gradient


@contextmanager
def _plugins() -> Iterator[None]:
    """Import all modules of AllenNLP's own packages once: they stay, and another walk takes half a second."""
    yield
    module = vars(sys.modules["allennlp.common.plugins"])
    original, imported = module["import_module_and_submodules"], set[str]()

    def import_once(package_name: str, exclude: set[str] | None = None) -> None:
        if package_name not in imported:
            original(package_name, exclude)
            imported.add(package_name)

    module["import_module_and_submodules"] = import_once


@contextmanager
def _training_util() -> Iterator[None]:
    """Clip sparse gradients in training loops without AllenNLP's trainer."""
    yield
    from elmo_mf.compat._sparse_gradients import clip_grad_norm_

    vars(sys.modules["allennlp.training.util"])["clip_grad_norm_"] = clip_grad_norm_


PATCHES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "allennlp": _home,
    "allennlp.common.cached_transformers": _transformers_tokenizers,
    "allennlp.common.plugins": _plugins,
    "allennlp.common.push_to_hf": _huggingface_hub,
    "allennlp.common.util": _spacy_models,
    "allennlp.data.image_loader": _torchvision,
    "allennlp.data.tokenizers.spacy_tokenizer": _spacy_tokenizer,
    "allennlp.models.archival": _archives,
    "allennlp.models.model": _model,
    "allennlp.modules.augmented_lstm": _augmented_lstm,
    "allennlp.modules.vision.grid_embedder": _torchvision,
    "allennlp.modules.vision.region_detector": _torchvision,
    "allennlp.nn.checkpoint.fairscale_checkpoint_wrapper": _fairscale,
    "allennlp.nn.parallel.fairscale_fsdp_accelerator": _fairscale,
    "allennlp.nn.util": _bfloat16,
    "allennlp.training.checkpointer": _recover,
    "allennlp.training.gradient_descent_trainer": _trainer,
    "allennlp.training.learning_rate_schedulers.pytorch_lr_schedulers": _reduce_on_plateau,
    "allennlp.training.optimizers": _transformers_adamw,
    "allennlp.training.util": _training_util,
    "allennlp_models.rc.tools.narrativeqa": _narrativeqa,
    "allennlp_models.structured_prediction.dataset_readers.penn_tree_bank": _trees,
}


_READERS = ".dataset_readers."


def _opened(
    file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, *rest: Any, **named: Any
) -> Any:
    """Open a file as UTF-8 by default, whatever the locale; dataset readers use it as `open`."""
    return open(file, mode, buffering, encoding or (None if "b" in mode else "utf-8"), *rest, **named)


class _Loader(importlib.abc.Loader):
    """Loader that executes a module inside its patch."""

    def __init__(self, loader: importlib.abc.Loader, patch: Callable[[], AbstractContextManager[None]]) -> None:
        self.loader, self.patch = loader, patch

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with self.patch():
            self.loader.exec_module(module)
        if _READERS in module.__name__:
            vars(module).setdefault("open", _opened)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


def patched_spec(
    name: str, path: Sequence[str] | None, target: ModuleType | None
) -> importlib.machinery.ModuleSpec | None:
    """Return the spec of a module that needs a patch, and None for all others.

    Args:
        name: Full name of the module.
        path: See `importlib.machinery.PathFinder.find_spec`.
        target: See `importlib.machinery.PathFinder.find_spec`.
    """
    reads = _READERS in name and name.startswith(("allennlp.", "allennlp_models."))
    if name not in PATCHES and not reads:
        return None
    spec = importlib.machinery.PathFinder.find_spec(name, path, target)
    if spec is not None and spec.loader is not None:
        spec.loader = _Loader(spec.loader, PATCHES.get(name, nullcontext))
    return spec
