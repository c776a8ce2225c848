"""Single files out of archives of strangers: never outside the folder, never larger than said."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from elmo_mf.errors import InputError

MOST_BYTES = 8_000_000_000


def extract(archive: Path, member: str, target: Path) -> None:
    """Write one member of a zip archive to `target`; names in the archive decide no path.

    # Raises
    InputError: no zip archive, no such member, or a member that is damaged or too large.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            size = opened.getinfo(member).file_size
            if size > MOST_BYTES:
                raise InputError(f"{archive}: {member}: found {size:,} bytes, expected at most {MOST_BYTES:,}")
            with opened.open(member) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file)  # zipfile reads no more than `size`
    except KeyError:
        raise InputError(f"{archive}: found no {member}, expected it in the archive") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(f"{archive}: found a damaged archive ({error}), expected a zip file") from None
