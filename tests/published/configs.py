"""Configs of the architectures that allennlp-models 2.10.1 publishes with ELMo, shrunk.

Each is a function of the folder of `data.write` and of the embedder under the published key, and has the same reader,
model, kinds of layers, initialisers, regularisers, optimiser, schedule and clipping as the published one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Config = Callable[[Path, Json], Json]
ELMO = 12  # the encoder's output
CHARACTERS: Json = {"type": "elmo_characters"}
UTF8: Json = {
    "type": "characters",
    "character_tokenizer": {"byte_encoding": "utf-8", "start_tokens": [259], "end_tokens": [260]},
    "min_padding_length": 5,
}
LSTM_WEIGHTS: list[Any] = [
    [".*weight_ih.*", {"type": "xavier_uniform"}],
    [".*weight_hh.*", {"type": "orthogonal"}],
    [".*bias_ih.*", {"type": "zero"}],
    [".*bias_hh.*", {"type": "lstm_hidden_bias"}],
]
PLATEAU: Json = {"type": "reduce_on_plateau", "factor": 0.5, "mode": "max", "patience": 2}


def _whole(reader: Json, data: str | Path, model: Json, trainer: Json, **others: Any) -> Json:
    return {
        "dataset_reader": reader,
        "train_data_path": str(data),
        "validation_data_path": str(data),
        "model": model,
        "data_loader": {"batch_sampler": {"type": "bucket", "batch_size": 2}},
        "trainer": {"num_epochs": 1, "patience": 5, "cuda_device": -1, **trainer},
        **others,
    }


def _lstm(inputs: int, hidden: int = 5, **keys: Any) -> Json:
    return {"type": "lstm", "bidirectional": True, "input_size": inputs, "hidden_size": hidden, "num_layers": 1, **keys}


def _cnn(characters: int, **keys: Any) -> Json:
    """Five filters over characters."""
    encoder = {"type": "cnn", "embedding_dim": 4, "num_filters": 5, "ngram_filter_sizes": [characters]}
    return {"type": "character_encoding", "embedding": {"embedding_dim": 4, **keys}, "encoder": encoder}


def _vectors(folder: Path, **keys: Any) -> Json:
    return {"type": "embedding", "embedding_dim": 4, "pretrained_file": str(folder / "vectors.txt"), **keys}


def ner(folder: Path, elmo: Json) -> Json:
    indexers = {
        "tokens": {"type": "single_id", "lowercase_tokens": True},
        "token_characters": {"type": "characters", "min_padding_length": 3},
        "elmo": CHARACTERS,
    }
    model = {
        "type": "crf_tagger", "label_encoding": "BIOUL", "dropout": 0.5, "include_start_end_transitions": False,
        "text_field_embedder": {"token_embedders": {
            "tokens": _vectors(folder, trainable=True), "elmo": elmo,
            "token_characters": _cnn(3, vocab_namespace="token_characters")}},
        "encoder": _lstm(ELMO + 9, num_layers=2, dropout=0.5),
        "regularizer": {"regexes": [["scalar_parameters", {"type": "l2", "alpha": 0.1}]]},
    }  # fmt: skip
    reader = {"type": "conll2003", "tag_label": "ner", "coding_scheme": "BIOUL", "token_indexers": indexers}
    trainer = {
        "optimizer": {"type": "adam", "lr": 0.001}, "validation_metric": "+f1-measure-overall", "grad_norm": 5.0,
        "checkpointer": {"keep_most_recent_by_count": 3},
    }  # fmt: skip
    return _whole(reader, folder / "conll2003.txt", model, trainer)


def fine_grained_ner(folder: Path, elmo: Json) -> Json:
    indexers = {
        "elmo": CHARACTERS,
        "token_characters": {"type": "characters"},
        "tokens": {"type": "single_id", "lowercase_tokens": True},
    }
    characters = {
        "type": "character_encoding",
        "embedding": {"embedding_dim": 4, "sparse": True, "vocab_namespace": "token_characters"},
        "encoder": {"type": "lstm", "hidden_size": 5, "input_size": 4, "num_layers": 1},
    }
    model = {
        "type": "crf_tagger", "dropout": 0.5, "include_start_end_transitions": False, "label_encoding": "BIOUL",
        "verbose_metrics": True,
        "encoder": {"type": "stacked_bidirectional_lstm", "hidden_size": 5, "input_size": ELMO + 9, "num_layers": 2,
                    "recurrent_dropout_probability": 0.5, "use_highway": True},
        "feedforward": {"activations": "tanh", "dropout": 0.5, "hidden_dims": 6, "input_dim": 10, "num_layers": 1},
        "initializer": {"regexes": [
            [".*tag_projection_layer.*weight", {"type": "xavier_uniform"}],
            [".*tag_projection_layer.*bias", {"type": "zero"}],
            [".*feedforward.*weight", {"type": "xavier_uniform"}],
            [".*feedforward.*bias", {"type": "zero"}], *LSTM_WEIGHTS]},
        "regularizer": {"regexes": [["scalar_parameters", {"type": "l2", "alpha": 0.001}]]},
        "text_field_embedder": {"token_embedders": {
            "elmo": elmo, "token_characters": characters, "tokens": _vectors(folder, sparse=True, trainable=True)}},
    }  # fmt: skip
    reader = {"type": "ontonotes_ner", "coding_scheme": "BIOUL", "token_indexers": indexers}
    trainer = {
        "grad_norm": 5, "optimizer": {"type": "dense_sparse_adam", "lr": 0.001},
        "validation_metric": "+f1-measure-overall",
    }  # fmt: skip
    return _whole(reader, folder / "ontonotes", model, trainer)


def srl(folder: Path, elmo: Json) -> Json:
    """Open information extraction is the same with other data."""
    model = {
        "type": "srl", "text_field_embedder": {"token_embedders": {"elmo": elmo}}, "binary_feature_dim": 3,
        "initializer": {"regexes": [["tag_projection_layer.*weight", {"type": "orthogonal"}]]},
        "encoder": {"type": "alternating_lstm", "input_size": ELMO + 3, "hidden_size": 5, "num_layers": 4,
                    "recurrent_dropout_probability": 0.1, "use_input_projection_bias": False},
        "regularizer": {"regexes": [[".*scalar_parameters.*", {"type": "l2", "alpha": 0.001}]]},
    }  # fmt: skip
    trainer = {
        "grad_clipping": 1.0, "validation_metric": "+f1-measure-overall",
        "optimizer": {"type": "adadelta", "rho": 0.95}, "checkpointer": {"keep_most_recent_by_count": 10},
    }  # fmt: skip
    return _whole({"type": "srl", "token_indexers": {"elmo": CHARACTERS}}, folder / "ontonotes", model, trainer)


def constituency(folder: Path, elmo: Json) -> Json:
    model = {
        "type": "constituency_parser", "text_field_embedder": {"token_embedders": {"elmo": elmo}},
        "pos_tag_embedding": {"embedding_dim": 3, "vocab_namespace": "pos"},
        "initializer": {"regexes": [
            ["tag_projection_layer.*weight", {"type": "xavier_normal"}],
            ["feedforward_layer.*weight", {"type": "xavier_normal"}],
            ["encoder._module.weight_ih.*", {"type": "xavier_normal"}],
            ["encoder._module.weight_hh.*", {"type": "orthogonal"}]]},
        "encoder": _lstm(ELMO + 3, num_layers=2, dropout=0.2),
        "feedforward": {"input_dim": 10, "num_layers": 1, "hidden_dims": 6, "activations": "relu", "dropout": 0.1},
        "span_extractor": {"type": "bidirectional_endpoint", "input_dim": 10},
        "evalb_directory_path": str(folder / "EVALB"),
    }  # fmt: skip
    trainer = {
        "learning_rate_scheduler": {"type": "multi_step", "milestones": [40, 50], "gamma": 0.8}, "grad_norm": 5.0,
        "validation_metric": "+evalb_f1_measure", "optimizer": {"type": "adadelta", "lr": 1.0, "rho": 0.95},
    }  # fmt: skip
    reader = {"type": "ptb_trees", "use_pos_tags": True, "token_indexers": {"elmo": CHARACTERS}}
    return _whole(reader, folder / "trees.txt", model, trainer, test_data_path=str(folder / "trees.txt"))


def _bcn(folder: Path, embedders: Json, key: str, **keys: Any) -> Json:
    indexers = {"tokens": {"type": "single_id"}, key: CHARACTERS}
    reader = {"type": "sst_tokens", "granularity": "5-class", "token_indexers": indexers}
    model = {
        "type": "bcn", "text_field_embedder": {"token_embedders": embedders}, "embedding_dropout": 0.5,
        "pre_encode_feedforward": {
            "input_dim": ELMO + 4, "num_layers": 1, "hidden_dims": [5], "activations": ["relu"], "dropout": [0.25]},
        "encoder": _lstm(5), "integrator": _lstm(30), "integrator_dropout": 0.1, "use_integrator_output_elmo": False,
        "output_layer": {"input_dim": 40, "num_layers": 3, "output_dims": [8, 6, 5], "pool_sizes": 4,
                         "dropout": [0.2, 0.3, 0.0]},
        **keys,
    }  # fmt: skip
    trainer = {"grad_norm": 5.0, "validation_metric": "+accuracy", "optimizer": {"type": "adam", "lr": 0.001}}
    validation = {"validation_dataset_reader": {**reader, "use_subtrees": False}}
    return _whole({**reader, "use_subtrees": True}, folder / "sst.txt", model, trainer, **validation)


def bcn(folder: Path, elmo: Json) -> Json:
    """With the embedder among the others, which the model allows under any key but `elmo`."""
    embedders = {"tokens": _vectors(folder, trainable=False), "elmo_mf": elmo}
    return _bcn(folder, embedders, "elmo_mf", use_input_elmo=False)


def bcn_with_its_own_elmo(folder: Path, elmo: Json) -> Json:
    """As published: the model has the `Elmo` that other embedders wrap."""
    ours = {key: value for key, value in elmo.items() if key != "type"} | {"num_output_representations": 1}
    embedders = {"tokens": _vectors(folder, trainable=False)}
    return _bcn(folder, embedders, "elmo", use_input_elmo=True, elmo=ours)


def esim(folder: Path, elmo: Json) -> Json:
    layer = {"num_layers": 1, "activations": "relu"}
    model = {
        "type": "esim", "dropout": 0.5, "text_field_embedder": {"token_embedders": {"elmo": elmo}},
        "encoder": _lstm(ELMO), "matrix_attention": {"type": "dot_product"},
        "projection_feedforward": {"input_dim": 40, "hidden_dims": 6, **layer},
        "inference_encoder": _lstm(6),
        "output_feedforward": {"input_dim": 40, "hidden_dims": 6, "dropout": 0.5, **layer},
        "output_logit": {"input_dim": 6, "hidden_dims": 3, "num_layers": 1, "activations": "linear"},
        "initializer": {"regexes": [
            [".*linear_layers.*weight", {"type": "xavier_uniform"}], [".*linear_layers.*bias", {"type": "zero"}],
            *LSTM_WEIGHTS]},
    }  # fmt: skip
    trainer = {
        "optimizer": {"type": "adam", "lr": 0.0004}, "validation_metric": "+accuracy", "grad_norm": 10.0,
        "checkpointer": {"keep_most_recent_by_count": 2}, "learning_rate_scheduler": {**PLATEAU, "patience": 0},
    }  # fmt: skip
    return _whole({"type": "snli", "token_indexers": {"elmo": CHARACTERS}}, folder / "snli.jsonl", model, trainer)


def decomposable_attention(folder: Path, elmo: Json) -> Json:
    layers = {"num_layers": 2, "hidden_dims": 6, "activations": "relu", "dropout": 0.2}
    model = {
        "type": "decomposable_attention", "text_field_embedder": {"token_embedders": {"elmo": elmo}},
        "attend_feedforward": {"input_dim": ELMO, **layers}, "matrix_attention": {"type": "dot_product"},
        "compare_feedforward": {"input_dim": 2 * ELMO, **layers},
        "aggregate_feedforward": {"input_dim": 12, "num_layers": 2, "hidden_dims": [6, 3],
                                  "activations": ["relu", "linear"], "dropout": [0.2, 0.0]},
        "initializer": {"regexes": [
            [".*linear_layers.*weight", {"type": "xavier_normal"}],
            [".*token_embedder_tokens\\._projection.*weight", {"type": "xavier_normal"}]]},
    }  # fmt: skip
    reader = {"type": "snli", "token_indexers": {"elmo": CHARACTERS}, "tokenizer": {"end_tokens": ["@@NULL@@"]}}
    trainer = {"grad_clipping": 5.0, "validation_metric": "+accuracy", "optimizer": {"type": "adagrad"}}
    return _whole(reader, folder / "snli.jsonl", model, trainer)


def bidaf(folder: Path, elmo: Json) -> Json:
    indexers = {"tokens": {"type": "single_id", "lowercase_tokens": True}, "elmo": CHARACTERS, "token_characters": UTF8}
    model = {
        "type": "bidaf", "num_highway_layers": 2, "dropout": 0.2,
        "text_field_embedder": {"token_embedders": {
            "tokens": _vectors(folder, trainable=False), "elmo": elmo,
            "token_characters": {**_cnn(5, num_embeddings=262), "dropout": 0.2}}},
        "phrase_layer": _lstm(ELMO + 9),
        "matrix_attention": {"type": "linear", "combination": "x,y,x*y", "tensor_1_dim": 10, "tensor_2_dim": 10},
        "modeling_layer": _lstm(40, num_layers=2, dropout=0.2), "span_end_encoder": _lstm(70),
    }  # fmt: skip
    trainer = {
        "grad_norm": 5.0, "validation_metric": "+em", "learning_rate_scheduler": PLATEAU,
        "optimizer": {"type": "adam", "betas": [0.9, 0.9]}, "callbacks": ["tensorboard"],
    }  # fmt: skip
    return _whole({"type": "squad", "token_indexers": indexers}, folder / "squad.json", model, trainer)


def dialog_qa(folder: Path, elmo: Json) -> Json:
    def gru(inputs: int) -> Json:
        return _lstm(inputs, type="gru")

    model = {
        "type": "dialog_qa", "dropout": 0.2, "marker_embedding_dim": 2, "num_context_answers": 2,
        "phrase_layer": gru(ELMO + 5 + 4), "residual_encoder": gru(10), "span_end_encoder": gru(20),
        "span_start_encoder": gru(10),
        "text_field_embedder": {"token_embedders": {
            "elmo": elmo, "token_characters": {**_cnn(5, num_embeddings=262), "dropout": 0.2}}},
    }  # fmt: skip
    reader = {
        "type": "quac", "num_context_answers": 2, "token_indexers": {"elmo": CHARACTERS, "token_characters": UTF8},
    }  # fmt: skip
    trainer = {
        "learning_rate_scheduler": {**PLATEAU, "patience": 3}, "validation_metric": "+f1",
        "optimizer": {"type": "sgd", "lr": 0.01, "momentum": 0.9},
    }  # fmt: skip
    loader = {"max_instances_in_memory": 100, "batch_sampler": {"type": "bucket", "batch_size": 10}}
    return _whole(reader, folder / "quac.json", model, trainer) | {"data_loader": loader}


def coreference(folder: Path, elmo: Json) -> Json:
    """Published without ELMo in this version; with it, as Lee et al. (2018) have it."""
    indexers = {
        "tokens": {"type": "single_id", "lowercase_tokens": False},
        "token_characters": {"type": "characters", "min_padding_length": 5},
        "elmo": CHARACTERS,
    }
    width = ELMO + 9
    layers = {"num_layers": 2, "hidden_dims": 6, "activations": "relu", "dropout": 0.2}
    span = 2 * 10 + width + 3
    model = {
        "type": "coref", "lexical_dropout": 0.5, "feature_size": 3, "max_span_width": 3, "spans_per_word": 0.4,
        "max_antecedents": 10,
        "text_field_embedder": {"token_embedders": {
            "tokens": _vectors(folder, trainable=False), "token_characters": _cnn(5, num_embeddings=262),
            "elmo": elmo}},
        "context_layer": _lstm(width), "mention_feedforward": {"input_dim": span, **layers},
        "antecedent_feedforward": {"input_dim": 3 * span + 3, **layers},
        "initializer": {"regexes": [
            [".*linear_layers.*weight", {"type": "xavier_normal"}],
            [".*scorer._module.weight", {"type": "xavier_normal"}],
            ["_distance_embedding.weight", {"type": "xavier_normal"}],
            ["_context_layer._module.weight_hh.*", {"type": "orthogonal"}]]},
    }  # fmt: skip
    trainer = {
        "grad_norm": 5.0, "validation_metric": "+coref_f1", "learning_rate_scheduler": PLATEAU, "optimizer": "adam",
    }  # fmt: skip
    reader = {"type": "coref", "token_indexers": indexers, "max_span_width": 3}
    loader = {"batch_sampler": {"type": "bucket", "padding_noise": 0.0, "batch_size": 1}}
    return _whole(reader, folder / "ontonotes" / "a.gold_conll", model, trainer) | {"data_loader": loader}


def dependencies(folder: Path, elmo: Json) -> Json:
    """Published without ELMo in this version."""
    model = {
        "type": "biaffine_parser", "use_mst_decoding_for_validation": True, "arc_representation_dim": 6,
        "tag_representation_dim": 4, "dropout": 0.3, "input_dropout": 0.3,
        "text_field_embedder": {"token_embedders": {
            "tokens": _vectors(folder, trainable=True, sparse=True), "elmo": elmo}},
        "pos_tag_embedding": {"embedding_dim": 3, "vocab_namespace": "pos", "sparse": True},
        "encoder": {"type": "stacked_bidirectional_lstm", "input_size": ELMO + 7, "hidden_size": 5, "num_layers": 2,
                    "recurrent_dropout_probability": 0.3, "use_highway": True},
        "initializer": {"regexes": [
            [".*projection.*weight", {"type": "xavier_uniform"}], [".*projection.*bias", {"type": "zero"}],
            [".*tag_bilinear.*weight", {"type": "xavier_uniform"}], [".*tag_bilinear.*bias", {"type": "zero"}],
            *LSTM_WEIGHTS]},
    }  # fmt: skip
    reader = {
        "type": "universal_dependencies", "token_indexers": {"tokens": {"type": "single_id"}, "elmo": CHARACTERS},
    }  # fmt: skip
    trainer = {
        "grad_norm": 5.0, "validation_metric": "+LAS",
        "optimizer": {"type": "dense_sparse_adam", "betas": [0.9, 0.9]},
    }  # fmt: skip
    return _whole(reader, folder / "dependencies.conllu", model, trainer)
