"""`elmo-mf convert`: an ELMo of TensorFlow or ELMoForManyLangs in this project's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError
from elmo_mf.io import atomic_files, check_folder, check_space, exclusive, is_regular
from elmo_mf.progress import stage

_OPTIONAL = ("softmax.hdf5", "vocabulary.txt")
_FILES = ("options.json", "weights.hdf5", "MODEL_CARD.md", *_OPTIONAL)


def convert(
    checkpoint: Annotated[
        Path,
        Argument(
            help="Checkpoint of bilm-tf, such as model.ckpt-935588; one of its files; the folder that bilm-tf saved it "
            "to; or the folder of a TF-Hub module or of ELMoForManyLangs."
        ),
    ],
    out: Annotated[
        Path,
        Option(
            "--out",
            "--output",
            help="Folder for options.json, weights.hdf5, softmax.hdf5, vocabulary.txt and MODEL_CARD.md.",
        ),
    ],
    options: Annotated[
        Path | None, Option(help="options.json of the model; by default the one next to the checkpoint.")
    ] = None,
    vocabulary: Annotated[
        Path | None,
        Option(
            help="Vocabulary that the model was trained with, one word per line, for the softmax or a word-level ELMo."
        ),
    ] = None,
    without_softmax: Annotated[
        bool, Option("--without-softmax", help="Leave out the softmax, which only perplexity and pretrain need.")
    ] = False,
    dtype: Annotated[str, Option(help="Type of the stored numbers: float32, which is exact, or float16.")] = "float32",
    licence: Annotated[str | None, Option(help="Licence of the weights, for the model card.")] = None,
    force: Force = False,
) -> None:
    """Convert a TensorFlow checkpoint of an ELMo, with its softmax, or an ELMoForManyLangs folder.

    The checkpoint is one that bilm-tf saved in training, or a TF-Hub module, which has no softmax. The result loads
    wherever elmo-mf takes options and weights; with the softmax, elmo-mf perplexity evaluates it as a language model,
    and elmo-mf pretrain continues its training. Only reading the checkpoint requires TensorFlow:
    pip install 'elmo-mf[tensorflow]'.

    An ELMoForManyLangs folder has char.dic, word.dic, token_embedder.pkl, encoder.pkl and config.json, and no
    softmax. It requires neither TensorFlow nor further options.

    Examples:

    \b
      elmo-mf convert tf_checkpoint --vocabulary vocab-2016-09-10.txt --out elmo
      elmo-mf convert model.ckpt-935588 --options options.json --vocabulary vocab-2016-09-10.txt --out elmo
      elmo-mf convert tf_checkpoint --without-softmax --out elmo
      elmo-mf convert elmo_3 --options options.json --out elmo
      elmo-mf convert norwegian_folder --out elmo
    """
    from elmo_mf.bilm.checkpoint import FLOAT_DTYPES
    from elmo_mf.bilm.options import BilmOptions, WordTableOptions
    from elmo_mf.bilm.vocabulary import read_vocabulary
    from elmo_mf.convert import checkpoint_files, find_checkpoint, is_many_langs

    if dtype not in FLOAT_DTYPES:
        raise InputError("--dtype", f"found {dtype}, expected {' or '.join(FLOAT_DTYPES)}")
    if is_many_langs(checkpoint):
        given = {"--options": options, "--vocabulary": vocabulary, "--without-softmax": without_softmax or None}
        if others := [name for name, value in given.items() if value is not None]:
            raise InputError(f"{others[0]} does not apply to ELMoForManyLangs folders such as {checkpoint}")
        _convert_many_langs(checkpoint, out, dtype, licence, force)
        return
    path = find_checkpoint(checkpoint)
    options_file = options or path.parent / "options.json"
    if options is None and not is_regular(options_file):
        raise InputError(options_file, "no such file, expected --options with the options.json of the model")
    files = checkpoint_files(path)
    check_folder("--out", out, _FILES, [*files, options_file, vocabulary])
    check_unused((out / name for name in _FILES), force)
    parsed = BilmOptions.from_file(options_file)
    word_level = isinstance(parsed.token_layer, WordTableOptions)
    if without_softmax and vocabulary is not None and not word_level:
        raise InputError("--without-softmax and --vocabulary are mutually exclusive")
    words = None if vocabulary is None else read_vocabulary(vocabulary)
    from elmo_mf.compression import write_converted_card
    from elmo_mf.convert import convert as write
    from elmo_mf.convert import match_variables, open_checkpoint

    conversion = match_variables(open_checkpoint(path), parsed, words, without_softmax)
    if conversion.layout.has_softmax and words is None and not without_softmax:
        raise InputError(
            path, "found a softmax, expected --vocabulary with its words, or --without-softmax to leave it out"
        )
    check_space("--out", out, conversion.parameters * (2 if dtype == "float16" else 4))
    with exclusive(out, f"a result to {out}"), stage("conversion", 1, "ELMo"), atomic_files(out, _OPTIONAL) as staging:
        write(conversion, staging, dtype)
        n_words = None if words is None or not conversion.has_softmax else len(words)
        write_converted_card(staging, files, options_file, conversion.options, n_words, licence)
        written = sorted(path.name for path in staging.iterdir())
    _tell(out, written)


def _convert_many_langs(folder: Path, out: Path, dtype: str, licence: str | None, force: bool) -> None:
    check_folder("--out", out, _FILES, [path for path in folder.iterdir() if path.is_file()])
    check_unused((out / name for name in _FILES), force)
    from elmo_mf.compression import write_converted_card
    from elmo_mf.convert import read_many_langs

    with stage("reading the model", 1, "folder"):
        model = read_many_langs(folder)
    check_space("--out", out, model.parameters * (2 if dtype == "float16" else 4))
    with exclusive(out, f"a result to {out}"), stage("conversion", 1, "ELMo"), atomic_files(out, _OPTIONAL) as staging:
        model.save(staging, dtype)
        write_converted_card(
            staging, model.files, folder / "config.json", model.options, None, licence, "ELMoForManyLangs"
        )
        written = sorted(path.name for path in staging.iterdir())
    _tell(out, written)


def _tell(out: Path, written: list[str]) -> None:
    echo(f"wrote {', '.join(f'{out}/{name}' if name == written[0] else name for name in written)}")
