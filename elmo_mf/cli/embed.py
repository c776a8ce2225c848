"""`elmo-mf embed`: a text file to vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from typer import Argument, Option

from elmo_mf.cli._compression_options import CompressionOptions
from elmo_mf.cli._device_options import DeviceOptions
from elmo_mf.cli._elmo_files import ElmoOptions
from elmo_mf.cli._output_options import Output, the_output
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError, one_of
from elmo_mf.io import check_output, check_space, output_errors, staging
from elmo_mf.io.sentences import check_texts

if TYPE_CHECKING:
    import torch

    from elmo_mf.bilm import Bilm, StatePolicy
    from elmo_mf.bilm.checkpoint_files import CheckpointFiles
    from elmo_mf.bilm.choices import Precision
    from elmo_mf.embed import EmbedSettings, TextFile
    from elmo_mf.records import Compression

_WORD_CACHE_MB = 64


@dataclass(frozen=True)
class KnownWords:
    """Vectors of words that were computed before."""

    token_embeddings: Annotated[
        Path | None,
        Option(help="Word vectors written with --vocabulary; the character CNN then runs for other words only."),
    ] = None
    token_vocabulary: Annotated[
        Path | None, Option(help="Words of --token-embeddings; by default the vocabulary next to that file.")
    ] = None

    def check(self) -> None:
        """Raise an `InputError` if there are words without vectors."""
        if self.token_vocabulary is not None and self.token_embeddings is None:
            raise InputError("--token-vocabulary requires --token-embeddings")

    def put_into(self, bilm: Bilm) -> dict[str, str]:
        """Let an encoder use the vectors, and return what they add to its identity.

        Raises:
            InputError: See `Bilm.use_token_embeddings`.
        """
        from elmo_mf.provenance import file_hash

        if self.token_embeddings is None:
            return {}
        bilm.use_token_embeddings(self.token_embeddings, self.token_vocabulary)
        return {"token_embeddings": file_hash(self.token_embeddings)}


@dataclass(frozen=True)
class VectorOptions:
    """Options for how vectors are computed, and which are kept."""

    all_layers: Annotated[bool, Option("--all", help="Keep all layers (default).")] = False
    top: Annotated[bool, Option("--top", help="Keep the top layer.")] = False
    average: Annotated[bool, Option("--average", help="Keep the average of the layers.")] = False
    state: Annotated[
        str, Option(help="Initial LSTM state for each line: zero, or primed, the state after a fixed text.")
    ] = "zero"
    precision: Annotated[
        str, Option(help="Precision of the encoder's weights on a CPU: float32, bfloat16 or int8.")
    ] = "float32"
    batch: Annotated[int, Option(min=1, help="Number of sentences per batch.")] = 32
    pool: Annotated[str | None, Option(help="mean: keep only the mean over the tokens.")] = None

    def settings(self) -> EmbedSettings:
        """Return how a text is embedded.

        Raises:
            InputError: A value is wrong, or two options contradict each other.
        """
        from elmo_mf.bilm.choices import PRECISIONS
        from elmo_mf.embed import KEEP, EmbedSettings

        if self.state not in ("zero", "primed"):
            raise InputError("--state", f"found {self.state!r}, expected zero or primed")
        if self.pool not in (None, "mean"):
            raise InputError("--pool", f"found {self.pool!r}, expected mean")
        if self.precision not in PRECISIONS:
            raise InputError("--precision", f"found {self.precision!r}, {one_of(self.precision, PRECISIONS)}")
        layers = self.all_layers, self.top, self.average
        keep = [name for name, chosen in zip(KEEP, layers, strict=True) if chosen] or ["all"]
        if len(keep) > 1:
            raise InputError("--all, --top and --average are mutually exclusive")
        return EmbedSettings(keep[0], self.batch, mean=self.pool is not None)

    def read(self, files: CheckpointFiles, compression: Compression | None) -> Bilm:
        """Read the encoder, compressed if that is asked for.

        Args:
            files: Its files.
            compression: What to compress; None for nothing.

        Raises:
            InputError: See `Bilm.from_files`.
        """
        from elmo_mf.bilm import Bilm

        state, precision = cast("StatePolicy", self.state), cast("Precision", self.precision)
        return Bilm.from_files(
            files.options, files.weights, compression, state, _WORD_CACHE_MB, precision, files.vocabulary
        )

    def given(self) -> Mapping[str, bool]:
        """Return whether each option but `--batch` has another value than by default."""
        return {
            "--all": self.all_layers,
            "--top": self.top,
            "--average": self.average,
            "--pool": self.pool is not None,
            "--state": self.state != "zero",
            "--precision": self.precision != "float32",
        }


def embed(
    text: Annotated[Path, Argument(metavar="INPUT", help="Tokenised text, one sentence per line.")],
    elmo: ElmoOptions,
    compress: CompressionOptions,
    where: DeviceOptions,
    known: KnownWords,
    vectors: VectorOptions,
    output: Annotated[Path | None, Argument(metavar="OUTPUT", help="HDF5 file to write.")] = None,
    out: Output = None,
    fasta: Annotated[
        bool, Option("--fasta", help="INPUT is FASTA: each residue is a token, and datasets are named by identifier.")
    ] = False,
    vocabulary: Annotated[
        bool,
        Option(
            "--vocabulary", help="INPUT is a vocabulary, one word per line: write only the character CNN's vectors."
        ),
    ] = False,
) -> None:
    """Embed a text file, in the layout of the `allennlp elmo` command that AllenNLP removed.

    OUTPUT gets a dataset for each line, named by its number, counted from 0: (layers, tokens, width) with --all,
    (tokens, width) with --top and --average. `sentence_to_index` maps sentences to numbers, as JSON. The vectors of a
    line depend on that line only. Memory use is bounded; the same command resumes an interrupted run. INPUT may be a
    pipe, such as /dev/stdin; its text is then kept next to OUTPUT until the command ends. With --fasta, datasets are
    named by the identifiers of the sequences, which are also in the attribute `id`, and there is no index.

    With --vocabulary, OUTPUT is bilm-tf's elmo_token_embeddings.hdf5: one dataset `embedding`, (words, width / 2).
    Passed as --token-embeddings, it replaces the character CNN for these words.

    Examples:

    \b
      elmo-mf embed sentences.txt vectors.hdf5 --top
      elmo-mf embed sentences.txt vectors.hdf5 --options norwegian.zip
      elmo-mf embed proteins.fasta vectors.hdf5 --options seqvec --fasta --average --pool mean
      elmo-mf embed vocab.txt elmo_token_embeddings.hdf5 --vocabulary --options options.json --weights weights.hdf5
    """
    from elmo_mf.embed import check_new

    output = the_output(output, out)
    check_texts([text] if not (fasta or vocabulary) else [])
    known.check()
    settings, files = vectors.settings(), elmo.files()
    compression = compress.compression_of(files)
    check_output("OUTPUT", output, inputs=[text, *files.inputs, known.token_embeddings, known.token_vocabulary])
    check_new(output)
    from elmo_mf.compression import encoder_identity
    from elmo_mf.embed import TextFile, read_fasta
    from elmo_mf.provenance import file_hash

    device = where.use()
    if vocabulary:
        others = {**vectors.given(), "--fasta": fasta, "--token-embeddings": known.token_embeddings is not None}
        _embed_vocabulary(text, output, files, compression, device, [name for name, given in others.items() if given])
        return
    with output_errors(output), staging(output.absolute().parent, output.name) as scratch:
        lines, identifiers = (
            read_fasta(text, scratch / "text") if fasta else (TextFile.scan(text, scratch / "text"), None)
        )
        bilm = vectors.read(files, compression)
        identity: dict[str, Any] = {
            "options": file_hash(files.options),
            "weights": file_hash(files.weights),
            **encoder_identity(compression),
            "state": vectors.state,
            "precision": vectors.precision,
        }
        identity |= known.put_into(bilm)
        if bilm.vocabulary is not None:
            identity["vocabulary"] = bilm.vocabulary.sha256
        reused = _run(bilm.to(device), identity, lines, output, settings, identifiers)
    echo(f"wrote {output}: {lines.lines} sentences" + (f", {reused} of them from an earlier run" if reused else ""))


def _embed_vocabulary(
    vocabulary: Path,
    output: Path,
    files: CheckpointFiles,
    compression: Compression | None,
    device: torch.device,
    others: list[str],
) -> None:
    """Write the vectors of all words of a vocabulary; `others` are options that have no meaning here."""
    from elmo_mf.bilm import Bilm
    from elmo_mf.bilm.token_embeddings import write_token_embeddings
    from elmo_mf.bilm.vocabulary import read_rows

    if others:
        raise InputError(f"--vocabulary cannot be combined with {others[0]}")
    words = read_rows(vocabulary)
    if not words:
        raise InputError(vocabulary, "found no words, expected one per line")
    bilm = Bilm.from_files(files.options, files.weights, compression, vocabulary=files.vocabulary).to(device)
    if bilm.vocabulary is not None:
        found, expected = "an ELMo that has a table of words", "one with only a character CNN"
        raise InputError(files.options, f"found {found}, expected {expected}")
    check_space("OUTPUT", output, 4 * len(words) * bilm.token_layer.output_dim)
    with output_errors(output):
        write_token_embeddings(output, bilm.token_layer, words)
    echo(f"wrote {output}: vectors of {len(words):,} words")


def _run(
    bilm: Bilm,
    encoder_identity: dict[str, Any],
    text: TextFile,
    output: Path,
    settings: EmbedSettings,
    identifiers: list[str] | None,
) -> int:
    from elmo_mf.embed import embed_file

    def resuming(folder: Path) -> None:
        echo(f"resuming with the parts in {folder}")

    return embed_file(bilm, encoder_identity, text, output, settings, resuming, identifiers)
