"""All reports of an output folder, written together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elmo_mf.io import atomic_files, check_folder
from elmo_mf.leaderboard.aggregate import Board, boards
from elmo_mf.leaderboard.exports import check_kinds, write_exports
from elmo_mf.leaderboard.page.write import write_page
from elmo_mf.leaderboard.readme import write_leaderboard
from elmo_mf.leaderboard.records import records_of


def write_reports(folder: Path, kinds: Sequence[str] = ()) -> tuple[list[Path], list[Board]]:
    """Rebuild `README.md` with its plots, `index.html`, and exports, all together or none, from `folder/records`.

    The same records give the same bytes.

    Args:
        folder: an output folder of sweeps.
        kinds: exports to write too, see `elmo_mf.leaderboard.exports.KINDS`.

    Returns:
        The files, without the plots, and the boards.

    Raises:
        InputError: there are no records, or there is no such export.
        OutputError: a file cannot be written.
    """
    check_kinds(kinds)
    check_folder("FOLDER", folder)
    made = boards(records_of(folder))
    with atomic_files(folder) as staging:
        written = [write_leaderboard(made, staging), write_page(staging, made)]
        written += write_exports(made, staging, kinds)
    return [folder / path.name for path in written], made
