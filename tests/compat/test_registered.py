"""Tests that run a step of training with every class that AllenNLP registers for it, by its name in a config."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from allennlp.common import Params, Registrable
from allennlp.common.plugins import import_plugins
from allennlp.data import Vocabulary
from allennlp.modules import Seq2SeqEncoder, Seq2VecEncoder
from allennlp.modules.attention import Attention
from allennlp.modules.matrix_attention import MatrixAttention
from allennlp.modules.span_extractors import SpanExtractor
from allennlp.nn import Activation, Initializer, RegularizerApplicator
from allennlp.training.learning_rate_schedulers import LearningRateScheduler
from allennlp.training.momentum_schedulers import MomentumScheduler
from allennlp.training.optimizers import Optimizer
from torch import Tensor

pytestmark = pytest.mark.slow

import_plugins()
OPTIMIZERS: dict[str, Any] = {
    "adadelta": {},
    "adagrad": {},
    "adam": {"amsgrad": True},
    "adamax": {},
    "adamw": {},
    "averaged_sgd": {},
    "dense_sparse_adam": {},
    "huggingface_adafactor": {},
    "huggingface_adamw": {"lr": 0.1, "correct_bias": False},
    "multi": {
        "optimizers": {"default": {"type": "adam", "lr": 0.1}, "other": {"type": "sgd", "lr": 0.1}},
        "parameter_groups": [[["bias"], {"optimizer_name": "other"}]],
    },
    "rmsprop": {"centered": True, "momentum": 0.1},
    "sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "sparse_adam": {},
}
LR_SCHEDULERS: dict[str, Any] = {
    "combined": {"schedulers": [[2, {"type": "step", "step_size": 1}], [8, {"type": "constant"}]]},
    "constant": {},
    "constant_with_warmup": {"num_warmup_steps": 4},
    "cosine": {"t_initial": 4},
    "cosine_hard_restarts_with_warmup": {"num_warmup_steps": 4, "num_training_steps": 20},
    "cosine_with_warmup": {"num_warmup_steps": 4, "num_training_steps": 20},
    "exponential": {"gamma": 0.5},
    "linear_with_warmup": {"warmup_steps": 4},
    "multi_step": {"milestones": [1, 2]},
    "noam": {"model_size": 8, "warmup_steps": 4},
    "polynomial_decay": {"warmup_steps": 4},
    "reduce_on_plateau": {"patience": 0},
    "slanted_triangular": {"gradual_unfreezing": True, "discriminative_fine_tuning": True},
    "step": {"step_size": 1},
}
INITIALIZERS: dict[str, Any] = {
    "block_orthogonal": {"split_sizes": [2, 3]},
    "constant": {"val": 0.5},
    "dirac": {},
    "eye": {},
    "kaiming_normal": {},
    "kaiming_uniform": {},
    "lstm_hidden_bias": {},
    "normal": {},
    "orthogonal": {},
    "sparse": {"sparsity": 0.5},
    "uniform": {},
    "uniform_unit_scaling": {},
    "xavier_normal": {},
    "xavier_uniform": {},
    "zero": {},
}
RECURRENT = {"input_size": 6, "hidden_size": 4}
STACKED = {**RECURRENT, "num_layers": 2}
SEQ2SEQ: dict[str, Any] = {
    "alternating_lstm": STACKED,
    "augmented_lstm": RECURRENT,
    "bidirectional_language_model_transformer": {"input_dim": 8, "hidden_dim": 8, "num_layers": 1},
    "compose": {"encoders": [{"type": "lstm", **RECURRENT}, {"type": "pass_through", "input_dim": 4}]},
    "feedforward": {"feedforward": {"input_dim": 6, "num_layers": 1, "hidden_dims": 4, "activations": "relu"}},
    "gated-cnn-encoder": {"input_dim": 6, "layers": [[[2, 6]], [[2, 6]]]},
    "gru": {**RECURRENT, "bidirectional": True},
    "lstm": {**STACKED, "dropout": 0.1, "stateful": True},
    "multi_head_self_attention": {"num_heads": 2, "input_dim": 6, "attention_dim": 4, "values_dim": 4},
    "pass_through": {"input_dim": 6},
    "pytorch_transformer": {"input_dim": 6, "num_layers": 1, "num_attention_heads": 2},
    "qanet_encoder": {"input_dim": 6, "hidden_dim": 4, "attention_projection_dim": 4, "feedforward_hidden_dim": 4,
                      "num_blocks": 1, "num_convs_per_block": 1, "conv_kernel_size": 3, "num_attention_heads": 2},
    "qanet_encoder_block": {"input_dim": 6, "hidden_dim": 6, "attention_projection_dim": 4,
                            "feedforward_hidden_dim": 4, "num_convs": 1, "conv_kernel_size": 3,
                            "num_attention_heads": 2},
    "rnn": RECURRENT,
    "stacked_bidirectional_lstm": {**STACKED, "recurrent_dropout_probability": 0.1},
    "stacked_self_attention": {"input_dim": 6, "hidden_dim": 4, "projection_dim": 4, "feedforward_hidden_dim": 4,
                               "num_layers": 1, "num_attention_heads": 2},
}  # fmt: skip
SEQ2VEC: dict[str, Any] = {
    "alternating_lstm": STACKED,
    "augmented_lstm": RECURRENT,
    "bag_of_embeddings": {"embedding_dim": 6, "averaged": True},
    "boe": {"embedding_dim": 6},
    "cls_pooler": {"embedding_dim": 6},
    "cnn": {"embedding_dim": 6, "num_filters": 2, "ngram_filter_sizes": [2, 3]},
    "cnn-highway": {"embedding_dim": 6, "filters": [[2, 4]], "num_highway": 1, "projection_dim": 4},
    "gru": RECURRENT,
    "lstm": RECURRENT,
    "rnn": RECURRENT,
    "stacked_bidirectional_lstm": STACKED,
}
ATTENTIONS: dict[str, Any] = {
    "additive": {"vector_dim": 6, "matrix_dim": 6},
    "bilinear": {"vector_dim": 6, "matrix_dim": 6},
    "cosine": {},
    "dot_product": {},
    "linear": {"tensor_1_dim": 6, "tensor_2_dim": 6, "combination": "x,y"},
    "scaled_dot_product": {"scaling_factor": 2},
}
MATRIX_ATTENTIONS: dict[str, Any] = {
    "bilinear": {"matrix_1_dim": 6, "matrix_2_dim": 6},
    **{name: ATTENTIONS[name] for name in ("cosine", "dot_product", "linear")},
    "scaled_dot_product": {},
}
SPANS: dict[str, Any] = {
    "bidirectional_endpoint": {"input_dim": 6},
    "endpoint": {"input_dim": 6},
    "max_pooling": {"input_dim": 6},
    "self_attentive": {"input_dim": 6},
}
ELSEWHERE = {  # they need a pretrained transformer
    "Seq2SeqEncoder": ["bart_encoder"],
    "Seq2VecEncoder": ["bert_pooler"],
    "Initializer": ["pretrained"],
}


@pytest.mark.parametrize(
    ("base", "table"),
    [
        (Optimizer, OPTIMIZERS), (LearningRateScheduler, LR_SCHEDULERS), (Initializer, INITIALIZERS),
        (Seq2SeqEncoder, SEQ2SEQ), (Seq2VecEncoder, SEQ2VEC), (Attention, ATTENTIONS),
        (MatrixAttention, MATRIX_ATTENTIONS), (SpanExtractor, SPANS), (MomentumScheduler, {"inverted_triangular": {}}),
    ],
)  # fmt: skip
def test_nothing_is_left_out(base: Any, table: dict[str, Any]) -> None:
    registered = {name: kind.__module__ for name, (kind, _) in Registrable._registry[base].items()}
    theirs = [name for name, module in registered.items() if not module.startswith("elmo_mf.")]
    assert sorted(theirs) == sorted([*table, *ELSEWHERE.get(base.__name__, [])])


def _made(base: Any, name: str, table: dict[str, Any], **extras: Any) -> Any:
    import copy

    return base.from_params(Params({"type": name, **copy.deepcopy(table[name])}), **extras)


def _model(sparse: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Embedding(4, 3, sparse=sparse), torch.nn.Linear(3, 2))


def _stepped(model: torch.nn.Module, optimizer: Any) -> None:
    optimizer.zero_grad()
    model(torch.tensor([0, 2, 2, 1])).square().sum().backward()
    optimizer.step()


def _kept(state: Any) -> Any:
    """Save a state and load it, as in a checkpoint, without unpickling code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str) -> None:
    """Two steps give the same weights with and without a checkpoint between them."""
    import allennlp.training.checkpointer  # noqa: F401 - applies patches

    sparse = "sparse" in name

    def built(model: torch.nn.Module) -> Any:
        parameters = list(model.named_parameters())
        return _made(
            Optimizer, name, OPTIMIZERS, model_parameters=parameters[:1] if name == "sparse_adam" else parameters
        )

    whole, part = _model(sparse), _model(sparse)
    before = [parameter.detach().clone() for parameter in whole.parameters()]
    optimizer = built(whole)
    _stepped(whole, optimizer)
    _stepped(whole, optimizer)
    assert not torch.equal(next(whole.parameters()), before[0])
    first = built(part)
    _stepped(part, first)
    second = built(part)
    second.load_state_dict(_kept(first.state_dict()))
    _stepped(part, second)
    for one, other in zip(part.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def _rates(scheduler: Any, optimizer: Any, epochs: int) -> list[list[float]]:
    rates = []
    for epoch in range(epochs):
        for _ in range(5):
            optimizer.step()
            scheduler.step_batch()
            rates.append([group["lr"] for group in optimizer.param_groups])
        scheduler.step(0.5 + 0.1 * (epoch % 2))
    return rates


@pytest.mark.parametrize("name", LR_SCHEDULERS)
def test_learning_rate_schedulers(name: str) -> None:
    """Four epochs give the same rates with and without a checkpoint after the second."""
    import allennlp.training.checkpointer  # noqa: F401 - applies patches

    def built() -> tuple[Any, Any]:
        model = _model(False)
        groups = [[["0.weight"], {}], [["1"], {}]]
        optimizer = Optimizer.from_params(
            Params({"type": "sgd", "lr": 0.1, "parameter_groups": groups}),
            model_parameters=list(model.named_parameters()),
        )
        extras = {"optimizer": optimizer, "num_epochs": 4, "num_steps_per_epoch": 5}
        return _made(LearningRateScheduler, name, LR_SCHEDULERS, **extras), optimizer

    scheduler, optimizer = built()
    expected = _rates(scheduler, optimizer, 4)
    first, first_optimizer = built()
    assert _rates(first, first_optimizer, 2) == expected[:10]
    second, second_optimizer = built()
    second_optimizer.load_state_dict(_kept(first_optimizer.state_dict()))
    second.load_state_dict(_kept(first.state_dict()))
    assert _rates(second, second_optimizer, 2) == expected[10:]
    assert all(rate >= 0 for rates in expected for rate in rates)


def test_momentum_scheduler() -> None:
    optimizer = Optimizer.from_params(
        Params({"type": "sgd", "lr": 0.1, "momentum": 0.9}), model_parameters=list(_model(False).named_parameters())
    )
    params = Params({"type": "inverted_triangular", "cool_down": 2, "warm_up": 2})
    scheduler = MomentumScheduler.from_params(params, optimizer=optimizer)
    momenta = []
    for _ in range(4):
        scheduler.step()
        momenta.append(optimizer.param_groups[0]["momentum"])
    scheduler.load_state_dict(_kept(scheduler.state_dict()))
    assert min(momenta) < 0.9


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers(name: str) -> None:
    shape = {"dirac": (4, 4, 3), "lstm_hidden_bias": (8,), "block_orthogonal": (4, 6)}.get(name, (4, 4))
    tensor = torch.full(shape, 7.0)
    _made(Initializer, name, INITIALIZERS)(tensor)
    assert torch.isfinite(tensor).all() and not (tensor == 7).all()


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_regularizers(name: str) -> None:
    model = _model(False)
    applicator = RegularizerApplicator.from_params(Params({"regexes": [["weight", {"type": name, "alpha": 0.5}]]}))
    weights = [parameter for key, parameter in model.named_parameters() if "weight" in key]
    norm: Any = torch.Tensor.abs if name == "l1" else torch.Tensor.square
    torch.testing.assert_close(applicator(model), 0.5 * sum(norm(weight).sum() for weight in weights))


def _sequences(width: int = 6) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 5, width, requires_grad=True), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()


@pytest.mark.parametrize("name", SEQ2SEQ)
def test_seq2seq_encoders(name: str) -> None:
    encoder = _made(Seq2SeqEncoder, name, SEQ2SEQ)
    inputs, mask = _sequences(encoder.get_input_dim())
    outputs = encoder(inputs, mask)
    assert outputs.shape == (2, 5, encoder.get_output_dim())
    outputs[mask].sum().backward()
    assert inputs.grad is not None and torch.isfinite(inputs.grad).all()


@pytest.mark.parametrize("name", SEQ2VEC)
def test_seq2vec_encoders(name: str) -> None:
    encoder = _made(Seq2VecEncoder, name, SEQ2VEC)
    inputs, mask = _sequences()
    outputs = encoder(inputs, mask)
    assert outputs.shape == (2, encoder.get_output_dim())
    outputs.sum().backward()
    assert inputs.grad is not None and torch.isfinite(inputs.grad).all()


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attentions(name: str) -> None:
    inputs, mask = _sequences()
    weights = _made(Attention, name, ATTENTIONS)(inputs[:, 0], inputs, mask)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))


@pytest.mark.parametrize("name", MATRIX_ATTENTIONS)
def test_matrix_attentions(name: str) -> None:
    inputs, _ = _sequences()
    assert _made(MatrixAttention, name, MATRIX_ATTENTIONS)(inputs, inputs[:, :3]).shape == (2, 5, 3)


@pytest.mark.parametrize("name", SPANS)
def test_span_extractors(name: str) -> None:
    extractor = _made(SpanExtractor, name, SPANS)
    inputs, mask = _sequences()
    spans = torch.tensor([[[0, 1], [2, 4]], [[0, 0], [1, 2]]])
    assert extractor(inputs, spans, mask).shape == (2, 2, extractor.get_output_dim())


@pytest.mark.parametrize("name", sorted(Registrable._registry[Activation]))
def test_activations(name: str) -> None:
    assert torch.isfinite(
        Activation.by_name(name)(*([0.1, 0.2] if name == "threshold" else []))(torch.randn(3, 4))
    ).all()


def test_vocabularies(tmp_path: Any) -> None:
    from allennlp.data import Instance
    from allennlp.data.fields import LabelField

    instances = [Instance({"label": LabelField(name)}) for name in ("a", "b")]
    counted = Vocabulary.from_params(Params({"type": "from_instances"}), instances=instances)
    counted.save_to_files(str(tmp_path / "vocabulary"))
    read = Vocabulary.from_params(Params({"type": "from_files", "directory": str(tmp_path / "vocabulary")}))
    extended = Vocabulary.from_params(
        Params({"type": "extend", "directory": str(tmp_path / "vocabulary")}),
        instances=[Instance({"label": LabelField("c")})],
    )
    assert read.get_token_to_index_vocabulary("labels") == counted.get_token_to_index_vocabulary("labels")
    assert extended.get_vocab_size("labels") == 3
    assert Vocabulary.from_params(Params({"type": "empty"})).get_vocab_size() == 2  # padding and unknown
