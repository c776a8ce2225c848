"""`elmo-mf perplexity`: evaluate an ELMo as a language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from elmo_mf.cli._compression_options import CompressionOptions
from elmo_mf.cli._device_options import DeviceOptions
from elmo_mf.cli._elmo_files import ElmoOptions
from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.io import check_output, write_json
from elmo_mf.io.sentences import check_texts
from elmo_mf.resources import base_elmo

if TYPE_CHECKING:
    from elmo_mf.pretrain import Evaluation


def perplexity(
    texts: Annotated[list[Path], Argument(metavar="TEXT", help="Held-out text, tokenised, one sentence per line.")],
    elmo: ElmoOptions,
    compress: CompressionOptions,
    where: DeviceOptions,
    softmax: Annotated[
        Path | None, Option(help="Folder of softmax.hdf5 and vocabulary.txt; by default that of the weights.")
    ] = None,
    max_tokens: Annotated[int, Option(min=1, help="Number of tokens at which longer sentences are split.")] = 80,
    limit: Annotated[int | None, Option(min=1, help="Number of lines of each file to read; all by default.")] = None,
    json_file: Annotated[
        Path | None, Option("--json", help="File for the perplexities, with hashes and versions.")
    ] = None,
    force: Force = False,
) -> None:
    """Compute the perplexity of both directions on held-out text, dense and compressed; lower is better.

    The softmax is softmax.hdf5 and vocabulary.txt next to the weights, where pretrain, convert and shrink write them.
    Each sentence is read on its own. Words that are not in the vocabulary count as <UNK>, so that only perplexities of
    encoders with the same vocabulary are comparable.

    Examples:

    \b
      elmo-mf perplexity valid.txt --method whitened_svd --rank 32
      elmo-mf perplexity valid.txt --options my-elmo/options.json --weights my-elmo/weights.hdf5
      elmo-mf perplexity valid.txt --options my-elmo/options.json --weights my-elmo/weights.hdf5 --rank 16
      elmo-mf compress my-elmo/options.json my-elmo/weights.hdf5 --rank 16 --dtype int8 --out small
      elmo-mf perplexity valid.txt --options small/options.json --weights small/weights.hdf5 --softmax my-elmo
    """
    check_texts(texts)
    from elmo_mf.bilm.checkpoint_files import SOFTMAX, VOCABULARY
    from elmo_mf.bilm.options import BilmOptions
    from elmo_mf.pretrain import softmax_words

    files = elmo.files(base_elmo())
    compression = compress.compression_of(files)
    beside = softmax or files.weights.parent
    softmax_words(BilmOptions.from_file(files.options), files.options, beside)  # raises before torch is imported
    if json_file is not None:
        check_output("--json", json_file, (*texts, *files.inputs, beside / SOFTMAX, beside / VOCABULARY))
    check_unused([json_file], force)
    from elmo_mf.pretrain import perplexity as compute

    device = where.use()
    result = compute(
        texts, files.options, files.weights, compressions=[] if compression is None else [compression],
        softmax=softmax, device=device, max_tokens=max_tokens, limit=limit, done=_print,
    )  # fmt: skip
    if json_file is not None:
        write_json(json_file, result.to_dict())


def _print(one: Evaluation) -> None:
    echo(
        f"{one.encoder}: forward {one.forward:.2f}, backward {one.backward:.2f} on {one.words:,} words "
        f"({one.unknown:.1%} unknown), {one.parameters:,} biLSTM parameters"
    )
