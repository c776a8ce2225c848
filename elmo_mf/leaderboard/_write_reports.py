"""Write all reports of an output folder together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elmo_mf.io import atomic_files, check_folder
from elmo_mf.leaderboard._export_kinds import check_kinds
from elmo_mf.leaderboard._leaderboard import read_leaderboard
from elmo_mf.leaderboard._margin import MARGIN
from elmo_mf.leaderboard.aggregate import Board
from elmo_mf.leaderboard.exports import write_exports
from elmo_mf.leaderboard.page import write_page
from elmo_mf.leaderboard.readme import write_leaderboard


def write_reports(folder: Path, kinds: Sequence[str] = (), margin: float = MARGIN) -> tuple[list[Path], list[Board]]:
    """Write `README.md` with its figures, `index.html` and exports from `folder/records`, atomically.

    The same records give the same bytes.

    Args:
        folder: An output folder of sweeps.
        kinds: Kinds of exports: `csv`, `parquet`, `tex` and `json`.
        margin: The largest loss treated as negligible: in points, or for perplexity in its own unit.

    Returns:
        The files, without the figures, and the boards.

    Raises:
        InputError: There are no records, or a kind of export is unknown.
        OutputError: A file cannot be written.
    """
    check_kinds(kinds)
    check_folder("FOLDER", folder)
    tables = list(read_leaderboard(folder, margin).boards)
    with atomic_files(folder) as staging:
        written = [write_leaderboard(tables, staging), write_page(staging, tables)]
        written += write_exports(tables, staging, kinds)
    return [folder / path.name for path in written], tables
