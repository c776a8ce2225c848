"""A bilm-tf language model in TensorFlow, in a process of its own: `python -m tests.convert.tensorflow_model FOLDER`.

Reads `options.json`, `vocab.txt` and `text.txt`. Writes a checkpoint with the slots of an optimizer, as training leaves
it, and `judged.npz`: the loss of each word of the text in both directions, and the last layer's vectors. TensorFlow's
own LSTM cells name the variables and compute.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # Keras 3 has no LSTM cells for graphs
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow

tf = tensorflow.compat.v1


def characters(word: str, length: int) -> list[int]:
    """The character ids of a word as in training, before a mask is added."""
    codes = {"<S>": [256], "</S>": [257]}.get(word) or list(word.encode())[: length - 2]
    framed = [258, *codes, 259]
    return framed + [260] * (length - len(framed))


class Model:
    """The graph of both directions; sentences of one length at a time."""

    def __init__(self, options: dict[str, Any], n_words: int) -> None:
        cnn, lstm = options.get("char_cnn"), options["lstm"]
        self.tokens = [tf.placeholder(tf.int32, None) for _ in range(2)]  # characters, or words
        self.targets = [tf.placeholder(tf.int32, (None,)) for _ in range(2)]
        with tf.variable_scope("lm"):
            if cnn is None:
                table = _variable("embedding", (n_words, lstm["projection_dim"]))
                tokens = [tf.reshape(tf.nn.embedding_lookup(table, ids), (-1, table.shape[1])) for ids in self.tokens]
            else:
                tokens = self._character_cnn(cnn, lstm["projection_dim"])
            self.vectors = [self._lstm(lstm, direction, tokens[direction]) for direction in (0, 1)]
            with tf.variable_scope("softmax"):
                shared = options.get("share_embedding_softmax")
                weight = table if shared else _variable("W", (n_words, lstm["projection_dim"]))
                bias = _variable("b", (n_words,))
        logits = [vectors @ tf.transpose(weight) + bias for vectors in self.vectors]
        self.losses = [
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=words, logits=scores)
            for words, scores in zip(self.targets, logits, strict=True)
        ]

    def _character_cnn(self, cnn: dict[str, Any], width: int) -> list[Any]:
        table = _variable("char_embed", (cnn["n_characters"], cnn["embedding"]["dim"]))
        with tf.variable_scope("CNN"):
            filters = [
                (_variable(f"W_cnn_{k}", (1, size, cnn["embedding"]["dim"], n)), _variable(f"b_cnn_{k}", (n,)))
                for k, (size, n) in enumerate(cnn["filters"])
            ]
        n = sum(number for _, number in cnn["filters"])
        highways = []
        for k in range(cnn["n_highway"]):
            with tf.variable_scope(f"CNN_high_{k}"):
                names = ("carry", "transform")
                highways.append([(_variable(f"W_{name}", (n, n)), _variable(f"b_{name}", (n,))) for name in names])
        with tf.variable_scope("CNN_proj"):
            projection = _variable("W_proj", (n, width)), _variable("b_proj", (width,))
        cells = []
        for ids in self.tokens:
            ids = tf.reshape(ids, (-1, cnn["max_characters_per_token"]))
            embedded = tf.nn.embedding_lookup(table, ids)[None]
            windows = [tf.nn.conv2d(embedded, w, strides=[1, 1, 1, 1], padding="VALID") + b for w, b in filters]
            x = tf.concat([tf.nn.relu(tf.reduce_max(one, axis=2)[0]) for one in windows], axis=1)
            for (w_carry, b_carry), (w_transform, b_transform) in highways:
                gate = tf.nn.sigmoid(x @ w_carry + b_carry)
                x = gate * tf.nn.relu(x @ w_transform + b_transform) + (1 - gate) * x
            cells.append(x @ projection[0] + projection[1])
        return cells

    def _lstm(self, lstm: dict[str, Any], direction: int, tokens: Any) -> Any:
        n, p = lstm["dim"], lstm["projection_dim"]
        cells = []
        for layer in range(lstm["n_layers"]):
            cell = tf.nn.rnn_cell.LSTMCell(
                n, num_proj=p if p < n else None, cell_clip=lstm["cell_clip"], proj_clip=lstm["proj_clip"]
            )
            skips = lstm["use_skip_connections"] and layer > 0
            cells.append(tf.nn.rnn_cell.ResidualWrapper(cell) if skips else cell)
        stacked = tf.nn.rnn_cell.MultiRNNCell(cells) if len(cells) > 1 else cells[0]
        with tf.variable_scope(f"RNN_{direction}"):
            outputs, _ = tf.nn.dynamic_rnn(stacked, tokens[None], dtype=tf.float32)
        return outputs[0]


def _variable(name: str, shape: tuple[int, ...]) -> Any:
    return tf.get_variable(name, shape, initializer=tf.random_normal_initializer(0, 0.5))


def main(folder: Path) -> None:
    options = json.loads((folder / "options.json").read_text())
    words = (folder / "vocab.txt").read_text().split()
    length = options.get("char_cnn", {}).get("max_characters_per_token")
    tf.disable_eager_execution()
    tf.set_random_seed(5)
    model = Model(options, len(words))
    step = tf.get_variable("global_step", (), tf.int64, tf.zeros_initializer(), trainable=False)
    loss = tf.add_n([tf.reduce_mean(one) for one in model.losses])
    train = tf.train.AdagradOptimizer(0.1).minimize(loss, step)
    judged: dict[str, Any] = {}
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for run in ("train", "judge"):
            for number, line in enumerate((folder / "text.txt").read_text(encoding="utf-8").splitlines()):
                feed: dict[Any, Any] = {}
                for direction in (0, 1):
                    sentence = ["<S>", *line.split(), "</S>"][:: -1 if direction else 1]
                    ids = [words.index(word if word in words else "<UNK>") for word in sentence]
                    spelled = [characters(word, length) for word in sentence[:-1]] if length else ids[:-1]
                    feed[model.tokens[direction]] = spelled
                    feed[model.targets[direction]] = ids[1:]
                if run == "train":
                    session.run(train, feed)
                    continue
                losses, vectors = session.run((model.losses, model.vectors), feed)
                for direction in (0, 1):
                    judged[f"losses {direction} {number}"] = losses[direction]
                    judged[f"vectors {direction} {number}"] = vectors[direction]
        tf.train.Saver(tf.global_variables()).save(session, str(folder / "model.ckpt"), global_step=step)
    np.savez(folder / "judged.npz", **judged)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
