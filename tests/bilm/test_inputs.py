"""What enters the encoder: special tokens, empty sentences, types of ids, texts by mistake, mixed precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from allennlp.modules.elmo import Elmo, _ElmoBiLm
from allennlp.modules.elmo import batch_to_ids as theirs
from torch import Tensor

from elmo_mf import Bilm, Compression
from elmo_mf.bilm import StatePolicy
from elmo_mf.bilm.characters import batch_to_ids, character_ids
from elmo_mf.bilm.chunks import embed_in_chunks
from elmo_mf.bilm.runtime import Precision, supports
from elmo_mf.errors import InputError
from elmo_mf.plugin import ElmoMfTokenEmbedder
from tests.conftest import random_bilm

SENTENCES = [["The", "cat", "sat"], ["Yes"], ["two", "words"]]
SPECIAL = [["<S>", "a", "</S>"], ["<UNK>", "<s>", "</s>", "<S", "<S>s"], ["", "x" * 60, "é" * 40, "\udc80", "\0"]]


def test_special_tokens_and_characters() -> None:
    assert torch.equal(batch_to_ids(SPECIAL), theirs(SPECIAL))


def test_special_tokens_everywhere(tmp_path: Path) -> None:
    """In `embed`, in pieces, and in what pretraining reads."""
    from elmo_mf.bilm.vocabulary import Vocabulary
    from elmo_mf.pretrain import Corpus

    bilm = random_bilm()
    bilm.save(tmp_path)
    elmo = _ElmoBiLm(str(tmp_path / "options.json"), str(tmp_path / "weights.hdf5"))
    with torch.no_grad():
        expected = torch.stack(elmo(theirs(SPECIAL[:1]))["activations"])[:, 0, 1:-1].numpy()
    np.testing.assert_allclose(bilm.embed(SPECIAL[:1])[0], expected, atol=1e-5)
    pieces = list(embed_in_chunks(bilm, SPECIAL[0], 2))
    forward = np.concatenate([piece.vectors for piece in pieces if piece.direction == 0], axis=1)
    np.testing.assert_allclose(forward, expected[..., :6], atol=1e-5)
    corpus = Corpus(SPECIAL, Vocabulary.count(SPECIAL, 1, None), character_ids)
    spelled = {tuple(row) for row in corpus.characters.tolist()}
    assert {tuple(row) for row in theirs(SPECIAL).flatten(0, 1).tolist() if any(row)} == spelled


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint16])
@pytest.mark.parametrize("cache_mb", [0, 1])
def test_other_integers(tmp_path: Path, dtype: torch.dtype, cache_mb: int) -> None:
    bilm, ids = random_bilm(), batch_to_ids(SENTENCES)
    assert torch.equal(bilm(ids.to(dtype)).layers, bilm(ids).layers)
    embedder = _embedder(bilm, tmp_path, cache_mb=cache_mb)
    assert torch.equal(embedder(ids), embedder(ids.to(dtype)))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.zeros(2, 3, 50, dtype=torch.uint8), "found torch.uint8"),
        (torch.zeros(2, 3, 50, dtype=torch.bool), "found torch.bool"),
        (torch.zeros(2, 3, 50), "found torch.float32"),
        (torch.zeros(2, 3, 49, dtype=torch.long), "found 49 characters per token"),
        (torch.zeros(3, 50, dtype=torch.long), r"found shape \(3, 50\)"),
        (torch.zeros(1, 0, dtype=torch.long), r"found shape \(1, 0\)"),
    ],
)
def test_ids_that_are_none(ids: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        random_bilm()(ids)


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ("A sentence .", "the text 'A sentence .'"),
        (["A sentence .", "Another ."], "0: found the text 'A sentence .'"),
        ([["A"], "Another ."], "1: .*'Another .'"),
        ([[b"A"]], "0: .* bytes"),
        ([[["A"]]], "0: .* list"),
        ([["A"], None], "1: .*NoneType"),
        (3, "found a int"),
        ({"A": 1}, "0: found the text 'A'"),
    ],
)
def test_texts_in_place_of_tokens(sentences: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        random_bilm().embed(sentences)
    assert random_bilm().embed(np.array([["A", "b"]]))[0].shape == (3, 2, 12)


def test_sentences_of_any_kind() -> None:
    """They need be gone through once only."""
    bilm = random_bilm()
    expected = bilm.embed(SENTENCES)
    kinds: list[Any] = [
        (sentence for sentence in SENTENCES),
        tuple(map(tuple, SENTENCES)),
        [(word for word in sentence) for sentence in SENTENCES],
        [dict.fromkeys(sentence).keys() for sentence in SENTENCES],
    ]
    for kind in kinds:
        for one, other in zip(bilm.embed(kind, batch_size=2), expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    for size in (0, -1):
        with pytest.raises(InputError, match=f"batch_size: found {size}"):
            bilm.embed(SENTENCES, batch_size=size)


@pytest.mark.parametrize("grad", [False, True])
def test_a_carried_state_of_another_type(tmp_path: Path, grad: bool) -> None:
    """The encoder was converted meanwhile, or is used outside mixed precision now and was within it before."""
    random_bilm().save(tmp_path)
    bilm = Bilm.from_files(tmp_path / "options.json", tmp_path / "weights.hdf5", state="carried").requires_grad_(grad)
    ids = batch_to_ids(SENTENCES)
    with torch.autocast("cpu", torch.bfloat16):
        bilm(ids)
    assert bilm(ids).layers.dtype == torch.float32
    carried = bilm(ids).layers
    assert bilm.double()(ids).layers.dtype == torch.float64
    torch.testing.assert_close(bilm(ids).layers.float(), carried, atol=0.1, rtol=0.1)
    assert bilm.bfloat16()(ids).layers.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("grad", [False, True])
def test_layer_norm_in_mixed_precision(tmp_path: Path, dtype: torch.dtype, grad: bool) -> None:
    embedder = _embedder(random_bilm(), tmp_path, do_layer_norm=True, requires_grad=grad)
    ids = batch_to_ids(SENTENCES)
    with torch.autocast("cpu", dtype):
        within = embedder(ids)
    torch.testing.assert_close(within.float(), embedder(ids), atol=0.1, rtol=0.1)
    within.float().sum().backward()


@pytest.mark.slow
@pytest.mark.parametrize("state", ["zero", "carried", "primed"])
def test_empty_sentences_alone(tmp_path: Path, state: StatePolicy) -> None:
    """As in a batch with others."""
    random_bilm().save(tmp_path)
    files = tmp_path / "options.json", tmp_path / "weights.hdf5"
    batches: list[list[list[str]]] = [[[]], [[], []], []]
    for batch in batches:
        alone, mixed = (Bilm.from_files(*files, state=state) for _ in range(2))
        actual, expected = alone(batch_to_ids(batch)), mixed(batch_to_ids([*batch, ["a", "b"]]))
        assert actual.layers.shape == (3, len(batch), 2, 12) if batch else (3, 0, 2, 12)
        torch.testing.assert_close(actual.layers, expected.layers[:, : len(batch), :2], atol=1e-6, rtol=0)
        assert torch.equal(actual.mask, expected.mask[: len(batch), :2])
        assert [vectors.shape for vectors in alone.embed(batch)] == [(3, 0, 12)] * len(batch)
        again = alone.embed([["c"]])[0]  # a state that is carried is the same too
        if state == "carried" and batch:
            mixed.embed(batch)
            np.testing.assert_allclose(again, mixed.embed([["c"]])[0], atol=1e-6)


def _embedder(bilm: Bilm, folder: Path, **settings: Any) -> ElmoMfTokenEmbedder:
    bilm.save(folder)
    files = str(folder / "options.json"), str(folder / "weights.hdf5")
    embedder = ElmoMfTokenEmbedder(*files, dropout=0, **settings)
    embedder.eval()
    return embedder


@pytest.mark.parametrize("settings", [{}, {"cache_mb": 1}, {"do_layer_norm": True, "projection_dim": 5}])
def test_the_embedder_with_texts_of_no_tokens(tmp_path: Path, settings: dict[str, Any]) -> None:
    """AllenNLP's indexer gives them no characters where all texts of a batch are empty."""
    embedder = _embedder(random_bilm(), tmp_path, **settings)
    width = embedder.get_output_dim()
    for shape in ((1, 0), (3, 0), (2, 3, 0), (2, 0, 50), (2, 3, 0, 50), (0, 4, 50), (0, 2, 3, 50)):
        expected = (*shape[: shape.index(0)], 0, width) if shape[-1] == 0 else (*shape[:-1], width)
        assert embedder(torch.zeros(shape, dtype=torch.long)).shape == expected, shape
    assert embedder(theirs([[], []])).shape == (2, 0, width)


def test_the_embedder_with_lists_of_texts(tmp_path: Path) -> None:
    embedder = _embedder(random_bilm(), tmp_path)
    elmo = Elmo(str(tmp_path / "options.json"), str(tmp_path / "weights.hdf5"), 1, dropout=0)
    ids = theirs([*SENTENCES, []]).view(2, 2, 3, 50)
    expected = elmo(ids)["elmo_representations"][0]
    torch.testing.assert_close(embedder(ids), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize(
    "compression",
    [
        None,
        Compression(method="svd", rank=3, targets="all"),
        Compression(method="svd", rank=3, targets="joint", highway_rank=4),
    ],
)
@pytest.mark.parametrize("native", ["0", "1"])
def test_mixed_precision_leaves_a_frozen_encoder_as_it_is(
    tmp_path: Path, precision: Precision, compression: Compression | None, native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call is within it: what is kept for later calls must not be of it."""
    monkeypatch.setenv("ELMO_MF_NATIVE", native)
    random_bilm(dim=32, projection_dim=16).save(tmp_path)
    files = tmp_path / "options.json", tmp_path / "weights.hdf5"
    batch = SENTENCES * 10
    expected = Bilm.from_files(*files, compression, precision=precision).embed(batch)
    bilm = Bilm.from_files(*files, compression, precision=precision, word_cache_mb=1)
    supports.cache_clear()
    with torch.autocast("cpu", torch.bfloat16):
        within = bilm.embed(batch)
        frozen = bilm.requires_grad_(False)(batch_to_ids(batch)).layers
    assert frozen.dtype == torch.float32
    for one, other, again in zip(within, expected, bilm.embed(batch), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(again, other)


def test_mixed_precision_of_an_encoder_that_is_trained_in_part() -> None:
    for trained in ("char_cnn.embedding", "char_cnn.highways", "char_cnn.projection", "layers.0", "layers.1"):
        bilm = random_bilm().requires_grad_(False)
        for name, parameter in bilm.named_parameters():
            parameter.requires_grad = name.startswith(trained)
        with torch.autocast("cpu", torch.bfloat16):
            layers = bilm(batch_to_ids(SENTENCES)).layers
        layers.float().sum().backward()
        assert all(p.grad is not None for name, p in bilm.named_parameters() if name.startswith(trained)), trained
        torch.testing.assert_close(layers.float(), random_bilm()(batch_to_ids(SENTENCES)).layers, atol=0.1, rtol=0.1)
